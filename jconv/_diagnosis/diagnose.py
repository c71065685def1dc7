"""Why a call fails, and the smallest change that makes it succeed.

Every change that is proposed has been tried: with it the call resolves. The error names the
argument of the cheapest such change. `diagnose` also explains what often surprises in calls that
are right.
"""

from __future__ import annotations

import dataclasses
import itertools
import textwrap
from collections.abc import Iterator, Sequence
from typing import Any

from jconv._check.call import Call
from jconv._check.dtypes import read_dtype
from jconv._check.operations import OPERATIONS
from jconv._check.resolve import Resolved, resolve
from jconv._check.settings import entries_of, read_shape
from jconv._check.sizes import describe, describe_one, input_sets
from jconv._check.spec import read_spec
from jconv._check.words import KeywordError, check_words, in_jconvs_words
from jconv._core.errors import WIDTH, ConvError, Remedy, show
from jconv._diagnosis.changes import Change
from jconv._diagnosis.confusions import CONFUSIONS
from jconv._diagnosis.doubts import looks_like_another_order
from jconv._diagnosis.reading import ANY, allows, readings

REMEDIES = 4  # the largest number of remedies that an error shows
TRIED_TWICE = 16  # where no single change helps, a second is sought to this many of the cheapest
MARGIN = 0.8  # in sizes changed; changes that cost this much more than the cheapest are not shown


def resolve_or_explain(call: Call) -> Resolved:
    """The Problem that a call describes; else raises a ConvError with tried, ranked remedies."""
    try:
        return resolve(call)
    except ConvError as error:
        failure = error
    if failure.argument == "constraints":  # no size is wrong; a fact about symbols is missing
        raise failure
    raise explain(call, failure)


def explain(call: Call, failure: ConvError) -> ConvError:
    """The error to raise for `failure`: with the changes that mend the call, cheapest first."""
    found = list(itertools.islice(_mending(call), 12))
    if not found:
        return _unmended(call, failure)
    best = found[0]
    kept = [best] + [
        change
        for change in found[1:]
        if change.cost <= best.cost + MARGIN
        and (best.reinterprets or not change.reinterprets)
        and not (change.reinterprets and change.cost > best.cost + 0.3)
    ]
    return ConvError(
        " ".join(filter(None, [failure.message, best.note])),
        argument=best.argument,
        got=_got(call, best, failure),
        expected=_expected(call, best, kept, failure),
        remedies=[change.remedy for change in kept[:REMEDIES]],
    )


def _changes(call: Call) -> list[Change]:
    """Every change that a confusion proposes of what the operation takes, the cheapest first."""
    takes = {*call.operation.slots, *call.operation.settings}
    found = [
        change
        for reading in readings(call)
        for confusion in CONFUSIONS
        for change in confusion(reading)
        if change.argument in takes
    ]
    return sorted(found, key=lambda change: change.cost)


def _mending(call: Call) -> Iterator[Change]:
    """The changes with which the call resolves, no two of them to one effect."""
    seen: list[tuple[str, Resolved]] = []
    for change in _changes(call):
        try:
            effect = (change.argument, resolve(call.with_argument(change.argument, change.value)))
        except ConvError:
            continue
        if effect not in seen:
            seen.append(effect)
            yield change


def _unmended(call: Call, failure: ConvError) -> ConvError:
    """The error for a call that no single change mends: with two changes that do, if found."""
    message, remedies = failure.message, []
    for change in _changes(call)[:TRIED_TWICE]:
        second = next(_mending(call.with_argument(change.argument, change.value)), None)
        if second is not None and second.argument != change.argument:
            remedies = [change.remedy, second.remedy]
            remedies.sort(key=lambda remedy: remedy.argument != failure.argument)
            message += " Two changes are needed."
            break
    return ConvError(
        message,
        argument=failure.argument,
        got=failure.got,
        expected=failure.expected,
        remedies=remedies,
        together=bool(remedies),
    )


