"""torch.nn.functional's convolutions, torch.nn.grad, and the operation that autograd calls.

Arrays are channels first, filters (out, in / groups, ...); an input may lack its batch axis. What
PyTorch refuses (an input that the kernel does not fit in, padding="same" with a stride) is refused
here as well.
"""

from jconv.compat.torch import grad as grad
from jconv.compat.torch._backward import convolution_backward as convolution_backward
from jconv.compat.torch._functional import conv1d as conv1d
from jconv.compat.torch._functional import conv2d as conv2d
from jconv.compat.torch._functional import conv3d as conv3d
from jconv.compat.torch._patches import fold as fold
from jconv.compat.torch._patches import unfold as unfold
from jconv.compat.torch._transposed import conv_transpose1d as conv_transpose1d
from jconv.compat.torch._transposed import conv_transpose2d as conv_transpose2d
from jconv.compat.torch._transposed import conv_transpose3d as conv_transpose3d

__all__ = [
    "conv1d",
    "conv2d",
    "conv3d",
    "conv_transpose1d",
    "conv_transpose2d",
    "conv_transpose3d",
    "convolution_backward",
    "fold",
    "grad",
    "unfold",
]
