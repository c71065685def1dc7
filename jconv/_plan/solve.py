"""The index equation read backwards: which inputs give an output, and which settings a change.

Whole-number arithmetic, one axis at a time. `input_sizes` turns the size formula around; `solve`
tries every setting of a stated range and keeps one of each kind.
"""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Iterable, Iterator, Sequence
from typing import Any, TypeVar

from jconv._check import settings
from jconv._check.words import in_jconvs_words
from jconv._core import geometry
from jconv._core.errors import ConvError, Remedy, show
from jconv._core.geometry import Shape, Size, is_static, max_size, proved, span
from jconv._plan.solve_axis import Option, options_of

SEARCHED = 256  # the largest kernel and stride that solve tries
MOST = 50_000  # settings that solve compares, which takes some seconds; more are refused
Found = TypeVar("Found")

Ints = int | Sequence[int]
Padding = str | int | Sequence[int | Sequence[int]]


@in_jconvs_words
def input_sizes(
    output: Size | Sequence[Size],
    kernel: Size | Sequence[Size],
    *,
    stride: Ints = 1,
    padding: Padding = "SAME",
    dilation: Ints = 1,
) -> tuple[tuple[Size, Size], ...]:
    """All sizes of x that `conv` takes to `output` rows: on every axis low <= i <= high.

    o = (i+P-K)//s + 1 has s solutions, from s*(o-1)+K-P on; for SAME, SAME_LOWER and CAUSAL they
    start at s*(o-1)+1. Those below 1 drop out. For o = 0 they are all sizes below the first
    window. The set is never infinite: s more rows of x are one more row of y.

    Args:
        output: rows of y, one number or one for each spatial axis; may be 0, may be symbolic.
        kernel: taps of the filter, likewise. A number beside a sequence holds for every axis.
        stride, padding, dilation: those of `conv`.

    Returns:
        One inclusive (low, high) for each spatial axis; a tuple of one where there are numbers
        only. Where no size gives that output, low > high.

    Raises:
        ConvError: if an argument cannot be read.

    Examples:
        >>> import jconv
        >>> jconv.input_sizes((14, 5), 3, stride=2, padding="VALID")
        ((29, 30), (11, 12))
        >>> jconv.input_sizes(1, 1, padding=2)  # the padding alone makes four rows
        ((1, 0),)
    """
    op = "input_sizes"
    rank = _rank(output, kernel, stride, dilation)
    o, k = _read_sizes(op, "output", output, rank), _read_sizes(op, "kernel", kernel, rank)
    s = settings.read_factors(op, "stride", stride, rank)
    d = settings.read_factors(op, "dilation", dilation, rank)
    pads = settings.read_padding(op, padding, rank)
    return tuple(_input_range(o[a], k[a], pads[a], s[a], d[a]) for a in range(rank))


def _input_range(o: Size, k: Size, padding: settings.Padding, s: int, d: int) -> tuple[Size, Size]:
    smallest = geometry.smallest_size(o, k, padding, s=s, d=d)
    if proved(lambda: o >= 1):
        return max_size(smallest, 1), max_size(smallest + s - 1, 0)
    some = 1 - max_size(1 - o, 0)  # min(o, 1): no output goes with no input, too
    return max_size(smallest, 1) * some, max_size(smallest + s - 1, -1)


@dataclasses.dataclass(frozen=True)
class Solution:
    """Settings that take one size to another, as `solve` finds them.

    A number holds for every spatial axis, and a tuple has an entry for each.

    Attributes:
        kernel: taps of the filter, the spatial sizes of w.
        stride: as the call takes it.
        padding: a rule's name, an int, or for each axis an int or a (low, high) pair.
        dilation: as the call takes it.
        output_padding: None where the call needs none, as in every convolution.
        call: the code of the call, for arrays x and w.
    """

    kernel: int | tuple[int, ...]
    stride: int | tuple[int, ...]
    padding: str | int | tuple[int | tuple[int, int], ...]
    dilation: int | tuple[int, ...]
    output_padding: int | tuple[int, ...] | None
    call: str


