"""Mutation testing of the modules on which all sizes and derivatives rest.

    python tests/helpers/mutation.py [--module _core.geometry] [--limit N] [--seconds N]

Every comparison, operator, constant and pair of arguments in a module is changed, one at a time,
and the tests that concern the module are run on the changed source, in a child of this process
that has imported JAX already. A mutant that no test notices must be explained in
mutation_survivors.toml, or the exit status is 1.
"""

from __future__ import annotations

import argparse
import ast
import copy
import importlib.abc
import importlib.util
import os
import resource
import sys
import tempfile
import time
import tomllib
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).parents[2]
EXPLAINED = Path(__file__).with_name("mutation_survivors.toml")

# The tests of each module, the fastest first: the first that fails kills.
TESTS = {
    "_core.geometry": [
        ["tests/core/test_geometry.py"],
        ["tests/testing/run/test_mutation_kills.py", "-k", "values or symbolic"],
    ],
    "_ops.primitives": [
        ["tests/testing/run/test_mutation_kills.py"],
        ["tests/ops/test_trilinear_host.py"],
        ["tests/devices/test_sharding.py"],
        ["tests/planner/test_vmap_lowering.py"],
    ],
}

OPERATORS: dict[type, list[type]] = {
    ast.Add: [ast.Sub], ast.Sub: [ast.Add], ast.Mult: [ast.Add], ast.FloorDiv: [ast.Mult],
    ast.Mod: [ast.FloorDiv], ast.Lt: [ast.LtE, ast.GtE], ast.LtE: [ast.Lt, ast.Gt],
    ast.Gt: [ast.GtE, ast.LtE], ast.GtE: [ast.Gt, ast.Lt], ast.Eq: [ast.NotEq],
    ast.NotEq: [ast.Eq], ast.Is: [ast.IsNot], ast.IsNot: [ast.Is], ast.In: [ast.NotIn],
    ast.NotIn: [ast.In], ast.And: [ast.Or], ast.Or: [ast.And], ast.BitOr: [ast.BitAnd],
}  # fmt: skip
NAMES = {"any": "all", "all": "any", "min": "max", "max": "min"}


def changes(node: ast.AST) -> Iterator[ast.AST]:
    """What a node may be mutated into."""
    if isinstance(node, ast.BinOp | ast.BoolOp):
        for other in OPERATORS.get(type(node.op), []):
            changed = copy.deepcopy(node)
            changed.op = other()
            yield changed
    if isinstance(node, ast.Compare):
        for at, op in enumerate(node.ops):
            for other in OPERATORS.get(type(op), []):
                changed = copy.deepcopy(node)
                changed.ops[at] = other()
                yield changed
    if isinstance(node, ast.Constant) and type(node.value) is int:
        for value in {node.value + 1, node.value - 1 if node.value > 0 else -1}:
            yield ast.Constant(value)
    if isinstance(node, ast.Constant) and type(node.value) is bool:
        yield ast.Constant(not node.value)
    if isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.USub | ast.Not):
        yield node.operand
    if isinstance(node, ast.IfExp):
        yield ast.IfExp(node.test, node.orelse, node.body)
    if isinstance(node, ast.Call) and len(node.args) > 1:
        changed = copy.deepcopy(node)
        changed.args[:2] = changed.args[1::-1]
        yield changed
    if isinstance(node, ast.Name) and node.id in NAMES:
        yield ast.Name(NAMES[node.id], node.ctx)


def mutants(source: str) -> Iterator[tuple[str, str]]:
    """(what was done, the mutated source); docstrings and annotations are left alone."""
    tree = ast.parse(source)
    skipped = set()
    owner: dict[ast.AST, str] = {}

    def walk(node: ast.AST, name: str) -> None:
        if isinstance(node, ast.FunctionDef | ast.ClassDef):
            name = f"{name}.{node.name}" if name else node.name
        owner[node] = name
        for field, value in ast.iter_fields(node):
            for child in value if isinstance(value, list) else [value]:
                if isinstance(child, ast.AST):
                    if field in ("annotation", "returns"):
                        skipped.update(ast.walk(child))
                    walk(child, name)

    walk(tree, "")
    seen: dict[str, int] = {}
    for node in ast.walk(tree):
        if node in skipped:
            continue
        for changed in changes(node):
            done = f"{owner[node] or 'module'}: {ast.unparse(node)} -> {ast.unparse(changed)}"
            seen[done] = seen.get(done, 0) + 1
            if seen[done] > 1:
                done += f" #{seen[done]}"
            yield done, ast.unparse(_replaced(tree, node, changed))


