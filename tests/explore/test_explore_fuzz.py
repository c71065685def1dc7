"""Random addresses, changes and networks, asked of the answers themselves: each is answered.

Half of the values are odd. An answer is a plan or a sentence; what mends a call must mend it.
"""

from __future__ import annotations

import json
import random
from collections.abc import Callable
from typing import Any

import pytest

from jconv._chain.layers import KINDS
from jconv._explore.answers import diagnose_answer, plan_answer, solve_answer
from jconv._explore.edit import FIELDS
from jconv._explore.network import chain_answer
from jconv._explore.question import ARRAYS, MODES, RULES, read_address, write_address

SEEDS = range(10)
ODD = (
    *("0", "-1", "-7", "1000000000", "1000000000000", "9" * 60, "+3", " 4 ", "1.5", "1e3", "", "٣"),
    *("h", "2*h+1", "h-1", "h*w", "-h", "0*h", "h*h*h*h*h", "h+", "h h", "(", "))", "_", "²", "é"),
    *("- floordiv(- h, 2)", "max(h - 2, 0)", "floordiv(h, 0)", "mod(h, 2)", "h+9**9**9", "None"),
)
LAYOUTS = (
    "NWC",
    "NCW",
    "NHWC",
    "NCHW",
    "NDHWC",
    "CHWN",
    "NHWC,OIHW,NCHW",
    "NCW,OIW,NCW",
    "HHWC",
    "N",
)
PADS = (*RULES, "0", "1", "2", "1:0", "0:2", "-1:1", "-1", "FULL", "1:2:3", ":")
BORDERS = (*MODES, "zeros:edge", "reflect:circular", "edge:", "wrap")


def sizes(random: random.Random, count: int, most: int, odd: float) -> list[str]:
    return [
        random.choice(ODD) if random.random() < odd else str(random.randint(1, most))
        for _ in range(count)
    ]


def random_address(random: random.Random) -> str:
    """The address of a call: often right, often nearly right, now and then nonsense."""
    op, rank = random.choice(list(ARRAYS)), random.choice([1, 1, 2, 2, 3])
    odd = random.choice([0, 0, 0.03, 0.15])
    n, c, f = sizes(random, 3, 8, odd)
    x, g = ([n, *sizes(random, rank, 20, odd), channels] for channels in (c, f))
    shapes = {"x": x, "w": [*sizes(random, rank, 5, odd), c, f], "g": g}
    if op == "conv_transpose":
        shapes["x"] = g
    for shape in shapes.values():
        if random.random() < 0.05:
            shape.pop()
    parts = {"op": op, **{name: ",".join(shape) for name, shape in shapes.items()}}

    def each(choices: tuple[str, ...]) -> str:
        entries = [random.choice(choices) for _ in range(random.choice([1, rank, rank]))]
        return ",".join(entries if random.random() > odd else [random.choice(ODD)])

    factors = ("1", "1", "2", "3")
    for name, choices, often in [
        ("stride", factors, 0.6),
        ("dilation", factors, 0.3),
        ("input_dilation", factors, 0.2),
        ("padding", PADS[:10], 0.6),
        ("padding_mode", BORDERS[:6], 0.3),
        ("groups", ("2", "3"), 0.15),
        ("layout", LAYOUTS, 0.2),
        ("output_padding", ("0", "1", "2"), 0.3 if op == "conv_transpose" else 0.05),
        ("output_shape", ("7", "12", "h"), 0.2 if op == "conv_transpose" else 0.03),
        ("dtype", ("float64", "bfloat16", "float"), 0.1),
    ]:
        if random.random() < often:
            parts[name] = each(choices)
    return mutated(random, "&".join(f"{name}={value}" for name, value in parts.items()), 0.1)


def mutated(random: random.Random, text: str, often: float) -> str:
    while random.random() < often:
        at = random.randrange(len(text) + 1)
        junk = random.choice(
            ["", ",", "&", "=", "%", "%00", "(", "-", "\n", "9" * 10, "\ud800", "#"]
        )
        text = text[:at] + junk + text[at + random.randrange(5) :]
        often = 0.5
    return text


def random_change(random: random.Random) -> dict[str, Any]:
    choices = (*ODD, *PADS, *BORDERS, *LAYOUTS, *ARRAYS, "1", "2", "3", "4", "5", "8", "numbers")
    value = random.choice([random.choice(choices), str(random.randint(1, 9)), None, 3, [], {}])
    axis = random.choice([0, 0, 1, 1, 2, None, -1, "0", 10**30])
    return {"field": random.choice([*FIELDS, "nothing"]), "axis": axis, "value": value}


