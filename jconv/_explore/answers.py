"""What the page is told about one call: its plan, its diagnosis, and settings that were sought."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from jconv._core import geometry
from jconv._core.errors import ConvError
from jconv._core.layout import spatial_names
from jconv._diagnosis.diagnose import Diagnosis, diagnose
from jconv._explore.calls.jax_calls import jconv_call
from jconv._explore.calls.write import write_calls
from jconv._explore.edit import channels_of, edit, features_of
from jconv._explore.limits import MAX_SOLUTIONS, MAX_SOLVED, RefusedError, check_rank
from jconv._explore.plane import plane_answer
from jconv._explore.question import (
    Question,
    one_or_each,
    read_address,
    read_number,
    write_address,
)
from jconv._explore.whole import apply, forward_plan, numbers_of, size_at, solved_padding
from jconv._plan.picture.picture import plan_svg
from jconv._plan.plan import Plan
from jconv._plan.solve import Solution, solve
from jconv._plan.table import amount

Answer = dict[str, Any]
MOST_BUTTONS = 12  # sizes offered for one axis
# Content-Security-Policy forbids style attributes; the page's own style says the same.
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
        # The name of a padding beside numbers is not known for sizes that are symbols.
        found = _diagnosis(question)
        if not found.ok:
            return {**answer, "error": found.text, "argument": found.argument}
        plan = forward_plan(question)
    except ConvError as error:
        return {**answer, "error": str(error), "argument": error.argument}
    except RefusedError as why:
        return {**answer, "error": str(why), "argument": None}
    return {
        **answer,
        "ok": True,
        "call": jconv_call(solved_padding(question)),
        "text": str(plan),
        "shapes": _shapes(question, plan),
        "svg": without_style(plan_svg(plan, plane=False)),
        "plane": _plane(plan, request.get("at")),
        "axes": _axes(question, plan),
        "legs": _legs(question, plan),
        "parameters": amount(plan.parameters, ""),
        "calls": write_calls(question, plan),
    }


def diagnose_answer(request: Mapping[str, Any]) -> Answer:
    """What is wrong with the call of an address, with the addresses of calls that are right."""
    question, _ = _read(request)
    try:
        question.check()
        found = _diagnosis(question)
    except RefusedError as why:
        return {"ok": False, "argument": None, "text": str(why), "remedies": [], "sizes": []}
    remedies = []
    for remedy in found.remedies:
        mended = apply(question, remedy)
        address = None if mended is None else write_address(mended)
        remedies.append({"argument": remedy.argument, "text": remedy.text, "address": address})
    return {
        "ok": found.ok,
        "argument": found.argument,
        "text": found.text,
        "remedies": remedies,
        "sizes": _consistent(question),
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
    """The question after the change, and why something of it was refused."""
    try:
        question = read_address(str(request.get("address", "")))
    except RefusedError as why:
        return Question(), f"{why} The page shows its example instead."
    change = request.get("change")
    if not isinstance(change, Mapping):
        return question, None
    try:
        question.check()  # a change may ask for a plan of the call before
    except RefusedError:
        return _first_change(question, change)
    try:
        return edit(question, change), None
    except (RefusedError, ConvError) as why:
        return question, str(why)


def _first_change(question: Question, change: Mapping[str, Any]) -> tuple[Question, str | None]:
    """A change of a call that is too large to plan: all but another operation."""
    if change.get("field") in ("op", "output", "output_padding"):
        return question, "This call is too large to plan: make it smaller first."
    try:
        return edit(question, change), None
    except (RefusedError, ConvError) as why:
        return question, str(why)


def _sizes(name: str, value: Any) -> tuple[int, ...]:
    """6, or 6, 8 with one number for each axis."""
    parts = str(value if value is not None else "").replace("×", ",").split(",")
    check_rank(len(parts))
    sizes = tuple(read_number(name, part) for part in parts)
    if min(sizes) < 0:
        raise RefusedError(f"`{name}` cannot be negative.")
    return sizes


def _diagnosis(question: Question) -> Diagnosis:
    question = solved_padding(question)
    shapes = question.shapes()
    symbolic = any(isinstance(size, str) for shape in shapes.values() for size in shape)
    if symbolic and question.op in ("conv", "conv_transpose"):
        try:
            forward_plan(question)
        except ConvError as error:
            return Diagnosis(False, error.argument, tuple(error.remedies), str(error))
        return Diagnosis(True, None, (), "Nothing is wrong, for all sizes that the symbols take.")
    arguments = {n if n.endswith("_shape") else f"{n}_shape": s for n, s in shapes.items()}
    return diagnose(op=question.op, **arguments, **question.settings())  # type: ignore[arg-type]


# --- the parts of an answer ---------------------------------------------------------------


def _form(question: Question) -> Answer:
    """Every field of the page with the text that it shows; None where the call has no place."""
    names = spatial_names(question.rank)
    told = {"conv_input_grad": "x", "conv_filter_grad": "w"}.get(question.op)
    axes = []
    for axis, name in enumerate(names):
        rule = question.padding[axis]
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
                "padding_mode": question.padding_mode[axis],
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
        "layouts": [f"N{names}C", f"NC{names}"],
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
    """The shapes of both arrays and of the result."""
    x, g = plan.x_shape, plan.y_shape
    known = {"x": x, "w": plan.w_shape, "y": g, "g": g, "dx": x, "dw": plan.w_shape}
    names = {
        "conv": ("x", "w", "y"),
        "conv_transpose": ("x", "w", "y"),
        "conv_input_grad": ("g", "w", "dx"),
        "conv_filter_grad": ("x", "g", "dw"),
    }[question.op]
    return {name: [str(size) for size in known[name]] for name in names}


def _plane(plan: Plan, at: Any) -> Answer | None:
    fits = isinstance(at, list) and len(at) == 2 and all(type(o) is int for o in at)
    plane = plane_answer(plan, at if fits else None)
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


def _consistent(question: Question) -> list[Answer]:
    """For each axis the sizes of x that the forward convolution takes to the same output.

    Of a filter backprop, the sizes of the filter that x and g leave open.
    """
    if min((*question.stride, *question.dilation, *question.input_dilation)) < 1:
        return []
    sizes = _filters if question.op == "conv_filter_grad" else _inputs
    found = []
    for axis, name in enumerate(spatial_names(question.rank)):
        try:
            argument, field, now, choices = sizes(question, axis)
        except (RefusedError, TypeError):  # a size that is a symbol, or has no place
            continue
        if 0 < len(choices) <= MOST_BUTTONS:
            buttons = []
            for size in choices:
                change = {"field": field, "axis": axis, "value": str(size)}
                changed = write_address(edit(question, change))
                buttons.append({"size": size, "address": changed, "now": size == now})
            found.append({"axis": name, "argument": argument, "buttons": buttons})
    return found


def _numbers(question: Question, axis: int, *names: str) -> list[int]:
    sizes = [size_at(question, name, axis) for name in names]
    if not all(isinstance(size, int) for size in sizes):
        raise RefusedError("A size is a symbol.")
    return sizes  # type: ignore[return-value]


def _inputs(question: Question, axis: int) -> tuple[str, str, Any, range]:
    s, d, b = question.stride[axis], question.dilation[axis], question.input_dilation[axis]
    rule = question.padding[axis]
    if question.op == "conv":
        i, k = _numbers(question, axis, "x", "w")
        o = geometry.resolve_axis(i, k, rule, s=s, b=b, d=d)[0]
        return "x", "x_size", i, geometry.input_sizes(o, k, rule, s=s, b=b, d=d)
    if question.op == "conv_input_grad":
        o, k = _numbers(question, axis, "g", "w")
        i = size_at(question, "x", axis)
        return "input_shape", "x_size", i, geometry.input_sizes(o, k, rule, s=s, b=b, d=d)
    o, k = _numbers(question, axis, "x", "w")
    choices = geometry.input_sizes(o, k, rule, s=s, b=1, d=d)
    try:
        made = forward_plan(question)
        now = made.y_shape[made.layout.spatial("x")[axis]]
    except ConvError:
        now = None
    return "y", "output", now, choices


def _filters(question: Question, axis: int) -> tuple[str, str, Any, range]:
    i, o, k = _numbers(question, axis, "x", "g", "w")
    factors = {"s": question.stride[axis], "d": question.dilation[axis]}
    b = question.input_dilation[axis]
    choices = geometry.filter_sizes(i, o, question.padding[axis], b=b, **factors)
    return "filter_shape", "kernel", k, choices


def _solution(
    question: Question, sizes: tuple[int, ...], rank: int, found: Solution, transposed: bool
) -> Answer:
    """One solution with the address of its call, channels as they are on the page."""

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