def _got(call: Call, best: Change, failure: ConvError) -> Any:
    if best.argument not in call.shapes:
        return getattr(call, best.argument)
    of = call.shapes if isinstance(best.value, tuple) else call.dtypes
    return of[best.argument]


def _expected(call: Call, best: Change, kept: list[Change], failure: ConvError) -> str:
    """In words, all values of the named argument that fit the other arguments."""
    slot = call.operation.slots.get(best.argument)
    if slot is not None and isinstance(best.value, tuple):
        return _expected_shape(call, best, slot)
    if best.argument == failure.argument or slot is not None:
        return failure.expected if best.argument == failure.argument else str(best.value)
    values = [repr(c.value) for c in kept if c.argument == best.argument and c.value is not None]
    if not values:
        return "nothing: its default fits"
    return " or ".join(values) + ", which fits all the other arguments"


def _expected_shape(call: Call, best: Change, slot: str) -> str:
    for reading in sorted(readings(call), key=lambda r: r.rank + 2 != len(best.value)):
        if (best.argument, slot) not in reading.shaped():
            continue
        rank, sets = reading.rank, reading.sets[slot]
        if len(best.value) == rank + 2:
            assert reading.spec is not None
            sets = reading.spec.layout.caller(slot, sets)
        elif len(best.value) == rank:
            sets = sets[:-2] if slot == "w" else sets[1:-1]
        else:
            continue
        entries = [
            str(size) if choices is ANY or len(choices) > 64 else describe_one(choices)
            for size, choices in zip(best.value, sets, strict=True)
        ]
        if all(allows(choices, size) for size, choices in zip(best.value, sets, strict=True)):
            inner = ", ".join(entries) + ("," if len(entries) == 1 else "")
            kind = "the full shape " if best.argument in call.operation.told else "shape "
            if len(best.value) == rank:
                kind = "the spatial sizes "
            return f"{kind}({inner})"
    return f"shape {best.value}"


# diagnose ------------------------------------------------------------------------------------


@dataclasses.dataclass(frozen=True)
class Diagnosis:
    """What `diagnose` found.

    Attributes:
        ok: whether the call is right.
        argument: the argument that is most likely wrong; None when nothing is.
        remedies: changes that make the call succeed, the most likely first; where the text joins
            them by "and", all of them together.
        text: the finding in words.
    """

    ok: bool
    argument: str | None
    remedies: tuple[Remedy, ...]
    text: str

    def __str__(self) -> str:
        return self.text


@in_jconvs_words
def diagnose(
    *,
    x_shape: Sequence[int] | None = None,
    w_shape: Sequence[int] | None = None,
    g_shape: Sequence[int] | None = None,
    input_shape: Sequence[int] | None = None,
    filter_shape: Sequence[int] | None = None,
    op: str = "conv",
    **settings: Any,
) -> Diagnosis:
    """Explain a call of one of the four operations without running it.

    Args:
        x_shape, w_shape, g_shape: shapes of the arrays that the operation takes.
        input_shape, filter_shape: as in `conv_input_grad` and `conv_filter_grad`.
        op: "conv", "conv_input_grad", "conv_filter_grad" or "conv_transpose".
        **settings: the operation's other arguments.

    Returns:
        A Diagnosis; print it.

    Raises:
        ConvError: for a keyword that the operation does not have; it is a TypeError as well.

    Examples:
        >>> import jconv
        >>> found = jconv.diagnose(x_shape=(1, 3, 32, 32), w_shape=(3, 3, 3, 8))
        >>> found.ok, found.argument, found.remedies[0].value
        (False, 'x', (1, 32, 32, 3))
    """
    try:
        call = _call(op, {"x": x_shape, "w": w_shape, "g": g_shape}, settings)
        told = {"input_shape": input_shape, "filter_shape": filter_shape}
        if call.operation.result in told:
            call = call.replace(**{call.operation.result: told[call.operation.result]})
        resolved = resolve_or_explain(call)
    except KeywordError:
        raise
    except ConvError as error:
        return Diagnosis(False, error.argument, tuple(error.remedies), str(error))
    lines = [_summary(call, resolved), *(f"  {note}" for note in _notes(call, resolved))]
    return Diagnosis(True, None, (), "\n".join(lines))


