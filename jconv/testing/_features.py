"""What failing cases have in common, where no known cause explains them."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from jconv.testing._cases import Case
from jconv.testing._wrong import axes_of, remainder


def _sizes(case: Case, slot: str) -> tuple[int, ...]:
    shape = {"x": case.x_shape, "w": case.w_shape, "y": case.y_shape}[slot]
    return case.call.read(slot, shape)


FEATURES: dict[str, Callable[[Case], bool]] = {
    "groups": lambda case: case.call.groups > 1,
    "depthwise": lambda case: case.call.groups > 1 and _sizes(case, "w")[-2] == 1,
    "stride above 1": lambda case: any(a.s > 1 for a in axes_of(case)),
    "stride above the kernel": lambda case: any(a.s > a.k for a in axes_of(case)),
    "strides that differ": lambda case: len({a.s for a in axes_of(case)}) > 1,
    "dilation": lambda case: any(a.d > 1 for a in axes_of(case)),
    "input dilation": lambda case: any(a.b > 1 for a in axes_of(case)),
    "a remainder": lambda case: any(remainder(a) for a in axes_of(case)),
    "negative padding": lambda case: any(min(a.p0, a.p1) < 0 for a in axes_of(case)),
    "asymmetric padding": lambda case: any(a.p0 != a.p1 for a in axes_of(case)),
    "padding": lambda case: any(a.p0 or a.p1 for a in axes_of(case)),
    "an even kernel": lambda case: any(a.k % 2 == 0 for a in axes_of(case)),
    "a kernel above the input": lambda case: any(a.k > a.i for a in axes_of(case)),
    "no rows of output": lambda case: any(a.o == 0 for a in axes_of(case)),
    "no rows of input": lambda case: any(a.i == 0 for a in axes_of(case)),
    "no taps": lambda case: any(a.k == 0 for a in axes_of(case)),
    "an empty batch": lambda case: _sizes(case, "x")[0] == 0,
    "a batch": lambda case: _sizes(case, "x")[0] > 1,
    "several input channels": lambda case: _sizes(case, "w")[-2] > 1,
    "one spatial axis": lambda case: case.rank == 1,
    "three spatial axes or more": lambda case: case.rank > 2,
    "four spatial axes or more": lambda case: case.rank > 3,
    "several spatial axes": lambda case: case.rank > 1,
    "another layout than the default": lambda case: case.kwargs.get("layout") is not None,
    "a padding mode": lambda case: case.kwargs.get("padding_mode", "zeros") != "zeros",
    "named padding": lambda case: isinstance(case.kwargs.get("padding", "SAME"), str),
    **{
        f"{name} padding": lambda case, name=name: (
            str(case.kwargs.get("padding", "SAME")).upper() == name
        )
        for name in ("SAME", "SAME_LOWER", "CAUSAL", "VALID")
    },
}


def in_common(failing: Sequence[Case], passing: Sequence[Case]) -> tuple[str, str] | None:
    """The feature that sets failing cases apart best, by name and in words."""
    found = []
    for name, has in FEATURES.items():
        if all(map(has, failing)):
            others = sum(map(has, passing))
            found.append((others, name))
    if not found or not passing:
        return None
    others, name = min(found, key=lambda pair: pair[0])
    if 2 * others > len(passing):
        return None
    of_those = (
        "no case that passed has" if not others else f"{others} of {len(passing)} others have"
    )
    return name, f"all {len(failing)} failing cases have it, and {of_those} it"
