"""real: a convolution of complex numbers as one of real numbers with twice the channels.

A channel of complex numbers becomes two, its real and its imaginary part. The filter then has four
parts for each of its own, since (a + bi)(c + di) = (ac - bd) + (ad + bc)i. A filter backprop makes
these four products apart and adds them up after. The planner chooses how the real leg runs.
"""

from __future__ import annotations

import math

import jax
from jax import lax

from jconv._algorithms import cost
from jconv._algorithms.compiling import OfPart, Work
from jconv._algorithms.legs import widen
from jconv._algorithms.record import Algorithm, Planner, always_local, static_on_cpu
from jconv._core.problem import Problem, itemsize

KERNELS = 4  # the operands' parts side by side, and the result put together


def supports(problem: Problem, platform: str) -> str | None:
    if reason := static_on_cpu(problem, platform):
        return reason
    return None if "complex" in problem.wide_dtype else "only supports complex numbers"


def part(problem: Problem) -> Problem:
    """The real leg with twice the channels.

    Its policy stays, unlike that of `part_of`: winograd may run it where it may run float32.
    """
    of = {"complex64": "float32", "complex128": "float64"}[problem.wide_dtype]
    return problem.replace(c=2 * problem.c, f=2 * problem.f, x_dtype=of, w_dtype=of, y_dtype=of)


def run(problem: Problem, planner: Planner, a: jax.Array, b: jax.Array) -> jax.Array:
    a, b = widen(problem, a, b)
    if problem.leg == "filter_grad":
        products = planner.run(part(problem), _parts(a, problem.groups), _parts(b, problem.groups))
        return _added_up(problem, products)
    w = _four_parts(b, problem.groups, backwards=problem.leg == "input_grad")
    y = planner.run(part(problem), _parts(a, problem.groups), w)
    y = y.reshape(*y.shape[:-1], problem.groups, 2, -1)
    return lax.complex(y[..., 0, :], y[..., 1, :]).reshape(problem.out_shape)


def _parts(a: jax.Array, groups: int) -> jax.Array:
    """The real channels of each group, and after them the imaginary ones."""
    a = a.reshape(*a.shape[:-1], groups, -1)
    a = lax.concatenate([lax.real(a), lax.imag(a)], a.ndim - 1)
    return a.reshape(*a.shape[:-2], -1)


def _four_parts(w: jax.Array, groups: int, *, backwards: bool) -> jax.Array:
    """The filter of the real leg: from each of two parts of x to each of two parts of y.

    An input backprop goes from y's parts to those of x, by the same sums: nothing is conjugated.
    """
    w = w.reshape(*w.shape[:-1], groups, -1)
    c, f = w.ndim - 3, w.ndim - 1
    real, imaginary = lax.real(w), -lax.imag(w) if backwards else lax.imag(w)
    of_real = lax.concatenate([real, imaginary], f)
    of_imaginary = lax.concatenate([-imaginary, real], f)
    w = lax.concatenate([of_real, of_imaginary], c)
    return w.reshape(*w.shape[:-2], -1)


def _added_up(problem: Problem, products: jax.Array) -> jax.Array:
    """A filter backprop's result, of the products of x's two parts with those of y."""
    sizes = (2, problem.c, problem.groups, 2, problem.f)
    parts = products.reshape(*products.shape[:-2], *sizes)

    def of(x: int, y: int) -> jax.Array:
        return parts[..., x, :, :, y, :]

    return lax.complex(of(0, 0) - of(1, 1), of(0, 1) + of(1, 0)).reshape(problem.out_shape)


def seconds(problem: Problem, planner: Planner) -> float:
    total = planner.cost(part(problem)) + cost.moved(problem, 6 * cost.operands(problem))
    return total + cost.kernels(KERNELS)


def workspace(problem: Problem, platform: str) -> int:
    """Operands and result as real numbers; the filter has four parts for each of its numbers."""
    x, w, y = (math.prod(problem.shape(slot)) for slot in ("x", "w", "y"))
    read, made = (y, x) if problem.leg == "input_grad" else (x, y)
    # What is read lies where the result will, if there is room for it.
    held = made if problem.leg != "filter_grad" and read <= made else x + y
    return cost.widened(problem) + (held + 2 * w) * itemsize(problem.wide_dtype)


def compiling(problem: Problem, of_part: OfPart) -> Work:
    return Work(kernels=KERNELS) + of_part(part(problem))


REAL = Algorithm(
    name="real",
    supports=supports,
    cost=seconds,
    run=run,
    workspace=workspace,
    parts=lambda problem: (part(problem),),
    compiling=compiling,
    local=always_local,
)
