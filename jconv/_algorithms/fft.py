"""fft: a convolution of large windows as a product of spectra.

Every leg is a full convolution of its two operands, one of which may be reversed. Some rows of it
are kept::

    conv          x * reversed w    row o - p0 + K - 1
    input_grad    g * w             row i + p0
    filter_grad   x * reversed g    row d*k - p0 + O - 1

with w dilated to K rows and O rows of g. Operands are padded so far that nothing wraps around.

Every output is a combination of all products of its image. A NaN therefore reaches the whole result
of an image, and small outputs have the rounding error of the largest.
"""

from __future__ import annotations

import functools
import math

import jax
import jax.numpy as jnp
from jax import lax

from jconv._algorithms import cost
from jconv._algorithms.batches import chunk, in_chunks
from jconv._algorithms.compiling import Work
from jconv._algorithms.legs import may_transform, widen
from jconv._algorithms.record import Algorithm, Planner, static_on_cpu
from jconv._algorithms.windows import resize
from jconv._core.geometry import Axis, span
from jconv._core.problem import Problem

MIN_TAPS = 64  # taps of a window; with fewer, spectra were never faster in any measurement
FEW_TAPS_FACTOR = 100.0  # factor on the predicted time of windows with fewer taps than MIN_TAPS

# Products of 3, 5 and 7. Any of them times a power of two is a size whose transform is fast.
_ODD_FACTORS = [3**a * 5**b * 7**c for a in range(21) for b in range(14) for c in range(12)]
_ODD_FACTORS = [odd for odd in _ODD_FACTORS if odd <= 1 << 33]