def random_network(random: random.Random) -> str:
    def value() -> str:
        numbers = f"[{', '.join(str(random.randint(-1, 5)) for _ in range(random.randint(0, 3)))}]"
        odd = [
            '"SAME"',
            '"h"',
            "1.5",
            "true",
            "1000000000000",
            "nan",
            "{a = 1}",
            "[[1, 2], [0, 1]]",
        ]
        return random.choice([str(random.randint(0, 5)), numbers, random.choice(odd)])

    size = random.choice(["16", "45", '"h"'])
    lines = [f"x_shape = [{', '.join(['8', *[size] * random.randint(1, 2), '4'])}]"]
    for _ in range(random.randint(1, 5)):
        kind = random.choice(["conv", "conv", "conv_transpose", *KINDS])
        lines += ["[[layers]]", f'kind = "{kind}"']
        if kind.startswith("conv"):
            lines += ["features = 8", "kernel = 3"]
        for key in ("stride", "padding", "groups", "output_padding", "factor", "name", "with"):
            if random.random() < 0.1:
                lines.append(f"{key} = {value()}")
    return mutated(random, "\n".join(lines), 0.1)


def answer_of(ask: Callable[[dict[str, Any]], dict[str, Any]], **request: Any) -> dict[str, Any]:
    """The answer to a request as it comes over the wire, which is a plan or a sentence."""
    answer = ask(json.loads(json.dumps(request)))
    json.dumps(answer)
    said = [answer.get(name) for name in ("error", "refused", "text")]
    assert answer["ok"] or any(said), request
    for text in filter(None, said):
        first, _, _ = text.partition("\n  argument:")
        assert answer["ok"] or first.rstrip()[-1] in ".?)", request
    return answer


@pytest.mark.parametrize("seed", SEEDS)
def test_every_call_is_answered(seed: int) -> None:
    chance, address = random.Random(seed), ""
    for _ in range(12):
        if chance.random() < 0.7:
            address = random_address(chance)
        change = random_change(chance) if chance.random() < 0.6 else None
        at = chance.choice([None, [0, 0], [10**30, -1], ["a"], 3])
        plan = answer_of(
            plan_answer, address=address, change=change, at=at, narrow=chance.random() < 0.3
        )
        address = plan["address"]
        assert write_address(read_address(address)) == address
        found = answer_of(diagnose_answer, address=address)
        assert found["ok"] == plan["ok"], address
        mended = [remedy["address"] for remedy in found["remedies"] if remedy["address"]]
        sized = found["sizes"][:1] if found["ok"] or len(found["sizes"]) == 1 else []
        mended += [row["buttons"][-1]["address"] for row in sized]
        for other in mended[:2]:
            assert answer_of(plan_answer, address=other)["ok"], (address, other)


@pytest.mark.parametrize("seed", SEEDS)
def test_every_search_and_network_is_answered(seed: int) -> None:
    chance = random.Random(seed)
    for _ in range(3):
        request = {
            name: ",".join(sizes(chance, chance.choice([1, 1, 2, 5]), 20, 0.1))
            for name in ("input", "output", "kernel", "stride")
            if name in ("input", "output") or chance.random() < 0.3
        }
        found = answer_of(solve_answer, transposed=chance.random() < 0.5, **request)
        for solution in found["solutions"][:1]:
            assert answer_of(plan_answer, address=solution["address"])["ok"], request
        text = 'kind = "conv", features = 3, kernel = 3'
        changes = [
            None,
            {"insert": 0},
            {"remove": 0},
            {"move": 0, "to": chance.choice([1, None, -1])},
            {"row": chance.choice([0, 1, True, "0"]), "text": mutated(chance, text, 0.5)},
            {"top": chance.choice(["x_shape = [1, 9, 9, 3]", "x_shape = 3", 3, ["x"]])},
        ]
        network = random_network(chance)
        chain = answer_of(chain_answer, toml=network, change=chance.choice(changes))
        for restore in chain.get("restores") or []:
            if restore["change"]:
                again = answer_of(chain_answer, toml=chain["toml"], change=restore["change"])
                assert again["ok"], chain["toml"]
