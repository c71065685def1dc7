"""conv_transpose1d, conv_transpose2d and conv_transpose3d."""

from __future__ import annotations

from typing import Any

from jax import Array
from jax.typing import ArrayLike

from jconv._core.geometry import smallest_size
from jconv._ops.conv import Ints, conv_transpose
from jconv.compat._arguments import add_bias, read_array, read_each, wrong
from jconv.compat.torch._arguments import check_rows, run, settings, with_batch


def conv_transpose1d(
    input: ArrayLike,
    weight: ArrayLike,
    bias: ArrayLike | None = None,
    stride: Ints = 1,
    padding: Ints = 0,
    output_padding: Ints = 0,
    groups: int = 1,
    dilation: Ints = 1,
) -> Array:
    """`torch.nn.functional.conv_transpose1d`.

    Examples:
        >>> import jax.numpy as jnp, jconv
        >>> x, w = jnp.ones((1, 4, 8)), jnp.ones((4, 3, 3))
        >>> jconv.compat.torch.conv_transpose1d(x, w, stride=2, padding=1, output_padding=1).shape
        (1, 3, 16)
    """
    return _conv_transpose("conv_transpose1d", 1, **locals())


def conv_transpose2d(
    input: ArrayLike,
    weight: ArrayLike,
    bias: ArrayLike | None = None,
    stride: Ints = 1,
    padding: Ints = 0,
    output_padding: Ints = 0,
    groups: int = 1,
    dilation: Ints = 1,
) -> Array:
    """`torch.nn.functional.conv_transpose2d`.

    Examples:
        >>> import jax.numpy as jnp, jconv
        >>> x, w = jnp.ones((1, 4, 5, 6)), jnp.ones((4, 3, 3, 3))
        >>> jconv.compat.torch.conv_transpose2d(x, w, stride=2, padding=1).shape
        (1, 3, 9, 11)
    """
    return _conv_transpose("conv_transpose2d", 2, **locals())


def conv_transpose3d(
    input: ArrayLike,
    weight: ArrayLike,
    bias: ArrayLike | None = None,
    stride: Ints = 1,
    padding: Ints = 0,
    output_padding: Ints = 0,
    groups: int = 1,
    dilation: Ints = 1,
) -> Array:
    """`torch.nn.functional.conv_transpose3d`.

    Examples:
        >>> import jax.numpy as jnp, jconv
        >>> x, w = jnp.ones((1, 4, 2, 3, 4)), jnp.ones((4, 3, 2, 2, 2))
        >>> jconv.compat.torch.conv_transpose3d(x, w, stride=2).shape
        (1, 3, 4, 6, 8)
    """
    return _conv_transpose("conv_transpose3d", 3, **locals())


def transposed_settings(
    op: str,
    rank: int,
    stride: Any,
    padding: Any,
    dilation: Any,
    groups: Any,
    output_padding: Any,
) -> dict[str, Any]:
    """jconv's keywords of the convolution that is transposed.

    PyTorch's result has s*(o-1) + K - 2p + output_padding rows. That is the smallest size of a
    convolution with pads (p, p - output_padding), so output_padding becomes less padding at the
    end, however large it is.
    """
    how = settings(op, rank, stride, padding, dilation, groups)
    extra = read_each(op, "output_padding", output_padding, rank, low=0)
    limits = [max(pair) for pair in zip(how["stride"], how["dilation"], strict=True)]
    if any(more >= limit for more, limit in zip(extra, limits, strict=True)):
        expected = f"less than {tuple(limits)}, the larger of stride and dilation"
        remedies = [("output_padding", tuple(limit - 1 for limit in limits))]
        raise wrong(op, "output_padding", output_padding, expected, remedies=remedies)
    how["padding"] = tuple((p, p - more) for p, more in zip(how["padding"], extra, strict=True))
    return how


def _conv_transpose(
    op: str,
    rank: int,
    *,
    input: Any,
    weight: Any,
    bias: Any,
    stride: Any,
    padding: Any,
    output_padding: Any,
    groups: Any,
    dilation: Any,
) -> Array:
    given = {**locals()}
    x = read_array(op, "input", input, (rank + 2, rank + 1))
    w = read_array(op, "weight", weight, (rank + 2,))
    x, batched = with_batch(x, rank)
    how = transposed_settings(op, rank, stride, padding, dilation, groups, output_padding)
    sizes = tuple(
        smallest_size(
            x.shape[a + 2], w.shape[a + 2], pads, s=how["stride"][a], d=how["dilation"][a]
        )
        for a, pads in enumerate(how["padding"])
    )
    check_rows(op, x.shape[2:], "`input` has no rows on some axis.")
    check_rows(op, sizes, "`padding` is so large that the result has no rows.", remedy=0)
    y = run(op, conv_transpose, x, w, given=given, batched=batched, output_padding=0, **how)
    y = add_bias(op, "bias", y, bias, 1)
    return y if batched else y[0]
