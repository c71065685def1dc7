"""A ConvError said in the words of another function: its name, its arguments, its values."""

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
    """ConvErrors raised inside come out as errors of `op`.

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
                remedies.append(Remedy(name, value, _text(name, value, given)))
    argument = names.get(error.argument)
    if argument is None:  # an argument that the user never gave
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
        remedies=remedies,
    )


def _renamed(text: str, names: Mapping[str, str]) -> str:
    return re.sub(r"`(\w+)`", lambda match: f"`{names.get(match[1], match[1])}`", text)


def _text(name: str, value: Any, given: Mapping[str, Any]) -> str:
    if not hasattr(given.get(name), "dtype"):
        return f"pass {name}={value!r}"
    if isinstance(value, tuple):
        return f"give {name} the shape {value}"
    return f"convert it: {name}.astype({str(value)!r})"
