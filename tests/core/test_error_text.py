"""Errors as they are read: a few in full, so that a change of wording is a decision."""

import jax.numpy as jnp
import pytest

import jconv


def ones(*shape):
    return jnp.ones(shape)


GOLDEN = {
    "cotangent-of-the-inputs-size": (
        lambda: jconv.conv_filter_grad(
            ones(1, 5, 5, 3), ones(1, 5, 5, 8), filter_shape=(3, 3), stride=2
        ),
        """
conv_filter_grad: an input of spatial size (5, 5) under a filter of (3, 3) gives (3, 3), but `g` has
(5, 5): no forward convolution with these arguments makes such a cotangent. `g` has the spatial size
of the input; it must have that of the convolution's result.
  argument: `g`
  got:      (1, 5, 5, 8)
  expected: shape (1, 3, 3, 8)
  remedy:   give g the shape (1, 3, 3, 8)
""",
    ),
    "output-padding-too-large": (
        lambda: jconv.conv_transpose(
            ones(1, 6, 6, 8), ones(3, 3, 4, 8), stride=2, padding=1, output_padding=2
        ),
        """
conv_transpose: `output_padding`=2 chooses no size that a forward convolution takes to (6, 6), the
spatial size of `x`.
  argument: `output_padding`
  got:      2
  expected: ({0, 1}, {0, 1}), for the spatial sizes ({11, 12}, {11, 12})
  remedy:   pass output_padding=1
  or:       leave output_padding out
""",
    ),
    "filter-of-another-framework": (
        lambda: jconv.conv(ones(1, 8, 8, 16), ones(32, 16, 3, 3)),
        """
conv: `x` has 16 channels, but `w`, read as HWIO, takes 3. `w` looks like OIHW, where HWIO is
expected.
  argument: `w`
  got:      (32, 16, 3, 3)
  expected: shape (3, 3, 16, 32)
  remedy:   transpose it: jnp.transpose(w, (2, 3, 1, 0)), of shape (3, 3, 16, 32)
""",
    ),
    "strides-for-all-four-axes": (
        lambda: jconv.conv(ones(1, 8, 8, 3), ones(3, 3, 3, 8), stride=(1, 2, 2, 1)),
        """
conv: `stride` has 4 entries, but there are 2 spatial axes; it is (1, 2, 2, 1).
  argument: `stride`
  got:      (1, 2, 2, 1)
  expected: a whole number of 1 or more, or a sequence of 2, one for each spatial axis
  remedy:   give the spatial axes alone: stride=(2, 2)
""",
    ),
}


@pytest.mark.parametrize("name", GOLDEN)
def test_an_error_reads_like_this(name):
    call, text = GOLDEN[name]
    with pytest.raises(jconv.ConvError) as caught:
        call()
    assert str(caught.value) == text.strip("\n")
    assert max(map(len, str(caught.value).splitlines())) <= 100
