"""The shape of the house, read from the source: which module may import which.

Every check is a function of the sources and returns what is wrong with them, so that the tests
at the end can hand it a source that breaks the rule and see it noticed.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]

# The packages and public modules, lowest first: imports go to a lower number, or stay inside.
# "" is jconv/__init__.py, which gathers the public names; what is above it uses jconv as a
# stranger does.
LAYERS = {
    "_support": 0,  # no convolution is in it
    "_core": 1,  # the equation, and what is needed to speak of it
    "_check": 2,  # a call, read
    "_diagnosis": 3,  # what is wrong with a call
    "_algorithms": 3,
    "_planner": 4,
    "_devices": 5,
    "_ops": 6,
    # public modules and packages above the operations
    "ragged": 7,
    "sharding": 7,
    "streaming": 7,
    "_plan": 8,
    "_chain": 9,
    "_trace": 10,
    "compat": 11,  # compat.lax reads lax's calls as accelerate does
    "_research": 11,  # clipped_grad rewrites what it traced
    "_explore": 11,
    "_tuning": 11,
    "testing": 11,
    "": 12,
    "_bench": 13,
    "_demo": 13,
    "_cli": 14,
    "__main__": 15,
}
# The same inside a package: by module or package, "" being the package's own __init__.
PARTS = {
    "testing": {
        "oracle": 0,
        "cases": 1,
        "transformations": 1,
        "causes": 1,
        "run": 2,
        "soak": 3,
        "": 4,
        "__main__": 5,
        "test_conformance": 5,
    },
}
MOVING = {
    "_core.jax_hooks",
    "_core.jax_sharding",
    "_core.xla_cpu",
}  # whatever differs between releases of JAX
SPEAKS_JAX = {*MOVING, "_core.jax_cache", "_core.symbols", "_check.arrays"}
WITHOUT_JAX = ("_support", "_core", "_check", "_diagnosis")
PUBLIC = {"compat", "ragged", "sharding", "streaming", "testing"}
VERSION_SENSITIVE = ("jax.interpreters", "jax.extend")
# The oracle is worth something only as long as it shares no code with what it judges.
INDEPENDENT = {"testing.oracle.reference"}
LINES = 400  # of a module
FUNCTION_LINES = 60  # of a function, its docstring not counted
LONG_BECAUSE = "# Long because "  # begins the comment above a longer function that says why

Sources = dict[str, str]  # module, without the leading "jconv.", -> its text


def read_package() -> Sources:
    folder = ROOT / "jconv"
    sources = {}
    for path in sorted(folder.rglob("*.py")):
        parts = path.relative_to(folder).with_suffix("").parts
        name = ".".join(parts[:-1] if parts[-1] == "__init__" else parts)
        sources[name] = path.read_text(encoding="utf-8")
    return sources


def layer_of(module: str) -> int | None:
    return LAYERS.get(module.split(".")[0])


def part_of(module: str) -> int | None:
    """The layer of a module inside its package, for packages in PARTS."""
    package, *parts = module.split(".")
    return PARTS[package].get(parts[0] if parts else "")


def imports(source: str) -> Iterator[tuple[str, str]]:
    """Each name that a source imports, with dots, and where: module, function or types."""

    def walk(node: ast.AST, where: str) -> Iterator[tuple[str, str]]:
        if isinstance(node, ast.Import):
            yield from ((alias.name, where) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            start = "." * node.level + (node.module or "")
            yield from ((f"{start}.{alias.name}", where) for alias in node.names)
        elif isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda):
            where = "function"
        elif isinstance(node, ast.If) and ast.unparse(node.test).endswith("TYPE_CHECKING"):
            where = "types"  # read by type checkers alone; a reader follows it all the same
        for child in ast.iter_child_nodes(node):
            yield from walk(child, where)

    yield from walk(ast.parse(source), "module")


def dotted_names(source: str) -> Iterator[str]:
    """Every a.b.c that a source reads, as text."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Attribute):
            yield ast.unparse(node)


def begins_with(name: str, package: str) -> bool:
    return name == package or name.startswith(package + ".")


def module_of(name: str, sources: Sources) -> str | None:
    """The module of jconv that an imported name stands for or comes from."""
    if not begins_with(name, "jconv"):
        return None
    parts = name.split(".")[1:]
    while parts and ".".join(parts) not in sources:
        parts.pop()
    return ".".join(parts)


def edges(sources: Sources) -> Iterator[tuple[str, str]]:
    for module, source in sources.items():
        for name, _ in imports(source):
            target = module_of(name, sources)
            if target is not None and target != module:
                yield module, target


def unplaced(sources: Sources) -> list[str]:
    return [
        module
        for module in sources
        if layer_of(module) is None or (module.split(".")[0] in PARTS and part_of(module) is None)
    ]