@functools.lru_cache(maxsize=512)
def smooth(size: int) -> int:
    """The next size whose only prime factors are 2, 3, 5 and 7: its transform is fast."""
    return min(odd << max(-(-size // odd) - 1, 0).bit_length() for odd in _ODD_FACTORS)


def sizes(problem: Problem) -> list[int]:
    """Rows of each axis in the full convolution, rounded up to a size with a fast transform."""
    return [smooth(sum(_rows(problem, axis)) - 1) for axis in problem.axes]


def _rows(problem: Problem, axis: Axis) -> tuple[int, int]:
    first = axis.o if problem.leg == "input_grad" else axis.i
    return first, axis.o if problem.leg == "filter_grad" else span(axis.k, axis.d)


def _kept(problem: Problem, axis: Axis) -> tuple[int, int]:
    """How the full convolution is resized to the result: low padding (or crop), and rows."""
    reach = span(axis.k, axis.d)
    return {
        "conv": (axis.p0 - (reach - 1), axis.o),
        "input_grad": (-axis.p0, axis.i),
        "filter_grad": (axis.p0 - (axis.o - 1), reach),
    }[problem.leg]


def run(problem: Problem, planner: Planner, a: jax.Array, b: jax.Array) -> jax.Array:
    a, b = widen(problem, a, b)
    if problem.leg == "filter_grad":
        one = lambda x, g: _filter_grad(problem, x, g)  # noqa: E731
        grads = in_chunks(one, (a, b), images(problem), total=True)
        return grads.reshape(problem.out_shape)
    filters = _spectrum(problem, _dilated(problem, b), 0, problem.leg == "conv")
    return in_chunks(lambda a: _windows(problem, a, filters), (a,), images(problem))


def _spectrum(problem: Problem, array: jax.Array, first: int, flip: bool) -> jax.Array:
    dims = range(first, first + problem.rank)
    array = lax.rev(array, dims) if flip else array
    return jnp.fft.rfftn(array, sizes(problem), axes=tuple(dims))


def _back(problem: Problem, spectrum: jax.Array, first: int) -> jax.Array:
    dims = range(first, first + problem.rank)
    full = jnp.fft.irfftn(spectrum, sizes(problem), axes=tuple(dims))
    for dim, axis in zip(dims, problem.axes, strict=True):
        full = lax.slice_in_dim(full, 0, sum(_rows(problem, axis)) - 1, axis=dim)
        full = resize(full, dim, *_kept(problem, axis))
    return full


def _dilated(problem: Problem, w: jax.Array) -> jax.Array:
    for dim, axis in enumerate(problem.axes):
        w = resize(w, dim, 0, span(axis.k, axis.d), interior=axis.d - 1)
    return w


def _windows(problem: Problem, a: jax.Array, w: jax.Array) -> jax.Array:
    spectrum = _spectrum(problem, a, 1, False)
    if problem.c == 1:
        spectrum = _of_groups(problem, spectrum, w[..., 0, :])
    elif problem.leg == "conv":
        spectrum = jnp.einsum("n...c,...cf->n...f", spectrum, w)
    else:
        spectrum = jnp.einsum("n...f,...cf->n...c", spectrum, w)
    return _back(problem, spectrum, 1)


def _of_groups(problem: Problem, spectrum: jax.Array, w: jax.Array) -> jax.Array:
    """Products of spectra where a group reads one channel: there is no sum over channels."""
    if problem.leg == "conv":
        return jnp.repeat(spectrum, problem.f, axis=-1) * w[None]
    products = spectrum * w[None]
    return products.reshape(*products.shape[:-1], problem.groups, problem.f).sum(-1)


def _filter_grad(problem: Problem, x: jax.Array, g: jax.Array) -> jax.Array:
    x, g = _spectrum(problem, x, 1, False), _spectrum(problem, g, 1, True)
    if problem.c == 1:
        spectrum = (jnp.repeat(x, problem.f, axis=-1) * g).sum(0)[..., None, :]
    else:
        spectrum = jnp.einsum("n...c,n...f->...cf", x, g)
    grads = _back(problem, spectrum, 0)
    for dim, axis in enumerate(problem.axes):
        grads = lax.slice_in_dim(grads, 0, grads.shape[dim], axis.d, axis=dim)
    return grads


def _points(problem: Problem) -> int:
    """Complex numbers in the spectrum of one channel."""
    *outer, last = sizes(problem)
    return math.prod(outer) * (last // 2 + 1)


def images(problem: Problem) -> int:
    """Images to a chunk of the batch."""
    channels = problem.groups * (problem.c + problem.f)
    return chunk(problem.n, 8 * _points(problem) * channels)


def supports(problem: Problem, platform: str) -> str | None:
    if reason := static_on_cpu(problem, platform):
        return reason
    if not may_transform(problem):
        return "would lose accuracy at these dtypes"
    if problem.groups > 1 and problem.c > 1:
        return "only supports one group, or groups of one channel"
    if any(axis.s > 1 or axis.b > 1 for axis in problem.axes):
        return "only supports stride 1 and no input dilation"
    if not 1 <= problem.rank <= 3:
        return "only supports one to three spatial axes"
    return None


def seconds(problem: Problem, planner: Planner) -> float:
    points, groups = _points(problem), problem.groups
    channels = groups * (problem.c + problem.f)
    transformed = points * (problem.n * channels + groups * problem.c * problem.f)
    multiplied = points * problem.n * groups * problem.c * problem.f
    if problem.leg == "filter_grad":
        multiplied *= 2  # slower, since the sum is over the batch, the outermost dimension
    calls = problem.n / images(problem)
    total = cost.fourier_transforms(transformed, math.prod(sizes(problem)))
    total += cost.spectrum_products(multiplied) + cost.kernels(6, calls)
    small = math.prod(axis.k for axis in problem.axes) < MIN_TAPS
    return FEW_TAPS_FACTOR * total if small else total


def workspace(problem: Problem, platform: str) -> int:
    """The spectra of a chunk and of the filter, and the full convolution."""
    channels = problem.groups * (problem.c + problem.f)
    held = images(problem) * channels + problem.groups * problem.c * problem.f
    return cost.widened(problem) + 16 * _points(problem) * held


FFT = Algorithm(
    name="fft",
    exact=False,
    error=4.0,
    supports=supports,
    cost=seconds,
    workspace=workspace,
    compiling=lambda problem, of_part: Work(kernels=10),
    run=run,
)
