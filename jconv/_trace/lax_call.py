"""A call with lax's arguments, run by jconv; and the call that an error of lax came from."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
from jax import lax

from jconv._check.foreign_errors import same_value, worded
from jconv._core.errors import ConvError
from jconv._core.geometry import differ
from jconv._trace.lax_arguments import (
    check_divides,
    read_arrays,
    read_count,
    read_factors,
    read_numbers,
    read_pads,
    wrong,
)
from jconv._trace.recognise_legs import Window, convolve

# jconv's arguments by lax's names, for errors.
NAMES = {
    "x": "lhs",
    "w": "rhs",
    "g": "rhs",
    "stride": "window_strides",
    "padding": "padding",
    "dilation": "rhs_dilation",
    "input_dilation": "lhs_dilation",
    "groups": "feature_group_count",
    "layout": "dimension_numbers",
    "precision": "precision",
    "preferred_element_type": "preferred_element_type",
}
FOLLOWED = ("x", "w", "groups", "preferred_element_type")  # remedies for these also mend lax's call


def call(
    op: str,
    lhs: Any,
    rhs: Any,
    window_strides: Any,
    padding: Any,
    lhs_dilation: Any = None,
    rhs_dilation: Any = None,
    dimension_numbers: Any = None,
    feature_group_count: Any = 1,
    batch_group_count: Any = 1,
    precision: Any = None,
    preferred_element_type: Any = None,
    out_sharding: Any = None,
) -> jax.Array:
    """A call of `conv_general_dilated`, or of what lax builds on it, by jconv.

    Args:
        op: the function that was called, for errors.
        lhs, rhs, window_strides: these and all further arguments are lax's own.

    Raises:
        ConvError: naming lax's own argument.
    """
    given = {**locals()}
    lhs, rhs = read_arrays(op, lhs, rhs)
    if lhs.dtype == rhs.dtype == bool:  # "or" over "and": whether a sum of products is not 0
        wanted = jnp.dtype(preferred_element_type or bool)
        wide = jnp.int32 if wanted.kind == "b" else wanted
        given.update(lhs=lhs.astype(wide), rhs=rhs.astype(wide), preferred_element_type=None)
        return call(**given).astype(wanted)
    numbers = read_numbers(op, lhs, rhs, dimension_numbers)
    rank = lhs.ndim - 2
    s = read_factors(op, "window_strides", window_strides, rank)
    d = read_factors(op, "rhs_dilation", rhs_dilation, rank)
    b = read_factors(op, "lhs_dilation", lhs_dilation, rank)
    groups = read_count(op, "feature_group_count", feature_group_count)
    batch_groups = read_count(op, "batch_group_count", batch_group_count)
    if groups > 1 and batch_groups > 1:
        raise wrong(op, "batch_group_count", batch_groups, "1 where feature_group_count > 1")
    if batch_groups > 1:
        check_divides(op, batch_groups, lhs.shape[numbers.lhs_spec[0]], "batch entries of `lhs`")
        check_divides(op, batch_groups, rhs.shape[numbers.rhs_spec[0]], "outputs of `rhs`")
        channels, c = lhs.shape[numbers.lhs_spec[1]], rhs.shape[numbers.rhs_spec[1]]
        if differ(channels, c):
            raise wrong(op, "rhs", rhs.shape, f"{channels} input channels, as `lhs` has")
    i = [lhs.shape[a] for a in numbers.lhs_spec[2:]]
    k = [rhs.shape[a] for a in numbers.rhs_spec[2:]]
    pads = read_pads(op, padding, i, k, s, b, d)
    window = Window(s, b, d, pads, groups, batch_groups)
    names = NAMES if op != "conv_transpose" else {**NAMES, "input_dilation": "strides"}
    with worded(op, names, given, dict.fromkeys(FOLLOWED if rank else (), same_value)):
        how = {"precision": precision, "preferred_element_type": preferred_element_type}
        y = convolve(lhs, rhs, numbers, window, **how)
    mesh = getattr(out_sharding, "mesh", None)
    if out_sharding is None or (mesh is not None and mesh.empty):  # which shards nothing
        return y
    return jax.sharding.reshard(y, out_sharding)


def refusal(error: BaseException) -> ConvError | None:
    """jconv's error for the convolution that lax refused with `error`; None if there is none.

    The refused call's arguments are in the frame of lax's function, while the error is on its
    way up.
    """
    code, frame, step = lax.conv_general_dilated.__code__, None, error.__traceback__
    while step is not None:
        frame = step.tb_frame if step.tb_frame.f_code is code else frame
        step = step.tb_next
    if frame is None:
        return None
    names = code.co_varnames[: code.co_argcount]
    try:
        call("conv_general_dilated", **{name: frame.f_locals[name] for name in names})
    except ConvError as refused:
        return refused
    except Exception:  # jconv cannot read the call either: lax's own message is the better one
        return None
    return None