def loose_modules(sources: Sources) -> list[str]:
    """Modules at the top of the package that no user imports: they belong in a package."""
    packages = {module.split(".")[0] for module in sources if "." in module}
    return [
        module
        for module in sources
        if module and "." not in module and module not in packages | PUBLIC | {"__main__"}
    ]


def silent_packages(sources: Sources) -> list[str]:
    """Packages whose docstring does not say what is in them, what goes in and what comes out."""
    packages = {module.rpartition(".")[0] for module in sources if "." in module}
    inner = {name for name in packages if "." in name and name.split(".")[0] in PARTS}
    private = [name for name in packages if name.startswith("_") or name in inner]
    docs = {name: ast.get_docstring(ast.parse(sources.get(name, ""))) or "" for name in private}
    return sorted(
        name
        for name, text in docs.items()
        if not all(part in text for part in ("In: ", "Out: ")) or len(text.splitlines()) > 8
    )


def upward_imports(sources: Sources) -> list[tuple[str, str]]:
    """Imports of a higher package, or of another one on the same layer."""
    found = []
    for a, b in edges(sources):
        low, high = layer_of(a), layer_of(b)
        apart = a.split(".")[0] != b.split(".")[0]
        if low is not None and high is not None and apart and low <= high:
            found.append((a, b))
    return found


def upward_imports_inside(sources: Sources) -> list[tuple[str, str]]:
    """The same between the parts of one package."""
    found = []
    for a, b in edges(sources):
        package = a.split(".")[0]
        if package not in PARTS or not begins_with(b, package):
            continue
        low, high = part_of(a), part_of(b)
        apart = a.split(".")[1:2] != b.split(".")[1:2]
        if apart and low is not None and high is not None and low <= high:
            found.append((a, b))
    return found


def circles(sources: Sources) -> list[str]:
    """The modules on a circle of imports: those left when both ends of every chain are cut off."""
    arrows = {(a, b) for a, b in edges(sources)}
    while True:
        inner = {a for a, _ in arrows} & {b for _, b in arrows}
        kept = {(a, b) for a, b in arrows if a in inner and b in inner}
        if kept == arrows:
            return sorted(inner)
        arrows = kept


def imports_in_functions(sources: Sources) -> list[tuple[str, str]]:
    return [
        (module, name)
        for module, source in sources.items()
        for name, where in imports(source)
        if where == "function" and begins_with(name, "jconv")
    ]


def relative_imports(sources: Sources) -> list[tuple[str, str]]:
    """House style writes imports in full; the checks here rely on it."""
    return [
        (module, name)
        for module, source in sources.items()
        for name, _ in imports(source)
        if name.startswith(".")
    ]


def jax_below(sources: Sources) -> list[tuple[str, str]]:
    """JAX at module level where geometry and problem live, by way of another module too."""
    packages = ("jax", "jaxlib", *(f"jconv.{module}" for module in sorted(SPEAKS_JAX)))
    return [
        (module, name)
        for module in sorted(sources)
        if module.split(".")[0] in WITHOUT_JAX and module not in SPEAKS_JAX
        for name, where in imports(sources[module])
        if where == "module" and any(begins_with(name, package) for package in packages)
    ]


# JAX tells a lowering rule its devices only for primitives in this set, which has no public name.
PRIVATE = {("_core.jax_sharding", "jax._src.dispatch.prim_requires_devices_during_lowering")}


def private_jax(sources: Sources) -> list[tuple[str, str]]:
    return [
        (module, name)
        for module, source in sources.items()
        for name in [*(name for name, _ in imports(source)), *dotted_names(source)]
        if begins_with(name, "jax._src") and (module, name) not in PRIVATE
    ]


def version_sensitive(sources: Sources) -> list[tuple[str, str]]:
    return [
        (module, name)
        for module, source in sources.items()
        if module not in MOVING
        for name in [*(name for name, _ in imports(source)), *dotted_names(source)]
        if any(begins_with(name, package) for package in VERSION_SENSITIVE)
    ]


def shared_code(sources: Sources) -> list[tuple[str, str]]:
    return [
        (module, name)
        for module in sorted(INDEPENDENT & set(sources))
        for name, _ in imports(sources[module])
        if any(begins_with(name, package) for package in ("jconv", "jax", "jaxlib"))
    ]


def long_files(sources: Sources) -> list[tuple[str, int]]:
    counts = {module: len(source.splitlines()) for module, source in sources.items()}
    return [(module, count) for module, count in counts.items() if count > LINES]


def long_functions(sources: Sources) -> list[tuple[str, str, int]]:
    found = []
    for module, source in sources.items():
        lines = source.splitlines()
        for node in ast.walk(ast.parse(source)):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                first = min([node.lineno, *(d.lineno for d in node.decorator_list)])
                docstring = ast.get_docstring(node, clean=False) or ""
                assert node.end_lineno is not None
                count = node.end_lineno - node.lineno + 1 - len(docstring.splitlines())
                reason = lines[first - 2] if first > 1 else ""
                if count > FUNCTION_LINES and not reason.strip().startswith(LONG_BECAUSE):
                    found.append((module, node.name, count))
    return found