@in_jconvs_words
def solve(
    *,
    input: Ints,
    output: Ints,
    kernel: Ints | None = None,
    stride: Ints | None = None,
    padding: Padding | None = None,
    dilation: Ints | None = None,
    transposed: bool = False,
    max_kernel: int = 7,
    max_stride: int = 4,
) -> list[Solution]:
    """Which kernel, stride and padding take `input` to `output`, the simplest first.

    What is None is searched, and the answer is complete over these ranges: kernel 1 to
    `max_kernel`; stride 1 to `max_stride`; padding "VALID", "SAME", and the same 1 to K-1 rows on
    both sides, where K = dilation*(kernel-1)+1 (beyond that a whole window lies in the padding).
    `dilation` is 1 unless given. With `transposed`, `output_padding` follows from the sizes.

    Variants are left out: of all settings with the same kernel whose taps meet the same rows of
    x in every window (which tap reads which row at these sizes; what lies in the padding counts
    as one), only the simplest stays. It is the one without output_padding, then with the smaller
    stride, then "VALID" before "SAME" before numbers. So there is no padding=0 beside "VALID",
    no padding=1 where "SAME" pads one row on both sides, no second stride for a single window.

    Over several axes every setting is the same on each (output_padding may differ). Only if
    nothing does it so, as few of kernel, stride and padding as possible differ between the axes,
    and every way to let that few differ is searched; a padding that differs is written in numbers.

    The order: few holes (rows before the last that no window meets; a transposed convolution
    leaves them zero), a named padding, a stride near the ratio of the sizes, few rows at the end
    that no window meets, a usual kernel, and then the smaller numbers. For a transposed
    convolution the stride, and then doing without output_padding, come before the padding. Usual
    kernels are 3 and the stride; for a transposed one the stride and its double, which reach
    every row equally often, then 3; for a single window the whole input; next odd ones, then even.

    Args:
        input: the size of x, one number or one for each spatial axis.
        output: the size of the result, likewise; a number beside a sequence holds for every axis.
        kernel, stride, padding, dilation: those of `conv`; None to search.
        transposed: whether the call is a `conv_transpose`.
        max_kernel, max_stride: ends of the ranges searched, at most 256.

    Returns:
        The solutions; none if nothing in the ranges does it.

    Raises:
        ConvError: if an argument cannot be read.

    Examples:
        >>> import jconv
        >>> jconv.solve(input=28, output=14)[0].call
        'jconv.conv(x, w, stride=2, padding="SAME")'
        >>> for solution in jconv.solve(input=6, output=12, kernel=3, transposed=True):
        ...     print(solution.call)
        jconv.conv_transpose(x, w, stride=2, padding="SAME")
        jconv.conv_transpose(x, w, stride=2, padding=1, output_padding=1)
    """
    op = "solve"
    rank = _rank(input, output, kernel, stride, dilation)
    ends = {"input": input, "output": output}
    sizes = [_read_sizes(op, name, value, rank, symbols=False) for name, value in ends.items()]
    factors = {"kernel": kernel, "stride": stride, "dilation": dilation}
    given = {n: settings.read_factors(op, n, v, rank) for n, v in factors.items() if v is not None}
    pads = None if padding is None else settings.read_padding(op, padding, rank)
    if not all(isinstance(rule, str) or is_static(*rule) for rule in pads or ()):
        why = f"{op}: `padding` must be known numbers."
        raise ConvError(why, argument="padding", got=padding, expected="a rule's name, or numbers")
    largest = _read_end(op, "max_kernel", max_kernel)
    fastest = _read_end(op, "max_stride", max_stride)
    for taps in given.get("kernel", ()):
        _read_end(op, "kernel", taps)
    if not isinstance(transposed, bool):
        raise ConvError(
            f"{op}: `transposed` must be True or False; it is {show(transposed)}.",
            argument="transposed",
            got=transposed,
            expected="True or False",
            remedies=[Remedy.omit("transposed", "the call is a `conv`")],
        )
    axes = []
    for a in range(rank):
        # The forward convolution's own direction: a transposed one runs it backwards.
        i, o = (size[a] for size in (sizes[::-1] if transposed else sizes))
        kernels = given["kernel"][a : a + 1] if "kernel" in given else range(1, largest + 1)
        strides = given["stride"][a : a + 1] if "stride" in given else range(1, fastest + 1)
        d = given["dilation"][a] if "dilation" in given else 1
        rules = None if pads is None else (pads[a],)
        axes.append(list(_limited(options_of(i, o, kernels, strides, d, rules))))
    free = [n for n, v in (("k", kernel), ("s", stride), ("padding", padding)) if v is None]
    found: dict[Any, Options] = {}
    for count in range(len(free) + 1 if rank > 1 else 1):
        for differing in itertools.combinations(free, count):
            for options in _limited(_combine(axes, free, differing, transposed)):
                _keep_simplest(found, _kind(options), options, transposed)
        if found:
            break
    ranked = sorted(found.values(), key=lambda options: _rank_key(options, transposed))
    return [_solution(options, transposed) for options in ranked]


Options = tuple[Option, ...]  # one for each axis


# All axes --------------------------------------------------------------------------------------


def _combine(
    axes: list[list[Option]], free: Sequence[str], differing: Sequence[str], transposed: bool
) -> Iterator[Options]:
    """One option for each axis, with what is free and does not differ shared by all."""
    groups: list[dict[Any, dict[Any, Options]]] = []
    for options in axes:
        groups.append({})
        for option in options:
            if "padding" in differing:  # rules' names cannot be mixed within one call
                option = dataclasses.replace(option, padding=(option.p0, option.p1))
            key = tuple(getattr(option, name) for name in free if name not in differing)
            group = groups[-1].setdefault(key, {})
            _keep_simplest(group, _kind((option,)), (option,), transposed)
    for key in groups[0]:
        if all(key in group for group in groups):
            for choice in itertools.product(*(group[key].values() for group in groups)):
                yield tuple(option for (option,) in choice)


def _kind(options: Options) -> Any:
    """What variants have in common."""
    return tuple((option.k, option.reading) for option in options)


