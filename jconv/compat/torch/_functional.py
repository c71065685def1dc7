"""conv1d, conv2d and conv3d."""

from __future__ import annotations

from typing import Any

from jax import Array
from jax.typing import ArrayLike

from jconv._core.geometry import out_size
from jconv._ops.conv import Ints, conv
from jconv.compat._arguments import add_bias, read_array, read_choice, wrong
from jconv.compat.torch._arguments import check_rows, run, settings, with_batch

MODES = {"zeros": "zeros", "reflect": "reflect", "replicate": "edge", "circular": "circular"}


def conv1d(
    input: ArrayLike,
    weight: ArrayLike,
    bias: ArrayLike | None = None,
    stride: Ints = 1,
    padding: str | Ints = 0,
    dilation: Ints = 1,
    groups: int = 1,
    *,
    padding_mode: str = "zeros",
) -> Array:
    """`torch.nn.functional.conv1d`, and the padding_mode of `torch.nn.Conv1d`.

    Examples:
        >>> import jax.numpy as jnp, jconv
        >>> x, w = jnp.ones((1, 3, 8)), jnp.ones((4, 3, 3))
        >>> jconv.compat.torch.conv1d(x, w, stride=2, padding=1).shape
        (1, 4, 4)
    """
    return _conv("conv1d", 1, **locals())


def conv2d(
    input: ArrayLike,
    weight: ArrayLike,
    bias: ArrayLike | None = None,
    stride: Ints = 1,
    padding: str | Ints = 0,
    dilation: Ints = 1,
    groups: int = 1,
    *,
    padding_mode: str = "zeros",
) -> Array:
    """`torch.nn.functional.conv2d`, and the padding_mode of `torch.nn.Conv2d`.

    Examples:
        >>> import jax.numpy as jnp, jconv
        >>> x, w = jnp.ones((1, 3, 8, 8)), jnp.ones((4, 3, 3, 3))
        >>> jconv.compat.torch.conv2d(x, w, padding="same").shape
        (1, 4, 8, 8)
    """
    return _conv("conv2d", 2, **locals())


def conv3d(
    input: ArrayLike,
    weight: ArrayLike,
    bias: ArrayLike | None = None,
    stride: Ints = 1,
    padding: str | Ints = 0,
    dilation: Ints = 1,
    groups: int = 1,
    *,
    padding_mode: str = "zeros",
) -> Array:
    """`torch.nn.functional.conv3d`, and the padding_mode of `torch.nn.Conv3d`.

    Examples:
        >>> import jax.numpy as jnp, jconv
        >>> x, w = jnp.ones((1, 3, 4, 8, 8)), jnp.ones((4, 3, 3, 3, 3))
        >>> jconv.compat.torch.conv3d(x, w, stride=(1, 2, 2), padding=1).shape
        (1, 4, 4, 4, 4)
    """
    return _conv("conv3d", 3, **locals())


def _conv(
    op: str,
    rank: int,
    *,
    input: Any,
    weight: Any,
    bias: Any,
    stride: Any,
    padding: Any,
    dilation: Any,
    groups: Any,
    padding_mode: Any,
) -> Array:
    given = {**locals()}
    x = read_array(op, "input", input, (rank + 2, rank + 1))
    w = read_array(op, "weight", weight, (rank + 2,))
    x, batched = with_batch(x, rank)
    named = isinstance(padding, str)
    how = settings(op, rank, stride, 0 if named else padding, dilation, groups)
    if named:
        rule = read_choice(op, "padding", padding, ("valid", "same"))
        if rule == "same" and set(how["stride"]) != {1}:
            expected = "'valid' or whole numbers where the stride is not 1"
            raise wrong(op, "padding", padding, expected, remedies=[("stride", 1)])
        how["padding"] = rule.upper()
    else:
        sizes = tuple(
            out_size(x.shape[a + 2], w.shape[a + 2], 2 * p, s=how["stride"][a], b=1, d=d)
            for a, (p, d) in enumerate(zip(how["padding"], how["dilation"], strict=True))
        )
        check_rows(op, sizes, "the padded `input` is smaller than the dilated `weight`.")
    mode = MODES[read_choice(op, "padding_mode", padding_mode, tuple(MODES))]
    y = run(op, conv, x, w, given=given, batched=batched, padding_mode=mode, **how)
    y = add_bias(op, "bias", y, bias, 1)
    return y if batched else y[0]
