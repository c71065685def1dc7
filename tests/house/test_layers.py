"""The shape of the house, read from the source: which module may import which.

Every check is a function of the sources and returns what is wrong with them, so that the tests
at the end can hand it a source that breaks the rule and see it noticed.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]

# Module -> layer, by the longest name that fits: "_algorithms" holds for all that is in it.
# Imports point down, or sideways where that makes no circle. "" is the package itself, which
# gathers the public names; what is above it uses jconv as a stranger does.
LAYERS = {
    # the equation, and what is needed to speak of it
    "_errors": 0,
    "_geometry": 0,
    "_layout": 0,
    "_jax": 0,
    "_files": 0,
    "_clock": 0,
    "_progress": 0,
    "_symbols": 0,
    "_reword": 0,
    # one problem, or what is wrong with a call that should pose one
    "_problem": 1,
    "_check": 1,
    "_diagnosis": 1,
    "_inverse": 1,
    "_algorithms": 2,
    "_policy": 3,
    "_planner": 3,
    "_borders": 3,
    "_devices": 4,
    "_trilinear": 4,
    "_ops": 4,
    "_patches": 4,
    "_custom": 4,
    # faces
    "sharding": 5,
    "_leg": 5,
    "_plan": 5,
    "_chain": 5,
    "_table": 5,
    "_picture": 5,
    "_explain": 5,
    "_tuning": 5,
    "_doctor": 5,
    "compat": 5,
    "_rewrite": 5,
    "_modules": 5,
    "_accelerate": 5,
    "testing": 5,
    "": 6,
    "_bench": 6,
    "_demo": 6,
    "_cli": 7,  # with its parts, _cli_reading and the like
    "__main__": 7,
}
SPEAKS_JAX = {"_jax", "_symbols"}  # the moving parts of JAX, and its symbolic dimensions
WITHOUT_JAX = {name for name, layer in LAYERS.items() if layer <= 1} - SPEAKS_JAX
VERSION_SENSITIVE = ("jax.interpreters", "jax.extend")
# The oracle is worth something only as long as it shares no code with what it judges.
INDEPENDENT = {"testing._reference"}
LINES = 400

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
    fitting = [name for name in LAYERS if name and module.startswith((f"{name}.", f"{name}_"))]
    return LAYERS.get(module, LAYERS[max(fitting, key=len)] if fitting else None)


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
            where = "types"  # read by type checkers alone: it cannot close a circle
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


def edges(sources: Sources, *, types: bool = True) -> Iterator[tuple[str, str]]:
    for module, source in sources.items():
        for name, where in imports(source):
            target = module_of(name, sources)
            if target is not None and target != module and (types or where != "types"):
                yield module, target


def unplaced(sources: Sources) -> list[str]:
    return [module for module in sources if layer_of(module) is None]


def upward_imports(sources: Sources) -> list[tuple[str, str]]:
    found = []
    for a, b in edges(sources):
        low, high = layer_of(a), layer_of(b)
        if low is not None and high is not None and low < high:
            found.append((a, b))
    return found


def circles(sources: Sources) -> list[str]:
    """Modules that reach themselves; what is left when modules without imports are taken away."""
    needs: dict[str, set[str]] = {module: set() for module in sources}
    for a, b in edges(sources, types=False):
        needs[a].add(b)
    while True:
        free = {module for module, targets in needs.items() if not targets}
        if not free:
            return sorted(needs)
        needs = {m: targets - free for m, targets in needs.items() if m not in free}


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
        if module in WITHOUT_JAX or module.split(".")[0] in WITHOUT_JAX
        for name, where in imports(sources[module])
        if where == "module" and any(begins_with(name, package) for package in packages)
    ]


# JAX tells a lowering rule its devices only for primitives in this set, which has no public name.
PRIVATE = {("_jax", "jax._src.dispatch.prim_requires_devices_during_lowering")}


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
        if module != "_jax"
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


CHECKS = [
    unplaced,
    upward_imports,
    circles,
    imports_in_functions,
    relative_imports,
    jax_below,
    private_jax,
    version_sensitive,
    shared_code,
    long_files,
]


@pytest.mark.parametrize("check", CHECKS, ids=lambda check: check.__name__)
def test_package(check) -> None:
    sources = read_package()
    assert "_geometry" in sources
    assert check(sources) == []


@pytest.mark.parametrize("folder", ["tests", "examples", "benchmarks"])
def test_jax_is_used_by_its_public_names_outside_the_package_too(folder: str) -> None:
    sources = {
        path.name: path.read_text(encoding="utf-8")
        for path in (ROOT / folder).rglob("*.py")
        if path.name != Path(__file__).name
    }
    assert private_jax(sources) == []


MUTANTS = [
    (unplaced, {"_utils": ""}),
    (unplaced, {"_opsy": ""}),
    (upward_imports, {"_geometry": "from jconv._planner import choose", "_planner": ""}),
    (upward_imports, {"_problem": "import jconv._trilinear", "_trilinear": ""}),
    (upward_imports, {"_ops": "from jconv import testing", "testing": "", "": ""}),
    (upward_imports, {"_algorithms.direct": "from jconv import _ops", "_ops": "", "": ""}),
    (upward_imports, {"testing": "import jconv", "": ""}),
    (upward_imports, {"_ops": "if TYPE_CHECKING:\n    import jconv._plan", "_plan": "", "": ""}),
    (circles, {"_ops": "import jconv._custom", "_custom": "import jconv._ops"}),
    (imports_in_functions, {"_ops": "def f():\n    from jconv._custom import custom_conv"}),
    (relative_imports, {"_ops": "from ._custom import custom_conv"}),
    (relative_imports, {"_ops": "from . import _custom"}),
    (jax_below, {"_geometry": "import jax.numpy as jnp"}),
    (jax_below, {"_problem": "if True:\n    from jax import Array"}),
    (jax_below, {"_check.resolve": "from jconv import _jax"}),
    (private_jax, {"_jax": "from jax._src import core"}),
    (private_jax, {"_ops": "import jax\njax._src.core.Primitive"}),
    (version_sensitive, {"_trilinear": "from jax.interpreters import ad"}),
    (version_sensitive, {"_trilinear": "def f():\n    import jax.extend.core"}),
    (version_sensitive, {"_ops": "import jax\njax.extend.core.Primitive"}),
    (version_sensitive, {"_ops": "from jax import extend"}),
    (shared_code, {"testing._reference": "from jconv._geometry import Axis"}),
    (long_files, {"_ops": "\n" * (LINES + 1)}),
]


@pytest.mark.parametrize(("check", "sources"), MUTANTS)
def test_a_broken_rule_is_noticed(check, sources: Sources) -> None:
    assert check(sources) != []
