"""The table of the cost model's constants: complete, and read as a whole by the code."""

from __future__ import annotations

import ast
import math
from pathlib import Path

from jconv._algorithms.cost_constants import TABLE, values

PACKAGE = Path(__file__).parents[2] / "jconv"


def test_every_constant_has_a_unit_a_meaning_and_both_values():
    for name, constant in TABLE.items():
        assert constant.unit, name
        assert constant.meaning, name
        assert constant.origin in ("fitted", "products", "set"), name
        for value in (constant.value_0_10, constant.value_0_11):
            assert 0 < value < math.inf, name


def test_a_name_stands_in_the_table_once():
    text = (PACKAGE / "_algorithms" / "cost_constants.py").read_text(encoding="utf-8")
    assert text.count("    Constant(\n") + text.count('    Constant("') == len(TABLE)


def test_each_release_reads_its_own_column():
    for newer, column in ((False, "value_0_10"), (True, "value_0_11")):
        assert vars(values(newer)) == {n: getattr(c, column) for n, c in TABLE.items()}


def constants_read(source: str) -> set[str]:
    """Names read from CONSTANTS, or from what a function calls `c` for short."""
    short = {"CONSTANTS", "cost.CONSTANTS", "c"}
    return {
        node.attr
        for node in ast.walk(ast.parse(source))
        if isinstance(node, ast.Attribute) and ast.unparse(node.value) in short
    }


def test_the_code_reads_every_constant_and_no_other():
    folder = PACKAGE / "_algorithms"
    read = {
        name
        for path in folder.rglob("*.py")
        if "CONSTANTS" in (text := path.read_text(encoding="utf-8"))
        for name in constants_read(text)
    }
    assert read - {"value_0_10", "value_0_11", "name"} == set(TABLE)


def test_an_unused_constant_and_a_misspelt_one_would_be_noticed():
    assert constants_read("c = CONSTANTS\nc.dot_rate\nCONSTANTS.dot_rat\nother.copy_rate") == {
        "dot_rate",
        "dot_rat",
    }