CHECKS = [
    unplaced,
    loose_modules,
    silent_packages,
    upward_imports,
    upward_imports_inside,
    circles,
    imports_in_functions,
    relative_imports,
    jax_below,
    private_jax,
    version_sensitive,
    shared_code,
    long_files,
    long_functions,
]


@pytest.mark.parametrize("check", CHECKS, ids=lambda check: check.__name__)
def test_package(check) -> None:
    sources = read_package()
    assert "_core.geometry" in sources
    assert check(sources) == []


@pytest.mark.parametrize("folder", ["tests", "examples", "benchmarks"])
def test_jax_is_used_by_its_public_names_outside_the_package_too(folder: str) -> None:
    sources = {
        path.name: path.read_text(encoding="utf-8")
        for path in (ROOT / folder).rglob("*.py")
        if path.name != Path(__file__).name
    }
    assert private_jax(sources) == []


LONG = "def f():\n" + "    pass\n" * FUNCTION_LINES
MUTANTS = [
    (unplaced, {"_utils": ""}),
    (unplaced, {"_opsy.conv": ""}),
    (unplaced, {"testing.tools": ""}),
    (unplaced, {"testing.tools.clock": ""}),
    (loose_modules, {"_ops": ""}),
    (loose_modules, {"ragged": "", "_clock": ""}),
    (silent_packages, {"_ops": '"""Operations."""', "_ops.conv": ""}),
    (silent_packages, {"_ops": '"""In: a\nOut: b' + "\n" * 8 + '."""', "_ops.conv": ""}),
    (silent_packages, {"testing.run": '"""The check."""', "testing.run.ask": ""}),
    (silent_packages, {"testing.run.ask": ""}),
    (upward_imports, {"_core.a": "from jconv._planner import choose", "_planner": ""}),
    (upward_imports, {"_core.a": "import jconv._ops.conv", "_ops.conv": ""}),
    (upward_imports, {"_ops.conv": "from jconv import testing", "testing": "", "": ""}),
    (upward_imports, {"_algorithms.direct": "from jconv import _ops", "_ops": "", "": ""}),
    (upward_imports, {"testing": "import jconv", "": ""}),
    (upward_imports, {"_ops": "if TYPE_CHECKING:\n    import jconv._plan", "_plan": "", "": ""}),
    (upward_imports, {"ragged": "import jconv.streaming", "streaming": ""}),
    (
        upward_imports_inside,
        {
            "testing.oracle.legs": "from jconv.testing.cases import table",
            "testing.cases.table": "",
        },
    ),
    (
        upward_imports_inside,
        {"testing.cases.a": "import jconv.testing.causes.b", "testing.causes.b": ""},
    ),
    (upward_imports_inside, {"testing.run.a": "from jconv.testing import CASES", "testing": ""}),
    (
        upward_imports_inside,
        {
            "testing.oracle": "if TYPE_CHECKING:\n    import jconv.testing.soak.draw",
            "testing.soak.draw": "",
        },
    ),
    (circles, {"_ops.a": "import jconv._ops.b", "_ops.b": "import jconv._ops.a"}),
    (
        circles,
        {
            "_ops.a": "if TYPE_CHECKING:\n    import jconv._ops.b",
            "_ops.b": "import jconv._ops.a",
        },
    ),
    (imports_in_functions, {"_ops.a": "def f():\n    from jconv._ops.custom import custom_conv"}),
    (relative_imports, {"_ops.a": "from .custom import custom_conv"}),
    (relative_imports, {"_ops.a": "from . import custom"}),
    (jax_below, {"_core.geometry": "import jax.numpy as jnp"}),
    (jax_below, {"_core.problem": "if True:\n    from jax import Array"}),
    (jax_below, {"_check.resolve": "from jconv._core import jax_hooks"}),
    (private_jax, {"_core.jax_hooks": "from jax._src import core"}),
    (private_jax, {"_ops.a": "import jax\njax._src.core.Primitive"}),
    (version_sensitive, {"_ops.a": "from jax.interpreters import ad"}),
    (version_sensitive, {"_ops.a": "def f():\n    import jax.extend.core"}),
    (version_sensitive, {"_ops.a": "import jax\njax.extend.core.Primitive"}),
    (version_sensitive, {"_ops.a": "from jax import extend"}),
    (shared_code, {"testing.oracle.reference": "from jconv._core.geometry import Axis"}),
    (long_files, {"_ops.a": "\n" * (LINES + 1)}),
    (long_functions, {"_ops.a": LONG}),
    (long_functions, {"_ops.a": "# a comment that gives no reason\n" + LONG}),
]


@pytest.mark.parametrize(("check", "sources"), MUTANTS)
def test_a_broken_rule_is_noticed(check, sources: Sources) -> None:
    assert check(sources) != []