def _call(op: str, shapes: dict[str, Any], settings: dict[str, Any]) -> Call:
    if not isinstance(op, str) or op not in OPERATIONS:
        raise ConvError(
            f"diagnose: `op` names no operation: {show(op)}.",
            argument="op",
            got=op,
            expected=" or ".join(map(repr, OPERATIONS)),
        )
    operation = OPERATIONS[op]
    own = (*(f"{name}_shape" for name in operation.arrays), "op")
    check_words("diagnose", settings, (*own, *operation.keywords))
    wanted = settings.get("preferred_element_type")
    settings["preferred_element_type"] = read_dtype(op, "preferred_element_type", wanted)
    read = {}
    for name in operation.arrays:
        argument = f"{name}_shape"
        if shapes[name] is None:
            raise ConvError(
                f"diagnose: `{argument}` must be given: "
                f"{op} takes {' and '.join(operation.arrays)}.",
                argument=argument,
                got=None,
                expected=f"the shape of `{name}`",
            )
        given = getattr(shapes[name], "shape", None)
        value = given if entries_of(given) is not None else shapes[name]
        read[name] = read_shape("diagnose", argument, value)
    return Call(operation, read, dict.fromkeys(read, "float32"), **settings)


def _summary(call: Call, resolved: Resolved) -> str:
    operands = " and ".join(f"{name} {shape}" for name, shape in call.shapes.items())
    doubtful = any(True for _ in looks_like_another_order(call))
    verdict = "it can run, but see below" if doubtful else "nothing is wrong"
    return f"{call.op} of {operands} gives {resolved.out_shape}: {verdict}."


def _notes(call: Call, resolved: Resolved) -> Iterator[str]:
    """Sentences on what often surprises in calls that are right."""
    axes = resolved.problem.axes
    i = resolved.borders.sizes if resolved.borders else tuple(axis.i for axis in axes)
    o, s = tuple(axis.o for axis in axes), tuple(axis.s for axis in axes)
    k = tuple(axis.k for axis in axes)
    rule = call.padding.upper() if isinstance(call.padding, str) else None
    strided = any(factor > 1 for factor in s)
    if rule in ("SAME", "SAME_LOWER"):
        pads = ", ".join(f"({low}, {high})" for low, high in resolved.pads)
        if call.op == "conv" and not strided and all(a.b == 1 for a in axes):
            yield f"{rule} with stride 1 keeps the spatial size {i}, odd or even, for any filter;"
            yield f"here it pads {pads} rows."
        elif call.op == "conv" and strided:
            yield f"{rule} with stride {_factor(s)} makes ceil(size / stride) rows: {i} to {o}."
            yield f"It keeps the size at stride 1 alone; here it pads {pads} rows."
    for doubt in looks_like_another_order(call):
        yield from textwrap.wrap(doubt, WIDTH - 2)
    if call.op == "conv_input_grad":
        yield f"The result has the size that `input_shape` tells, {i}: a backprop of stride"
        yield f"{_factor(s)} does not grow, it returns to the input of the forward convolution."
    if call.op == "conv_filter_grad":
        yield f"The result has the size that `filter_shape` tells, {k}."
    if call.op == "conv_transpose":
        yield f"conv takes {i} to {o}: this is its adjoint, which is not its inverse."
    if call.op in ("conv_input_grad", "conv_transpose") and strided:
        sets = input_sets(read_spec(call, len(o)), o, k)
        if sets:
            how = "" if call.op == "conv_input_grad" else " (see output_padding, output_shape)"
            yield f"Sizes that conv takes to {o}: {describe(sets)}{how}."


def _factor(s: tuple[int, ...]) -> str:
    return str(s[0]) if len(set(s)) == 1 else str(s)
