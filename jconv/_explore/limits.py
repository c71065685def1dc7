"""How much one request may ask for, so that every answer comes within a second."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from typing import Any

MAX_AXES = 4  # spatial axes; the time to plan grows exponentially with their number
MAX_TAPS = 256  # taps of a filter on one axis; beyond a thousand, planning Winograd takes seconds
MAX_PHASES = 1024  # product of strides, or of dilations; the planner looks at each residue
MAX_GROUPS = 65536  # groups of channels; the planner tries every way to merge them
MAX_LAYERS = 200  # layers of a network; planning one takes 1 ms, with symbolic sizes 3 ms
MAX_TOML = 40_000  # characters of a network's TOML text
MAX_ADDRESS = 4_000  # characters of the address of one call
MAX_TEXT = 200  # characters of one field
MAX_SOLVED = 64  # the largest kernel or stride that `solve` is asked for; it searches up to it
MAX_SOLUTIONS = 40  # solutions that are shown


class RefusedError(ValueError):
    """A request that the page does not serve; its text is a sentence for the user."""


def check_rank(rank: int) -> None:
    if rank > MAX_AXES:
        raise RefusedError(
            f"This page shows at most {MAX_AXES} spatial axes; these shapes have {rank}."
        )


def check_taps(kernel: Iterable[Any]) -> None:
    for taps in kernel:
        if isinstance(taps, int) and taps > MAX_TAPS:
            raise RefusedError(
                f"This page plans filters of at most {MAX_TAPS} taps on an axis; "
                f"this one has {shortened(taps)}."
            )


def check_phases(name: str, factors: Sequence[Any]) -> None:
    known = [factor for factor in factors if isinstance(factor, int) and factor > 0]
    if math.prod(known) > MAX_PHASES:
        raise RefusedError(
            f"This page plans a {name} of at most {MAX_PHASES}, multiplied over the axes; "
            f"this one is {' × '.join(map(shortened, known))}."
        )


def check_groups(groups: Any) -> None:
    if isinstance(groups, int) and groups > MAX_GROUPS:
        raise RefusedError(
            f"This page plans at most {MAX_GROUPS} groups; this call has {shortened(groups)}."
        )


def check_length(what: str, text: str, most: int) -> None:
    if len(text) > most:
        raise RefusedError(f"{what} has {len(text)} characters; this page reads at most {most}.")


def shortened(number: int) -> str:
    """A whole number in at most about twenty characters."""
    if abs(number) < 10**15:
        return str(number)
    return f"about 10^{math.floor((abs(number).bit_length() - 1) * math.log10(2))}"
