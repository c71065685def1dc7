"""ConvErrors restated for another function, with its name, its arguments and its values."""

from __future__ import annotations

import contextlib
import re
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from jconv._core.errors import ConvError, Remedy

Convert = Callable[[Any], Any]


def same_value(value: Any) -> Any:
    return value


@contextlib.contextmanager
def worded(
    op: str,
    names: Mapping[str, str],
    given: Mapping[str, Any],
    values: Mapping[str, Convert],
) -> Iterator[None]:
    """A context from which ConvErrors come out as errors of `op`.

    Args:
        op: the function that the user called.
        names: its names of the arguments of the operation that runs inside.
        given: what the user passed, by the user's own names.
        values: for each argument of the operation whose remedies the user can follow, a remedy's
            value as the user has to write it; None drops that remedy.
    """
    try:
        yield
    except ConvError as error:
        failure = error
    else:
        return
    raise reworded(failure, op, names, given, values)


def reworded(
    error: ConvError,
    op: str,
    names: Mapping[str, str],
    given: Mapping[str, Any],
    values: Mapping[str, Convert],
) -> ConvError:
    remedies = []
    for remedy in error.remedies:
        if remedy.argument in names and remedy.argument in values:
            name = names[remedy.argument]
            value = values[remedy.argument](remedy.value)
            if value is not None:
                remedies.append(_remedy(name, value, given))
    argument = names.get(error.argument)
    if argument is None:  # the inner operation's error names an argument that `op` lacks
        argument = remedies[0].argument if remedies else next(iter(names.values()))
    got = given.get(argument, error.got)
    if hasattr(got, "dtype") and not isinstance(error.got, tuple):
        got = str(got.dtype)
    elif hasattr(got, "shape"):
        got = tuple(got.shape)
    expected = error.expected
    if argument != names.get(error.argument) and remedies:
        expected = remedies[0].value
    return ConvError(
        _renamed(f"{op}: {error.message.partition(': ')[2]}", names),
        argument=argument,
        got=got,
        expected=_renamed(expected, names) if isinstance(expected, str) else expected,
        remedies=remedies if len(remedies) == len(error.remedies) or not error.together else [],
        together=error.together and len(remedies) == len(error.remedies),
    )


def _renamed(text: str, names: Mapping[str, str]) -> str:
    return re.sub(r"`(\w+)`", lambda match: f"`{names.get(match[1], match[1])}`", text)


def _remedy(name: str, value: Any, given: Mapping[str, Any]) -> Remedy:
    if not hasattr(given.get(name), "dtype"):
        return Remedy.use(name, value)
    if isinstance(value, tuple):
        return Remedy.shape(name, value)
    return Remedy.convert(name, str(value))
