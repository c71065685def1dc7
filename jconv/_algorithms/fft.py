"""fft: a convolution of large windows as a product of spectra.

Every leg is a full convolution of its two operands, one of them reversed or not, of which some
rows are kept::

    conv          x * reversed w    row o - p0 + K - 1
    input_grad    g * w             row i + p0
    filter_grad   x * reversed g    row d*k - p0 + O - 1

with w dilated to K rows and O rows of g. The spectra are padded to where nothing wraps around.

Every output is a combination of all products of its image, so a NaN reaches the whole result of an
image, and small outputs have the rounding of the largest.
"""

from __future__ import annotations

import functools
import math

import jax
import jax.numpy as jnp
from jax import lax

from jconv._algorithms import cost
from jconv._algorithms.batches import chunk, in_chunks
from jconv._algorithms.legs import may_transform, widen
from jconv._algorithms.record import Algorithm, Planner, static_on_cpu
from jconv._algorithms.windows import resize
from jconv._core.geometry import Axis, span
from jconv._core.problem import Problem

WINDOW = 64  # taps of a window; with fewer, spectra never paid in any measurement
RELUCTANCE = 100.0  # factor on the predicted time of windows with fewer taps than WINDOW


# Products of threes, fives and sevens: each times a power of two is a size with short transforms.
_ODD = [3**a * 5**b * 7**c for a in range(21) for b in range(14) for c in range(12)]
_ODD = [odd for odd in _ODD if odd <= 1 << 33]


@functools.lru_cache(maxsize=512)
def smooth(size: int) -> int:
    """The next size whose transform splits into short ones: its primes are 2, 3, 5 and 7."""
    return min(odd << max(-(-size // odd) - 1, 0).bit_length() for odd in _ODD)


def sizes(problem: Problem) -> list[int]:
    """Rows of each axis in the full convolution, and as many again as make it smooth."""
    return [smooth(sum(_rows(problem, axis)) - 1) for axis in problem.axes]


def _rows(problem: Problem, axis: Axis) -> tuple[int, int]:
    first = axis.o if problem.leg == "input_grad" else axis.i
    return first, axis.o if problem.leg == "filter_grad" else span(axis.k, axis.d)


def _kept(problem: Problem, axis: Axis) -> tuple[int, int]:
    """Where the result begins in the full convolution, as low padding, and its rows."""
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
    """One input channel a group: nothing to contract but the outputs of each."""
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
        return "is for one group, or groups of one channel"
    if any(axis.s > 1 or axis.b > 1 for axis in problem.axes):
        return "is for stride 1"
    if not 1 <= problem.rank <= 3:
        return "is for one to three axes"
    return None


def seconds(problem: Problem, planner: Planner) -> float:
    points, groups = _points(problem), problem.groups
    channels = groups * (problem.c + problem.f)
    transformed = points * (problem.n * channels + groups * problem.c * problem.f)
    multiplied = points * problem.n * groups * problem.c * problem.f
    if problem.leg == "filter_grad":
        multiplied *= 2  # summed over the batch, which lies outermost
    calls = problem.n / images(problem)
    total = cost.fourier_transforms(transformed, math.prod(sizes(problem)))
    total += cost.spectrum_products(multiplied) + cost.kernels(6, calls)
    small = math.prod(axis.k for axis in problem.axes) < WINDOW
    return RELUCTANCE * total if small else total


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
    run=run,
)
