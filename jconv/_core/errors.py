"""The one error that a user's mistake raises, and the remedies it carries."""

from __future__ import annotations

import dataclasses
import textwrap
from typing import Any

WIDTH = 100


@dataclasses.dataclass(frozen=True)
class Remedy:
    """One change to one argument that makes the call right.

    Attributes:
        argument: the argument to change.
        value: its new value; None to leave it out; for an array, the shape or the dtype that
            it should have.
        text: the change in words.
    """

    argument: str
    value: Any
    text: str


def show(value: Any) -> str:
    """A value in one line of bounded length, whatever it is."""
    try:
        text = " ".join(repr(value).split())
    except Exception:
        text = f"a {type(value).__name__}"
    return text if len(text) <= 72 else text[:66] + " [...]"


class ConvError(ValueError):
    """A call that no convolution can mean.

    Attributes:
        argument: the argument that is most likely wrong.
        got: what it was; for an array its shape, or its dtype where that is at fault.
        expected: what would have been right in words, the whole set where it is one.
        remedies: changes that make the call succeed, each tried, the most likely first.
        message: what does not fit, in words.

    Example:
        >>> import jax.numpy as jnp, jconv
        >>> try:
        ...     jconv.conv(jnp.ones((1, 8, 8, 3)), jnp.ones((3, 3, 4, 8)))
        ... except jconv.ConvError as error:
        ...     print(error.argument, error.remedies[0].value)
        w (3, 3, 3, 8)
    """

    def __init__(
        self,
        message: str,
        *,
        argument: str,
        got: Any = None,
        expected: Any = None,
        remedies: list[Remedy] | None = None,
    ):
        self.message = message
        self.argument = argument
        self.got = got
        self.expected = expected
        self.remedies = list(remedies or [])
        super().__init__(self.text())

    def __reduce__(self):  # an exception with keywords does not pickle by itself
        state = (self.message, self.argument, self.got, self.expected, self.remedies)
        return _rebuild, state

    def text(self) -> str:
        """The message, then argument, got, expected and the remedies, one a line."""
        expected = self.expected if isinstance(self.expected, str) else show(self.expected)
        fields = [("argument", f"`{self.argument}`"), ("got", show(self.got))]
        fields += [("expected", expected)]
        fields += [
            ("remedy" if n == 0 else "or", remedy.text) for n, remedy in enumerate(self.remedies)
        ]
        lines = [_wrap(self.message, "")]
        lines += [_wrap(f"  {name + ':':<10}{text}", " " * 12) for name, text in fields]
        return "\n".join(lines)


def _wrap(text: str, indent: str) -> str:
    return textwrap.fill(
        text, WIDTH, subsequent_indent=indent, break_long_words=False, break_on_hyphens=False
    )


def _rebuild(message: str, argument: str, got: Any, expected: Any, remedies: Any) -> ConvError:
    return ConvError(message, argument=argument, got=got, expected=expected, remedies=remedies)
