"""What the page is told about one call: its plan, its diagnosis, and settings found by `solve`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from jconv._core.errors import ConvError
from jconv._core.layout import spatial_names
from jconv._explore.calls.jax_calls import jconv_call
from jconv._explore.calls.write import write_calls
from jconv._explore.edit import channels_of, edit, features_of
from jconv._explore.limits import MAX_SOLUTIONS, MAX_SOLVED, RefusedError, check_rank
from jconv._explore.mending import consistent_sizes, diagnosis_of, remedies_of
from jconv._explore.plane import plane_answer
from jconv._explore.question import (
    TOLD,
    Question,
    one_or_each,
    read_address,
    read_number,
    write_address,
)
from jconv._explore.whole import (
    forward_plan,
    in_full,
    numbers_of,
    size_at,
    solved_padding,
)
from jconv._plan.picture.picture import plan_svg
from jconv._plan.plan import Plan
from jconv._plan.solve import Solution, solve
from jconv._plan.table import amount

Answer = dict[str, Any]
# Cut out of pictures: the Content-Security-Policy forbids style attributes, and the page's own
# style sheet sizes them.
_STYLE = ' style="max-width:100%;height:auto"'


def plan_answer(request: Mapping[str, Any]) -> Answer:
    """The call of an address, changed as asked: its fields, and its plan where it is right."""
    question, refused = _read(request)
    answer: Answer = {
        "address": write_address(question),
        "form": _form(question),
        "refused": refused,
        "ok": False,
        "call": jconv_call(question),
    }
    try:
        question.check()
        # Refused where one axis is padded by a name, another by numbers, and sizes are symbols:
        # jconv has no such call. The answer then shows the call as it was asked for.
        answer["call"] = jconv_call(solved_padding(question))
        found = diagnosis_of(question)
        if not found.ok:
            return {**answer, "error": found.text, "argument": found.argument}
        plan = forward_plan(question)
    except ConvError as error:
        return {**answer, "error": str(error), "argument": error.argument}
    except RefusedError as why:
        return {**answer, "error": str(why), "argument": None}
    narrow = request.get("narrow") is True  # the page has room for about 400 pixels
    return {
        **answer,
        "ok": True,
        "text": str(plan),
        "shapes": _shapes(question, plan),
        "svg": without_style(plan_svg(plan, plane=False, narrow=narrow)),
        "plane": _plane(plan, request.get("at"), narrow),
        "axes": _axes(question, plan),
        "legs": _legs(question, plan),
        "parameters": amount(plan.parameters, ""),
        "calls": write_calls(question, plan),
    }


def diagnose_answer(request: Mapping[str, Any]) -> Answer:
    """What is wrong with the call of an address, with the addresses of calls that mend it."""
    question, _ = _read(request)
    try:
        question.check()
        found = diagnosis_of(question)
    except RefusedError as why:
        return {"ok": False, "argument": None, "text": str(why), "remedies": [], "sizes": []}
    return {
        "ok": found.ok,
        "argument": found.argument,
        "text": found.text,
        "remedies": remedies_of(question, found),
        "sizes": consistent_sizes(question, found),
    }


def solve_answer(request: Mapping[str, Any]) -> Answer:
    """Settings that take one size to another, each with the address of its call."""
    try:
        question = read_address(str(request.get("address", "")))
        ends = {name: _sizes(name, request.get(name)) for name in ("input", "output")}
        given = {
            name: _sizes(name, request[name])
            for name in ("kernel", "stride")
            if request.get(name) not in (None, "")
        }
        rank = max(map(len, (*ends.values(), *given.values())))
        check_rank(rank)
        for name, sizes in given.items():
            if max(sizes) > MAX_SOLVED:
                raise RefusedError(f"This page searches a {name} of at most {MAX_SOLVED}.")
        transposed = request.get("transposed") is True
        found = solve(
            transposed=transposed,
            **{name: one_or_each(sizes) for name, sizes in {**ends, **given}.items()},
        )
    except (RefusedError, ConvError) as why:
        return {"ok": False, "error": str(why), "solutions": []}
    solutions = [_solution(question, ends["input"], rank, s, transposed) for s in found]
    return {"ok": True, "solutions": solutions[:MAX_SOLUTIONS], "more": len(found) - MAX_SOLUTIONS}


def without_style(svg: str) -> str:
    return svg.replace(_STYLE, "", 1)


# --- reading a request --------------------------------------------------------------------


def _read(request: Mapping[str, Any]) -> tuple[Question, str | None]:
    """The call of an address after the requested change, and why it was refused if it was."""
    question, refused = _changed(request)
    return in_full(question), refused


def _changed(request: Mapping[str, Any]) -> tuple[Question, str | None]:
    try:
        question = read_address(str(request.get("address", "")))
    except RefusedError as why:
        return Question(), f"{why} The page shows its example instead."
    change = request.get("change")
    if not isinstance(change, Mapping):
        return question, None
    try:
        question.check()  # some changes take a plan of the call as it is
    except RefusedError:
        return _first_change(question, change)
    try:
        return edit(question, change), None
    except (RefusedError, ConvError) as why:
        return question, str(why)


def _first_change(question: Question, change: Mapping[str, Any]) -> tuple[Question, str | None]:
    """A change of a call that is too large to plan; refused where it takes a plan of that call."""
    if change.get("field") in ("op", "output", "output_padding"):
        return question, "This call is too large to plan: make it smaller first."
    try:
        return edit(question, change), None
    except (RefusedError, ConvError) as why:
        return question, str(why)


def _sizes(name: str, value: Any) -> tuple[int, ...]:
    """The sizes in text such as "6", or "6, 8" with one number for each axis."""
    parts = str(value if value is not None else "").replace("×", ",").split(",")
    check_rank(len(parts))
    sizes = tuple(read_number(name, part) for part in parts)
    if min(sizes) < 0:
        raise RefusedError(f"`{name}` cannot be negative.")
    return sizes


# --- the parts of an answer ---------------------------------------------------------------


def _form(question: Question) -> Answer:
    """The value of every field of the page; None where the call's shapes have no such size."""
    names = spatial_names(question.rank)
    told = TOLD.get(question.op)
    axes = []
    for axis, name in enumerate(names):
        rule, mode = question.padding[axis], question.padding_mode[axis]
        try:
            pads = numbers_of(question, axis)
        except RefusedError:
            pads = (None, None)
        extra = question.output_padding
        axes.append(
            {
                "name": name,
                "x_size": size_at(question, "x", axis),
                "g_size": size_at(question, "g", axis),
                "kernel": size_at(question, "w", axis),
                "stride": question.stride[axis],
                "dilation": question.dilation[axis],
                "input_dilation": question.input_dilation[axis],
                "padding": rule if isinstance(rule, str) else "numbers",
                "low": pads[0],
                "high": pads[1],
                "padding_mode": mode if isinstance(mode, str) else ":".join(mode),
                "output_padding": None if extra is None else extra[axis],
            }
        )
    first = {"conv_transpose": "x", "conv_input_grad": "g"}.get(question.op, "x")
    shapes = {name.removesuffix("_shape"): list(s) for name, s in question.shapes().items()}
    if told is not None:
        shapes[told] = list(getattr(question, told))
    return {
        "op": question.op,
        "rank": question.rank,
        "layout": question.layout or f"N{names}C",
        "layouts": [
            f"N{names}C",
            f"NC{names}",
            f"N{names}C,OI{names},N{names}C",
            f"NC{names},{names}IO,NC{names}",
        ],
        "batch": channels_of(question, first, 0),
        "channels": channels_of(question, first, -1),
        "features": features_of(question),
        "groups": question.groups,
        "dtype": question.dtype,
        "platform": question.platform or "",
        "told": told,
        "shapes": {name: ", ".join(map(str, s)) for name, s in shapes.items() if name in "xwg"},
        "axes": axes,
    }


