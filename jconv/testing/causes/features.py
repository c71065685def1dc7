"""What failing cases have in common, for failures that no known cause explains."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from jconv.testing.oracle.case import Case, axes_of, remainder

FEATURES: dict[str, Callable[[Case], bool]] = {
    "groups": lambda case: case.call.groups > 1,
    "depthwise": lambda case: case.call.groups > 1 and case.call.read("w", case.w_shape)[-2] == 1,
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
    "an empty batch": lambda case: case.call.read("x", case.x_shape)[0] == 0,
    "a batch": lambda case: case.call.read("x", case.x_shape)[0] > 1,
    "several input channels": lambda case: case.call.read("w", case.w_shape)[-2] > 1,
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
    """The feature that sets failing cases apart best, by name and in words; None if none does."""
    shared = {
        name: sum(map(has, passing)) for name, has in FEATURES.items() if all(map(has, failing))
    }
    if not shared or not passing:
        return None
    name = min(shared, key=lambda name: shared[name])
    others = shared[name]
    if 2 * others > len(passing):
        return None
    right = f"{others} of {len(passing)} others have" if others else "no case that passed has"
    return name, f"all {len(failing)} failing cases have it, and {right} it"
