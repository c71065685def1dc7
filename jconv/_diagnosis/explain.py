"""Why a call fails, and the smallest change that makes it succeed.

Every change that is proposed has been tried: with it the call resolves. The argument that is
named is that of the cheapest such change.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from typing import Any

from jconv._check.call import ARRAYS, Call
from jconv._check.resolve import Resolved, resolve
from jconv._check.sizes import describe_one
from jconv._core.errors import ConvError, Remedy
from jconv._diagnosis.changes import Change, ranks, shape_changes, spec_or_none
from jconv._diagnosis.fits import ANY, TOLD, allows, sets_of, slot_of
from jconv._diagnosis.values import setting_changes

REMEDIES = 4
MARGIN = 0.8
"""Changes that cost so much more than the best are not worth showing."""


def resolve_or_explain(call: Call) -> Resolved:
    """What a call means, or a ConvError with its remedies tried and ranked."""
    try:
        return resolve(call)
    except ConvError as error:
        failure = error
    if failure.argument == "constraints":  # nothing is wrong, a fact about the symbols is missing
        raise failure
    raise explain(call, failure)


def explain(call: Call, failure: ConvError) -> ConvError:
    """The error that `failure` becomes once the changes that mend the call are known."""
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
        remedies=[Remedy(c.argument, c.value, c.text) for c in kept[:REMEDIES]],
    )


def _changes(call: Call) -> list[Change]:
    """Everything that could be tried, the most believable first."""
    changes = [*shape_changes(call), *setting_changes(call)]
    return sorted(changes, key=lambda change: change.cost)


def _mending(call: Call) -> Iterator[Change]:
    """The changes with which the call resolves, no two of them to the same effect."""
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
    """No single change helps: say which two do, if any."""
    message = failure.message
    for change in _changes(call)[:16]:
        second = next(_mending(call.with_argument(change.argument, change.value)), None)
        if second is not None and second.argument != change.argument:
            message += f" Two changes are needed: {change.text}, and {second.text}."
            break
    return ConvError(
        message,
        argument=failure.argument,
        got=failure.got,
        expected=failure.expected,
    )


def _got(call: Call, best: Change, failure: ConvError) -> Any:
    if best.argument not in ARRAYS[call.op]:
        return getattr(call, best.argument)
    of = call.shapes if isinstance(best.value, tuple) else call.dtypes
    return of[best.argument]


def _expected(call: Call, best: Change, kept: list[Change], failure: ConvError) -> str:
    """The whole consistent set of the argument that is named."""
    slot = slot_of(call.op, best.argument)
    if slot is not None and isinstance(best.value, tuple):
        return _expected_shape(call, best, slot)
    if best.argument == failure.argument or slot is not None:
        return failure.expected if best.argument == failure.argument else str(best.value)
    values = [repr(c.value) for c in kept if c.argument == best.argument and c.value is not None]
    if not values:
        return "nothing: its default fits"
    return " or ".join(values) + ", which fits all the other arguments"


def _expected_shape(call: Call, best: Change, slot: str) -> str:
    for rank in sorted(ranks(call), key=lambda rank: rank + 2 != len(best.value)):
        spec = spec_or_none(call, rank)
        others = [len(s) for name, s in call.shapes.items() if name != best.argument]
        if spec is None or any(length != rank + 2 for length in others):
            continue
        sets = sets_of(spec, slot)
        if len(best.value) == rank + 2:
            sets = spec.layout.caller(slot, sets)
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
            kind = "the full shape " if best.argument in TOLD[call.op] else "shape "
            if len(best.value) == rank:
                kind = "the spatial sizes "
            return f"{kind}({inner})"
    return f"shape {best.value}"