def _shapes(question: Question, plan: Plan) -> Answer:
    """The shapes of both arrays and of the result, under the names that the page gives them."""
    x, g = plan.x_shape, plan.y_shape
    known = {"x": x, "w": plan.w_shape, "y": g, "g": g, "dx": x, "dw": plan.w_shape}
    names = {
        "conv": ("x", "w", "y"),
        "conv_transpose": ("x", "w", "y"),
        "conv_input_grad": ("g", "w", "dx"),
        "conv_filter_grad": ("x", "g", "dw"),
    }[question.op]
    return {name: [str(size) for size in known[name]] for name in names}


def _plane(plan: Plan, at: Any, narrow: bool) -> Answer | None:
    fits = isinstance(at, list) and len(at) == 2 and all(type(o) is int for o in at)
    plane = plane_answer(plan, at if fits else None, narrow=narrow)
    return None if plane is None else {**plane, "svg": without_style(plane["svg"])}


def _axes(question: Question, plan: Plan) -> list[Answer]:
    """What follows from the settings on each axis, as text."""
    source, target = (plan.x_shape, plan.y_shape)
    here, there = ("x", "y") if plan.op == "conv" else ("y", "x")
    rows = []
    for axis, name in enumerate(spatial_names(question.rank)):
        low, high = plan.padding[axis]
        rows.append(
            {
                "name": name,
                "input": str(source[plan.layout.spatial(here)[axis]]),
                "output": str(target[plan.layout.spatial(there)[axis]]),
                "covers": str(plan.effective_kernel[axis]),
                "padding": f"{low}, {high}",
                "remainder": str(plan.remainder[axis]),
                "receptive_field": str(plan.receptive_field[axis]),
            }
        )
    return rows


