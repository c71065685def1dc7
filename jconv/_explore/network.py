"""What the page is told about a network: the TOML of `jconv chain`, read, changed and planned.

The page shows a network as a table. Each line of it is called a row here: one layer, whose keys
and values stand as TOML on that line.
"""

from __future__ import annotations

import json
import re
import tomllib
from collections.abc import Mapping
from typing import Any

from jconv._chain.chain import ChainPlan, plan_chain
from jconv._chain.layers import KINDS
from jconv._core.errors import ConvError
from jconv._explore.limits import (
    MAX_LAYERS,
    MAX_TOML,
    RefusedError,
    check_groups,
    check_length,
    check_phases,
    check_rank,
    check_taps,
    shortened,
)
from jconv._plan.table import amount

EXAMPLE = """\
x_shape = [8, 45, 60, 3]

[[layers]]
kind = "conv"
name = "down1"
features = 32
kernel = 3
stride = 2

[[layers]]
kind = "relu"

[[layers]]
kind = "conv"
name = "down2"
features = 64
kernel = 3
stride = 2

[[layers]]
kind = "relu"

[[layers]]
kind = "conv"
name = "middle"
features = 64
kernel = 3
dilation = 2

[[layers]]
kind = "conv_transpose"
name = "up2"
features = 32
kernel = 3
stride = 2

[[layers]]
kind = "conv_transpose"
name = "up1"
features = 3
kernel = 3
stride = 2
output_padding = [0, 1]
"""

Answer = dict[str, Any]
Content = dict[str, Any]


def chain_answer(request: Mapping[str, Any]) -> Answer:
    """A network's rows as the file has them and what follows for each layer; or what is wrong.

    Args:
        request: `toml`, the text of the file, empty for the example; and as `change` one of
            {"row": n, "text": keys}, {"insert": n}, {"remove": n}, {"move": n, "to": m} and
            {"top": keys}; `keys` are TOML on one line.
    """
    text = str(request.get("toml") or EXAMPLE)
    refused = None
    try:
        check_length("The network", text, MAX_TOML)
        content = _read(text)
    except RefusedError as why:
        return {"toml": text[:MAX_TOML], "ok": False, "error": str(why), "rows": None}
    change = request.get("change")
    if isinstance(change, Mapping):
        try:
            content = _changed(content, change)
            text = write_toml(content)
            check_length("The network", text, MAX_TOML)
        except RefusedError as why:
            refused = str(why)
            content = _read(text) if refused.startswith("The network has") else content
    answer: Answer = {
        "toml": text,
        "refused": refused,
        "ok": False,
        "kinds": list(KINDS),
        "top": _inline({key: v for key, v in content.items() if key != "layers"}),
        "rows": [_inline(layer) for layer in content["layers"]],
    }
    try:
        _check(content)
        chain = plan_chain(content.get("x_shape"), content["layers"], **_options(content))
    except ConvError as error:
        found = re.search(r"layers\[(\d+)\]", error.message)
        return {**answer, "error": str(error), "row": int(found[1]) if found else None}
    except (RefusedError, TypeError) as why:
        return {**answer, "error": str(why), "row": None}
    return {**answer, "ok": True, **_facts(chain, content)}


# --- the text -----------------------------------------------------------------------------


def _read(text: str) -> Content:
    try:
        content = tomllib.loads(text)
    except (tomllib.TOMLDecodeError, RecursionError, ValueError) as error:
        raise RefusedError(f"This is not TOML: {error!s:.200}.") from None
    layers = content.get("layers")
    if not isinstance(layers, list) or not all(isinstance(layer, dict) for layer in layers):
        raise RefusedError("The network needs a [[layers]] table for each layer.")
    unknown = sorted(set(content) - {"x_shape", "layers", "dtype", "constraints", "layout",
                                     "platform"})  # fmt: skip
    if unknown:
        raise RefusedError(f"The network has an unknown key: {unknown[0]:.60}.")
    if len(layers) > MAX_LAYERS:
        raise RefusedError(
            f"This page plans at most {MAX_LAYERS} layers; this network has {len(layers)}. "
            "`jconv chain` in a terminal has no such limit."
        )
    return content


def write_toml(content: Content) -> str:
    """A network as a TOML file that `jconv chain` reads."""
    lines = [f"{key} = {_value(v)}" for key, v in content.items() if key != "layers"]
    for layer in content["layers"]:
        lines += ["", "[[layers]]", *(f"{_key(key)} = {_value(v)}" for key, v in layer.items())]
    return "\n".join(lines) + "\n"


def _key(name: str) -> str:
    return name if re.fullmatch(r"[A-Za-z0-9_-]+", name) else json.dumps(name)


def _value(value: Any) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int | float):
        return repr(value)
    if isinstance(value, list):
        return "[" + ", ".join(map(_value, value)) + "]"
    if isinstance(value, dict):
        return "{ " + _inline(value) + " }"
    return json.dumps(str(value), ensure_ascii=False)


def _inline(table: Content) -> str:
    """A table on one line, without its braces."""
    return ", ".join(f"{_key(key)} = {_value(value)}" for key, value in table.items())