def _keep_simplest(found: dict[Any, Options], kind: Any, new: Options, transposed: bool) -> None:
    old = found.get(kind)
    if old is None or _plainness(new, transposed) < _plainness(old, transposed):
        found[kind] = new


def _plainness(options: Options, transposed: bool) -> Any:
    """Orders variants, the simplest first."""
    return (
        _needs_output_padding(options, transposed),
        [option.s for option in options],
        [2 - isinstance(o.padding, str) - (o.padding == "VALID") for o in options],
        [(option.p0, option.p1) for option in options],
    )


def _needs_output_padding(options: Options, transposed: bool) -> bool:
    return transposed and not all(option.is_default for option in options)


def _rank_key(options: Options, transposed: bool) -> Any:
    """Orders solutions, the simplest first; `solve` says it in words."""
    unmet = [option.unmet for option in options]
    numbers = not all(isinstance(option.padding, str) for option in options)
    stride = max(_stride_mismatch(option) for option in options)
    needs = _needs_output_padding(options, transposed)
    return (
        sum(holes for holes, _ in unmet),
        (stride, needs, numbers) if transposed else (numbers, stride),
        sum(rest for _, rest in unmet),
        max(_kernel_rank(option, transposed) for option in options),
        [(option.k, option.s, option.p0, option.p1) for option in options],
    )


def _stride_mismatch(option: Option) -> float:
    """The ratio of s to i/o, or of i/o to s; where the stride does not matter, 1."""
    if option.i == 0 or option.o <= 1:
        return 1.0
    a, b = option.s * option.o, option.i
    return max(a, b) / min(a, b)


def _kernel_rank(option: Option, transposed: bool) -> tuple[int, int]:
    k, s = option.k, option.s
    if option.o == 1:
        usual = [k] if span(k, option.d) == option.i else []
    else:
        usual = [s, 2 * s, 3] if transposed and s > 1 else [3, s]
    return (0, usual.index(k)) if k in usual else (2 - k % 2, k)


def _solution(options: Options, transposed: bool) -> Solution:
    kernel = _one_or_each([option.k for option in options])
    stride = _one_or_each([option.s for option in options])
    dilation = _one_or_each([option.d for option in options])
    padding = _one_or_each(
        [
            option.p0 if (option.p0, option.p0) == option.padding else option.padding
            for option in options
        ]
    )
    extra = None
    if _needs_output_padding(options, transposed):
        extra = _one_or_each([option.extra for option in options])
    words = {"stride": stride, "padding": padding, "dilation": dilation, "output_padding": extra}
    defaults = {"stride": 1, "dilation": 1, "output_padding": None}
    said = [
        f'{name}="{value}"' if isinstance(value, str) else f"{name}={value}"
        for name, value in words.items()
        if name == "padding" or value != defaults[name]
    ]
    call = f"jconv.conv{'_transpose' if transposed else ''}(x, w, {', '.join(said)})"
    return Solution(kernel, stride, padding, dilation, extra, call)


def _one_or_each(values: list[Any]) -> Any:
    """One number or name where it holds for every axis; a pair is always an entry of its axis."""
    if values.count(values[0]) == len(values) and not isinstance(values[0], tuple):
        return values[0]
    return tuple(values)


# Reading the arguments -------------------------------------------------------------------------


def _rank(*values: Any) -> int:
    """The number of axes: the length of the first sequence, or 1 where all are numbers."""
    lists = [settings.entries_of(value) for value in values]
    return next((len(entries) for entries in lists if entries), 1)


def _read_end(op: str, argument: str, value: Any) -> int:
    """The end of a range that is searched."""
    (end,) = settings.read_factors(op, argument, value, 1)
    if end <= SEARCHED:
        return end
    raise ConvError(
        f"{op}: `{argument}` must be at most {SEARCHED}: settings are compared tap by tap.",
        argument=argument,
        got=value,
        expected=f"a whole number from 1 to {SEARCHED}",
        remedies=[Remedy.use(argument, SEARCHED)],
    )


def _limited(found: Iterable[Found]) -> Iterator[Found]:
    for n, one in enumerate(found):
        if n == MOST:
            raise ConvError(
                f"solve: more than {MOST} settings would have to be compared.",
                argument="max_kernel",
                expected="narrower ranges: a smaller max_kernel or max_stride, or a given kernel, "
                "stride or padding",
            )
        yield one


def _read_sizes(op: str, argument: str, value: Any, rank: int, symbols: bool = True) -> Shape:
    """One size for each axis."""
    each = value if settings.as_size(value) is None else (value,) * rank
    sizes = settings.read_shape(op, argument, each)
    if len(sizes) == rank and (symbols or is_static(*sizes)):
        return sizes
    count = f"has {len(sizes)} entries, for {rank} spatial ax{'i' if rank == 1 else 'e'}s"
    raise ConvError(
        f"{op}: `{argument}` {count if len(sizes) != rank else 'must be known numbers'}.",
        argument=argument,
        got=value,
        expected=f"a whole number of 0 or more, or a sequence of {rank} for the spatial axes",
    )