def _legs(question: Question, plan: Plan) -> list[Answer]:
    """Cost and algorithm of each leg, and why no other algorithm runs."""
    asked = question.op.removeprefix("conv_") if question.op != "conv" else "conv"
    asked = "input_grad" if asked == "transpose" else asked
    return [
        {
            "name": name,
            "runs": name == asked,
            "algorithm": leg.algorithm,
            "flops": amount(leg.flops, "FLOP"),
            "bytes": amount(leg.bytes, "B"),
            "workspace": amount(leg.workspace_bytes, "B"),
            "rejected": [{"name": n, "reason": str(why)} for n, why in leg.rejected.items()],
        }
        for name, leg in plan.legs.items()
    ]


def _solution(
    question: Question, sizes: tuple[int, ...], rank: int, found: Solution, transposed: bool
) -> Answer:
    """One solution with the address of its call, which keeps the channels of the page's call."""

    def each(value: Any) -> tuple[Any, ...]:
        return value if isinstance(value, tuple) else (value,) * rank

    c, f = channels_of(question, "x", -1), channels_of(question, "w", -1)
    if question.op == "conv_transpose":
        f = features_of(question)
    c, f = (size if isinstance(size, int) else 1 for size in (c, f))
    spatial = sizes * rank if len(sizes) == 1 else sizes
    ones = (1,) * rank
    made = Question(
        op="conv_transpose" if transposed else "conv",
        x=(1, *spatial, c),
        w=(*each(found.kernel), *((f, c) if transposed else (c, f))),
        stride=each(found.stride),
        padding=tuple((p, p) if isinstance(p, int) else p for p in each(found.padding)),
        dilation=each(found.dilation),
        input_dilation=ones,
        padding_mode=("zeros",) * rank,
        output_padding=None if found.output_padding is None else each(found.output_padding),
    )
    return {
        "kernel": _times(found.kernel),
        "stride": _times(found.stride),
        "call": found.call,
        "address": write_address(made),
    }


def _times(value: Any) -> str:
    return " × ".join(map(str, value)) if isinstance(value, tuple) else str(value)