def _table(text: str) -> Content:
    """The keys and values of a row's text."""
    check_length("This row", text, 1000)
    if "\n" in text or "\r" in text:
        raise RefusedError("A row is one line.")
    try:
        content = tomllib.loads(f"row = {{ {text} }}")
    except (tomllib.TOMLDecodeError, RecursionError, ValueError) as error:
        why = re.sub(r" \(at .*\)$", "", str(error))
        raise RefusedError(
            f"This row is not TOML ({why:.100}): write key = value, words in quotes, such as "
            'kind = "conv", features = 8, kernel = 3.'
        ) from None
    if set(content) != {"row"} or not isinstance(content["row"], dict):
        raise RefusedError("A row holds keys and values with commas between them.")
    return content["row"]


def _changed(content: Content, change: Mapping[str, Any]) -> Content:
    layers = list(content["layers"])
    if "top" in change:
        top = _table(str(change["top"]))
        if "layers" in top:
            raise RefusedError("`layers` are the rows below.")
        return {**top, "layers": layers}
    kind = next((name for name in ("row", "insert", "remove", "move") if name in change), None)
    at = change.get(kind or "")
    if not isinstance(at, int) or not 0 <= at <= len(layers):
        raise RefusedError("There is no such row.")
    if kind == "insert":
        layers.insert(at, {"kind": "conv", "features": 8, "kernel": 3})
    elif at == len(layers):
        raise RefusedError("There is no such row.")
    elif kind == "row":
        layers[at] = _table(str(change.get("text", "")))
    elif kind == "remove":
        if len(layers) == 1:
            raise RefusedError("A network needs one layer or more.")
        del layers[at]
    else:
        to = change.get("to")
        if not isinstance(to, int) or not 0 <= to < len(layers):
            raise RefusedError("The row is at the end already.")
        layers.insert(to, layers.pop(at))
    return {**content, "layers": layers}


# --- planning -----------------------------------------------------------------------------


def _check(content: Content) -> None:
    """Raise a RefusedError for a network that would take long to plan."""
    shape = content.get("x_shape")
    check_rank(len(shape) - 2 if isinstance(shape, list) else 0)
    rank = max(len(shape) - 2, 1) if isinstance(shape, list) else 1
    work = 0
    for layer in content["layers"]:
        check_groups(layer.get("groups"))
        check_taps(_each(layer.get("kernel"), rank))
        for name in ("stride", "dilation", "input_dilation", "factor"):
            factors = _each(layer.get(name), rank)
            check_phases(name, factors)
            work += _product(factors)
        work += max(_each(layer.get("kernel"), rank), default=0)
    if work > 4 * 1024:
        raise RefusedError(
            "This page plans networks whose kernels, and products of strides and of dilations, "
            f"add up to at most 4096; here it is {shortened(work)}."
        )


def _each(value: Any, rank: int) -> list[int]:
    """The positive numbers that a key has for the axes; no others count for the time to plan."""
    entries = value if isinstance(value, list) else [value] * rank
    return [entry for entry in entries if type(entry) is int and entry > 0]


def _product(factors: list[int]) -> int:
    product = 1
    for factor in factors:
        product *= factor
    return product if product > 1 else 0


def _options(content: Content) -> Content:
    return {key: v for key, v in content.items() if key not in ("x_shape", "layers")}


def _facts(chain: ChainPlan, content: Content) -> Answer:
    names = chain.size_names

    def shown(shape: Any) -> str:
        return ", ".join(map(names.show, shape))

    rows = []
    for row in chain.rows:
        plan = chain.plans.get(row.name)
        step = None if row.step is None else " × ".join(map(str, row.step))
        rows.append(
            {
                "name": row.name,
                "shape": shown(row.out_shape),
                "field": " × ".join(map(str, row.receptive_field)),
                "step": step,
                "parameters": amount(row.parameters, ""),
                "forward": amount(row.forward, "FLOP"),
                "algorithm": None if plan is None else plan.legs[plan.leg].algorithm,
            }
        )
    places = {row.name: n for n, row in enumerate(chain.rows)}
    restores = []
    for restore in chain.restores:
        change = None
        extra = restore.output_padding
        if not restore.restored and extra is not None and all(type(v) is int for v in extra):
            layer = dict(content["layers"][places[restore.layer]])
            layer.pop("output_shape", None)
            layer.pop("like", None)
            layer["output_padding"] = list(extra)
            change = {"row": places[restore.layer], "text": _inline(layer)}
        restores.append({"text": restore.text, "restored": restore.restored, "change": change})
    return {
        "facts": rows,
        "restores": restores,
        "legend": [f"{name} = {text}" for name, text in names.legend.items()],
        "total": {
            "y": shown(chain.y_shape),
            "field": " × ".join(map(str, chain.receptive_field)),
            "parameters": amount(chain.parameters, ""),
            "forward": amount(chain.forward, "FLOP"),
            "operations": amount(chain.operations, "FLOP"),
            "memory": amount(chain.memory, "B"),
        },
        "svg": chain.to_svg(),
        "text": str(chain),
    }