def _replaced(tree: ast.AST, old: ast.AST, new: ast.AST) -> ast.AST:
    """A copy of the tree in which one node is another."""
    memo = {id(old): new}
    return ast.fix_missing_locations(copy.deepcopy(tree, memo))


class Loader(importlib.abc.MetaPathFinder, importlib.abc.Loader):
    """Finds one module of jconv in a text."""

    def __init__(self, module: str, source: str):
        self.module, self.source = f"jconv.{module}", source

    def find_spec(self, name, path=None, target=None):
        return importlib.util.spec_from_loader(name, self) if name == self.module else None

    def exec_module(self, module):
        exec(compile(self.source, f"<{self.module}, mutated>", "exec"), module.__dict__)


def survives(module: str, source: str, seconds: float) -> bool:
    """Whether all tests of the module pass on this source of it."""
    return all(_passes(module, source, tests, seconds) for tests in TESTS[module])


def _passes(module: str, source: str, tests: list[str], seconds: float) -> bool:
    pid = os.fork()
    if pid == 0:
        # What hangs is ended, which no test would let pass; what is merely paused is not.
        resource.setrlimit(resource.RLIMIT_CPU, (int(seconds), int(seconds) + 10))
        _child(module, source, tests)
    return os.waitpid(pid, 0)[1] == 0


def _child(module: str, source: str, tests: list[str]) -> None:
    code = 1
    try:
        quiet = os.open(os.devnull, os.O_WRONLY)
        os.dup2(quiet, 1)
        os.dup2(quiet, 2)
        sys.meta_path.insert(0, Loader(module, source))
        import pytest

        # Where jconv is installed pytest would import it itself, to rewrite its assertions.
        options = ["-x", "-q", "-p", "no:cacheprovider", "-p", "no:xdist", "--assert=plain"]
        options += ["-o", "addopts=", "-m", "not slow and not soak"]
        code = int(pytest.main([*options, *tests]))
        if not isinstance(sys.modules[f"jconv.{module}"].__loader__, Loader):
            code = 1  # the tests were not of this source
    finally:
        os._exit(code)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--module", choices=TESTS, action="append")
    parser.add_argument("--limit", type=int, help="at most this number of mutants, evenly spaced")
    parser.add_argument(
        "--seconds", type=float, default=300, help="of processor time, after which tests hang"
    )
    options = parser.parse_args()
    os.chdir(ROOT)
    sys.path[:0] = [str(ROOT), str(ROOT / "tests"), str(ROOT / "tests" / "helpers")]
    os.environ["PYTHONPATH"] = os.pathsep.join(sys.path[:3])
    # Mutants mostly compile the same programs.
    cache = tempfile.TemporaryDirectory()
    os.environ["JAX_COMPILATION_CACHE_DIR"] = cache.name
    os.environ["JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS"] = "0"
    os.environ["JAX_PERSISTENT_CACHE_MIN_ENTRY_SIZE_BYTES"] = "-1"
    import jax  # noqa: F401 - for the children, which begin with a copy of it

    assert "jconv" not in sys.modules
    explained = tomllib.loads(EXPLAINED.read_text())
    unexplained = 0
    for module in options.module or TESTS:
        path = ROOT.joinpath("jconv", *module.split(".")).with_suffix(".py")
        source = path.read_text()
        if not survives(module, source, options.seconds):
            print(f"{module}: its tests fail as it stands")
            return 1
        every = list(mutants(source))
        chosen = every[:: max(len(every) // options.limit, 1)] if options.limit else every
        start, alive, known = time.monotonic(), [], explained.get(module, {})
        for number, (done, mutated) in enumerate(chosen, start=1):
            if not survives(module, mutated, options.seconds):
                continue
            reason = known.get(done)
            alive.append(done)
            unexplained += reason is None
            elapsed = time.monotonic() - start
            print(
                f"[{number}/{len(chosen)}, {elapsed:.0f} s] survives: {done}: "
                f"{reason or 'NOT EXPLAINED'}",
                flush=True,
            )
        gone = [done for done in known if done not in dict(every)]
        print(
            f"{module}: {len(chosen)} mutants, {len(chosen) - len(alive)} killed, "
            f"{len(alive)} survive; explained but gone: {gone or 'none'}",
            flush=True,
        )
    return 1 if unexplained else 0


if __name__ == "__main__":
    sys.exit(main())
