"""The one error that a user's mistake raises, and the remedies it carries."""

from __future__ import annotations

import dataclasses
import textwrap
from collections.abc import Iterable
from typing import Any

WIDTH = 100  # characters; longer lines of an error's text are wrapped


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

    @classmethod
    def use(cls, argument: str, value: Any, why: str = "") -> Remedy:
        """Pass another value."""
        return cls(argument, value, f"pass {argument}={value!r}{why and f', {why}'}")

    @classmethod
    def omit(cls, argument: str, then: str = "") -> Remedy:
        """Leave the argument out, after which `then` holds."""
        return cls(argument, None, f"leave {argument} out{then and f': {then} then'}")

    @classmethod
    def shape(cls, argument: str, value: tuple[Any, ...], how: str = "") -> Remedy:
        """Give an array another shape; `how` is the change in words, with its code."""
        text = f"{how}, of shape {value}" if how else f"give {argument} the shape {value}"
        return cls(argument, value, text)

    @classmethod
    def convert(cls, argument: str, dtype: str) -> Remedy:
        """Give an array another dtype."""
        return cls(argument, dtype, f"convert it: {argument}.astype({dtype!r})")

    @classmethod
    def rename(cls, name: str, right: str, value: Any) -> Remedy:
        """Write the right name, `right`, in place of `name`, with this value."""
        return cls(right, value, f"write `{right}` for `{name}`")

    @classmethod
    def fact(cls, fact: str) -> Remedy:
        """Say what holds of symbolic sizes."""
        return cls("constraints", (fact,), f"add the constraint {fact!r}")


def show(value: Any) -> str:
    """A value in one line of bounded length, whatever it is."""
    try:
        text = " ".join(repr(value).split())
    except Exception:
        text = f"a {type(value).__name__}"
    return text if len(text) <= 72 else text[:66] + " [...]"


class ConvError(ValueError):
    """Raised for a call that describes no convolution.

    Attributes:
        argument: the argument that is most likely wrong.
        got: what it was; for an array its shape, or its dtype where that is at fault.
        expected: what would have been right in words, the whole set where it is one.
        remedies: changes that make the call succeed, each tried, the most likely first.
        together: whether the remedies mend the call only if all of them are made.
        message: what does not fit, in words.

    Examples:
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
        together: bool = False,
    ):
        self.message = message
        self.argument = argument
        self.got = got
        self.expected = expected
        self.remedies = list(remedies or [])
        self.together = together
        super().__init__(self.text())

    def __reduce__(self):
        """What pickle rebuilds the error from; values that are not plain data become text."""
        fields = (self.message, self.argument, _sendable(self.got), _sendable(self.expected))
        remedies = [Remedy(r.argument, _sendable(r.value), r.text) for r in self.remedies]
        notes = getattr(self, "__notes__", ())
        return _rebuild, (type(self), *fields, remedies, self.together, str(self), notes)

    def text(self) -> str:
        """The message, then argument, got, expected and the remedies, one a line."""
        expected = self.expected if isinstance(self.expected, str) else show(self.expected)
        fields = [("argument", f"`{self.argument}`"), ("got", show(self.got))]
        fields += [("expected", expected)]
        joined = "and" if self.together else "or"
        fields += [
            ("remedy" if n == 0 else joined, remedy.text) for n, remedy in enumerate(self.remedies)
        ]
        lines = [_wrap(self.message, "")]
        lines += [_wrap(f"  {name + ':':<10}{text}", " " * 12) for name, text in fields]
        return "\n".join(lines)


def _wrap(text: str, indent: str) -> str:
    if len(text) <= WIDTH and text.isprintable():  # textwrap takes most of a diagnosis's time
        return text.rstrip()
    return textwrap.fill(
        text, WIDTH, subsequent_indent=indent, break_long_words=False, break_on_hyphens=False
    )


@dataclasses.dataclass(frozen=True)
class Shown:
    """Replaces an object in a pickled error that is not plain data; `text` is its repr."""

    text: str

    def __repr__(self) -> str:
        return self.text


def _sendable(value: Any, depth: int = 0) -> Any:
    """Plain data unchanged, anything else as text: who unpickles it may lack its class."""
    if value is None or type(value) in (bool, int, float, complex, str, bytes):
        return value
    # A padding is nested twice at most; the limit is for lists that contain themselves.
    if type(value) in (list, tuple) and depth < 4:
        return type(value)(_sendable(entry, depth + 1) for entry in value)
    return Shown(show(value))


def _rebuild(
    kind: type[ConvError],
    message: str,
    argument: str,
    got: Any,
    expected: Any,
    remedies: list[Remedy],
    together: bool,
    text: str,
    notes: Iterable[str],
) -> ConvError:
    error = kind(
        message,
        argument=argument,
        got=got,
        expected=expected,
        remedies=remedies,
        together=together,
    )
    error.args = (text,)  # as first printed: a repr made again would show other addresses
    for note in notes:
        error.add_note(note)
    return error
