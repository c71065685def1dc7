"""Questions asked backwards, against an enumeration of everything that could be the answer.

The forward size rule below counts windows one by one and shares no code with the library.
"""

import dataclasses
import itertools
import types

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax import export

import jconv
from jconv._core import geometry as _geometry
from jconv._plan import solve as _inverse
from jconv._plan.solve import Solution, input_sizes, solve

NAMED = ("VALID", "SAME", "SAME_LOWER", "CAUSAL")
PAIRS = ((0, 0), (1, 0), (0, 1), (2, 2), (1, 4), (6, 2), (-1, 0), (2, -3), (-5, 4), (-2, -2))


def forward(i, k, s, d, padding):
    """The number of windows, and the row of x at which the first one starts."""
    span = d * (k - 1) + 1 if k else 0
    if padding in ("SAME", "SAME_LOWER"):
        count = len(range(0, i, s))
        pads = max((count - 1) * s + span - i, 0)
        return count, -(pads // 2 if padding == "SAME" else pads - pads // 2)
    if padding == "CAUSAL":
        padding = (span - 1, 0)
    low, high = (0, 0) if padding == "VALID" else padding
    return len(range(-low, i + high - span + 1, s)), -low


def test_the_size_rule_here_is_the_one_of_the_operations():
    for k, s, d, padding in SETTINGS:
        for i in (0, 1, 2, 5, 12, 13):
            o, start = forward(i, k, s, d, padding)
            made, p0, _ = _geometry.resolve_axis(i, k, padding, s=s, b=1, d=d)
            assert (made, p0) == (o, -start)


# --- input_sizes --------------------------------------------------------------------------------

OUTPUTS = range(12)
SIZES = range(90)  # beyond the largest that gives an output of 11 here: 4*10 + 19 + 4 + 3
SETTINGS = list(itertools.product(range(8), (1, 2, 3, 4), (1, 2, 3), (*NAMED, *PAIRS)))


def wrong_ranges(candidate):
    """The settings, outputs and ranges in which a candidate differs from trying every size."""
    found = []
    for k, s, d, padding in SETTINGS:
        sizes = {o: [] for o in OUTPUTS}
        for i in SIZES:
            o = forward(i, k, s, d, padding)[0]
            if i or not o:  # outputs of padding alone are outputs of no size
                sizes.setdefault(o, []).append(i)
        given = padding if isinstance(padding, str) else [padding]
        for o in OUTPUTS:
            ((low, high),) = candidate(o, k, stride=s, padding=given, dilation=d)
            if list(range(low, high + 1)) != sizes[o]:
                found.append((k, s, d, padding, o, low, high))
    return found


def test_input_sizes_are_all_that_give_the_output():
    assert wrong_ranges(input_sizes) == []


def one_too_many(o, k, **settings):
    return tuple((low, high + 1) for low, high in input_sizes(o, k, **settings))


def one_too_late(o, k, **settings):
    return tuple((low + 1, high) for low, high in input_sizes(o, k, **settings))


def no_output_like_any_other(o, k, **settings):
    ((low, high),) = input_sizes(o, k, **settings)
    return ((low if o else max(low, high - settings["stride"] + 1), high),)


def dilation_forgotten(o, k, **settings):
    return input_sizes(o, k, **{**settings, "dilation": 1})


def same_as_valid(o, k, **settings):
    same = settings["padding"] == "SAME"
    return input_sizes(o, k, **{**settings, "padding": "VALID"} if same else settings)


@pytest.mark.parametrize(
    "mutant",
    [one_too_many, one_too_late, no_output_like_any_other, dilation_forgotten, same_as_valid],
    ids=lambda mutant: mutant.__name__,
)
def test_a_wrong_input_sizes_is_noticed(mutant):
    assert wrong_ranges(mutant)


def test_an_off_by_one_in_its_formula_is_noticed(monkeypatch):
    right = _geometry.smallest_size
    monkeypatch.setattr(_geometry, "smallest_size", lambda *a, **k: right(*a, **k) + 1)
    assert wrong_ranges(input_sizes)


def test_input_sizes_of_several_axes_are_those_of_each():
    both = input_sizes((5, 0), 3, stride=(2, 1), padding=((1, 2), -1), dilation=(1, 2))
    first = input_sizes(5, 3, stride=2, padding=((1, 2),))
    second = input_sizes(0, 3, padding=-1, dilation=2)
    assert both == first + second
    assert input_sizes(7, (3, 5), padding="valid") == ((9, 9), (11, 11))
    assert input_sizes(7, 3, stride=(1, 2), padding="VALID") == ((9, 9), (15, 16))
    assert input_sizes(np.int64(7), np.array([3])) == ((7, 7),)


@pytest.mark.parametrize("padding", [*NAMED, 1, ((0, 2),), ((-1, -1),), 4], ids=str)
@pytest.mark.parametrize("s", [1, 2, 3])
def test_symbolic_input_sizes_hold_for_every_value(padding, s):
    for text in ("h", "h-1", "2*h+1"):
        output, kernel = export.symbolic_shape(f"{text}, k")
        settings = {"stride": s, "padding": padding, "dilation": 2}
        for o, k in [(output, 3), (output, kernel), (5, kernel), (0, kernel)]:
            ((low, high),) = input_sizes(o, k, **settings)
            for h, taps in itertools.product(range(1, 6), range(1, 5)):
                names = {"h": h, "k": taps, "max": max, "floordiv": int.__floordiv__}
                low_at, high_at, o_at, k_at = (eval(str(v), names) for v in (low, high, o, k))
                ((first, last),) = input_sizes(o_at, k_at, **settings)
                assert range(low_at, high_at + 1) == range(first, last + 1)


def test_symbolic_input_sizes_read_like_the_formula():
    (h,) = export.symbolic_shape("h")
    assert str(input_sizes(h, 3, stride=2)) == "((2*h - 1, 2*h),)"
    assert str(input_sizes(h, 3, stride=2, padding="VALID")) == "((2*h + 1, 2*h + 2),)"


# --- solve on one axis --------------------------------------------------------------------------


def table(i, o, k, s, d, start):
    """The row of x that each tap reads in each window, None in the padding."""
    rows = [[start + s * window + d * tap for tap in range(k)] for window in range(o)]
    return k, tuple(tuple(row if 0 <= row < i else None for row in line) for line in rows)


def enumerate_axis(i, o, *, kernel=None, stride=None, padding=None, dilation=1, ends=(7, 4)):
    """Every (k, s, padding) that solve states to search, with what it reads, from i rows to o."""
    for k in range(1, ends[0] + 1) if kernel is None else [kernel]:
        whole = dilation * (k - 1) + 1
        paddings = ["VALID", "SAME", *((p, p) for p in range(whole))]
        for s in range(1, ends[1] + 1) if stride is None else [stride]:
            for p in paddings if padding is None else [padding]:
                count, start = forward(i, k, s, dilation, p)
                if count == o:
                    yield (k, s, p), table(i, o, k, s, dilation, start)


def extra_rows(i, o, k, s, d, padding):
    """The output_padding that says i rows, None where they are what comes without it."""
    named = padding in ("SAME", "SAME_LOWER", "CAUSAL")
    pads = 0 if isinstance(padding, str) else sum(padding)
    smallest = s * (o - 1) + 1 if named else s * (o - 1) + d * (k - 1) + 1 - pads
    sizes = [n for n in range(i + 1) if forward(n, k, s, d, padding)[0] == o and (n or not o)]
    # An empty result is never what comes by itself, unless the input is empty, too.
    return None if [i] == ([s * o] if named else sizes[:1]) else i - smallest


def plainness(setting, i, o, d, transposed):
    k, s, padding = setting
    told = transposed and extra_rows(i, o, k, s, d, padding) is not None
    name = {"VALID": 0, "SAME": 1}.get(padding, 2) if isinstance(padding, str) else 3
    return told, s, name, padding


def written(padding):
    """A padding as a solution of one axis says it."""
    if isinstance(padding, str):
        return padding
    return padding[0] if padding[0] == padding[1] else (padding,)


def faults(candidate, input, output, transposed=False, **given):
    """What is wrong with a candidate's answer for one axis."""
    i, o = (output, input) if transposed else (input, output)
    d = given.get("dilation", 1)
    kinds = {}
    for setting, kind in enumerate_axis(i, o, **given):
        kinds.setdefault(kind, []).append(setting)
    plainest = {
        kind: min(settings, key=lambda setting: plainness(setting, i, o, d, transposed))
        for kind, settings in kinds.items()
    }
    expected = {}
    for kind, (k, s, padding) in plainest.items():
        extra = extra_rows(i, o, k, s, d, padding) if transposed else None
        expected[k, s, written(padding), d, extra] = kind
    if isinstance(given.get("padding"), tuple):
        given = {**given, "padding": [given["padding"]]}
    solutions = candidate(input=input, output=output, transposed=transposed, **given)
    got = [dataclasses.astuple(solution)[:-1] for solution in solutions]
    return [
        *(f"{value} is missing" for value in expected if value not in got),
        *(f"{value} should not be there" for value in got if value not in expected),
        *(f"{value} is there again" for n, value in enumerate(got) if value in got[:n]),
        *(f"{s.call} says {s}" for s in solutions if told(s) != dataclasses.astuple(s)[1:-1]),
    ]


def told(solution):
    """(stride, padding, dilation, output_padding) as the call's code says them."""
    said = {}

    def record(x, w, **keywords):
        said.update(keywords)

    names = ("conv_transpose", "conv")
    eval(solution.call, {"jconv": types.SimpleNamespace(**dict.fromkeys(names, record))} | XW)
    defaults = {"stride": 1, "padding": "SAME", "dilation": 1, "output_padding": None}
    return tuple({**defaults, **said}.values())


XW = {"x": None, "w": None}

GIVEN = {
    "nothing": {},
    "kernel": {"kernel": 5},
    "stride": {"stride": 2},
    "dilation": {"dilation": 2},
    "kernel-and-dilation": {"kernel": 2, "dilation": 3},
    "valid": {"padding": "VALID"},
    "same": {"padding": "SAME"},
    "same-lower": {"padding": "SAME_LOWER"},
    "causal": {"padding": "CAUSAL", "dilation": 2},
    "asymmetric": {"padding": (1, 2)},
    "crop": {"padding": (-1, 0)},
    "beyond-the-kernel": {"padding": (4, 4)},
}


@pytest.mark.parametrize("transposed", [False, True], ids=["conv", "transposed"])
@pytest.mark.parametrize("given", GIVEN.values(), ids=GIVEN)
def test_solve_finds_everything_once(given, transposed):
    most = 17 if not given else 11
    for a, b in itertools.product(range(most), repeat=2):
        assert faults(solve, a, b, transposed, **given) == []


@pytest.mark.parametrize(
    ("a", "b", "transposed"),
    [
        *((28, 28, False), (28, 14, False), (28, 13, False), (56, 14, False), (32, 30, False)),
        *((14, 28, True), (13, 28, True), (8, 32, True), (28, 30, True)),
    ],
)
def test_solve_finds_everything_once_at_usual_sizes(a, b, transposed):
    assert faults(solve, a, b, transposed) == []


def test_the_ends_of_the_ranges_are_the_askers():
    for a, b in [(9, 9), (20, 4), (20, 3), (6, 1)]:
        kinds = {kind for _, kind in enumerate_axis(a, b, ends=(11, 6))}
        assert len(solve(input=a, output=b, max_kernel=11, max_stride=6)) == len(kinds)


def last_one_lost(**question):
    return solve(**question)[:-1]


def variants_listed(**question):
    """Lists padding=0 beside "VALID"."""
    solutions = solve(**question)
    more = [
        dataclasses.replace(v, padding=0, call=v.call.replace('"VALID"', "0"))
        for v in solutions
        if v.padding == "VALID"
    ]
    return solutions + more


def default_always_told(**question):
    return [
        dataclasses.replace(v, output_padding=0, call=v.call[:-1] + ", output_padding=0)")
        if v.output_padding is None and v.padding == "VALID"
        else v
        for v in solve(**question)
    ]


def call_of_another(**question):
    solutions = solve(**question)
    calls = [v.call for v in solutions]
    return [
        dataclasses.replace(v, call=c)
        for v, c in zip(solutions, calls[1:] + calls[:1], strict=True)
    ]


@pytest.mark.parametrize(
    "mutant",
    [last_one_lost, variants_listed, default_always_told, call_of_another],
    ids=lambda mutant: mutant.__name__,
)
def test_a_wrong_solve_is_noticed(mutant):
    assert faults(mutant, 6, 12, transposed=True)


@pytest.mark.parametrize("finer", [True, False], ids=["as-written", "kernel-alone"])
def test_another_notion_of_variants_is_noticed(monkeypatch, finer):
    """What the taps read decides, not the numbers as written and not the kernel alone."""
    reading = (lambda option: (option.s, option.p0, option.p1)) if finer else lambda option: ()
    monkeypatch.setattr(_inverse._Option, "reading", property(reading))
    monkeypatch.setattr(_inverse._Option, "unmet", (0, 0))  # ranks by what the taps read
    assert faults(solve, 4, 1)


# --- what the calls do --------------------------------------------------------------------------


def arrays(input, solution, transposed):
    rank = 1 if isinstance(input, int) else len(input)
    spatial = (input,) if isinstance(input, int) else tuple(input)
    kernel = solution.kernel
    window = (kernel,) * rank if isinstance(kernel, int) else kernel
    # x has 2 channels and the result 3.
    x, w = (1, *spatial, 2), (*window, 3, 2) if transposed else (*window, 2, 3)
    return x, w


@pytest.mark.parametrize("transposed", [False, True], ids=["conv", "transposed"])
def test_every_call_gives_the_output(transposed):
    checked = 0
    for a, b in itertools.product((0, 1, 2, 4, 5, 7, 12), repeat=2):
        for solution in solve(input=a, output=b, transposed=transposed):
            x, w = (jax.ShapeDtypeStruct(v, jnp.float32) for v in arrays(a, solution, transposed))
            out = jax.eval_shape(
                lambda x, w, call=solution.call: eval(call, {"jconv": jconv, "x": x, "w": w}), x, w
            )
            assert out.shape == (1, b, 3), solution
            checked += 1
    assert checked > 200


SEVERAL = [
    ((6, 6), (12, 12), True),
    ((6, 6), (12, 11), True),
    ((5, 7), (3, 4), False),
    ((8, 8), (4, 2), False),
    ((8, 6), (4, 5), False),
    ((2, 3), (8, 6), True),
    ((4, 3, 5), (2, 3, 3), False),
]


@pytest.mark.parametrize(("input", "output", "transposed"), SEVERAL, ids=str)
def test_calls_of_several_axes_run(input, output, transposed):
    solutions = solve(input=input, output=output, transposed=transposed)
    assert solutions
    for solution in solutions[:6]:
        x, w = (jnp.ones(shape) for shape in arrays(input, solution, transposed))
        out = eval(solution.call, {"jconv": jconv, "x": x, "w": w})
        assert out.shape == (1, *output, 3), solution


@pytest.mark.parametrize("transposed", [False, True], ids=["conv", "transposed"])
def test_variants_compute_the_same(transposed):
    """All settings of one kind are one function of x and w at these sizes."""
    i, o = 4, 1
    results = {}
    for (k, s, padding), kind in enumerate_axis(i, o, ends=(4, 4)):
        settings = {"stride": s, "padding": padding if isinstance(padding, str) else [padding]}
        w = jnp.arange(1.0, k + 1)[:, None, None]
        x = 10.0 ** jnp.arange(o if transposed else i)[None, :, None]
        if transposed:
            out = jconv.conv_transpose(x, w, output_shape=(i,), **settings)
        else:
            out = jconv.conv(x, w, **settings)
        results.setdefault(kind, []).append(out[0, :, 0].tolist())
    assert any(len(group) > 2 for group in results.values())
    assert all(group.count(group[0]) == len(group) for group in results.values())


# --- several axes -------------------------------------------------------------------------------


def enumerate_axes(sizes, ends, **given):
    """The kinds over several axes with the fewest settings that differ, and that number."""
    axes = [list(enumerate_axis(i, o, ends=ends, **given)) for i, o in sizes]
    kinds = {}
    for choice in itertools.product(*axes):
        settings = list(zip(*(setting for setting, _ in choice), strict=True))
        differing = sum(len(set(values)) > 1 for values in settings)
        kinds.setdefault(differing, set()).add(tuple(kind for _, kind in choice))
    least = min(kinds, default=None)
    return least, kinds.get(least, set())


def kind_of(solution, sizes):
    rank = len(sizes)

    def each(value):
        return value if isinstance(value, tuple) else (value,) * rank

    kinds = []
    values = map(each, (solution.kernel, solution.stride, solution.padding))
    for (i, o), k, s, padding in zip(sizes, *values, strict=True):
        pads = (padding, padding) if isinstance(padding, int) else padding
        count, start = forward(i, k, s, 1, pads)
        assert count == o, solution
        kinds.append(table(i, o, k, s, 1, start))
    return tuple(kinds)


def settings_that_differ(solution):
    values = (solution.kernel, solution.stride, solution.padding)
    return sum(isinstance(value, tuple) and len(set(value)) > 1 for value in values)


@pytest.mark.parametrize("transposed", [False, True], ids=["conv", "transposed"])
def test_as_few_settings_differ_as_can(transposed):
    ends, seen = (4, 3), set()
    for a, b, c, e in itertools.product((2, 3, 6, 7), (1, 3, 4), (3, 6, 7), (2, 3, 5)):
        sizes = [(a, b), (c, e)]
        least, kinds = enumerate_axes(sizes, ends)
        asked = {"input": (b, e), "output": (a, c)} if transposed else {}
        asked = asked or {"input": (a, c), "output": (b, e)}
        found = solve(**asked, transposed=transposed, max_kernel=ends[0], max_stride=ends[1])
        got = [kind_of(solution, sizes) for solution in found]
        assert len(got) == len(set(got))
        assert set(got) == kinds
        assert all(settings_that_differ(solution) == least for solution in found)
        seen.add(least)
    assert seen >= {None, 0, 1, 2}


def test_what_is_given_for_each_axis_does_not_count_as_differing():
    solutions = solve(input=(28, 28), output=(14, 7), stride=(2, 4))
    assert all(isinstance(v.kernel, int) and v.stride == (2, 4) for v in solutions)
    (only,) = solve(input=(28, 9), output=(26, 5), kernel=(3, 5), stride=1, padding="VALID")
    assert only.call == 'jconv.conv(x, w, padding="VALID")'
    assert only.kernel == (3, 5)


def test_square_questions_get_square_answers():
    square = solve(input=(28, 28), output=14)
    assert square == solve(input=28, output=14)
    assert all(isinstance(v.kernel, int) and isinstance(v.stride, int) for v in square)
    assert solve(input=[28], output=np.array([14])) == square


# --- what people ask ----------------------------------------------------------------------------

CLASSICS = {
    "upsample-6-to-12": (
        {"input": 6, "output": 12, "transposed": True},
        [
            (2, 'jconv.conv_transpose(x, w, stride=2, padding="VALID")'),
            (4, 'jconv.conv_transpose(x, w, stride=2, padding="SAME")'),
            (3, 'jconv.conv_transpose(x, w, stride=2, padding="SAME")'),
            (5, 'jconv.conv_transpose(x, w, stride=2, padding="SAME")'),
            (7, 'jconv.conv_transpose(x, w, stride=2, padding="SAME")'),
            (6, 'jconv.conv_transpose(x, w, stride=2, padding="SAME")'),
            (3, "jconv.conv_transpose(x, w, stride=2, padding=1, output_padding=1)"),
        ],
    ),
    "upsample-5-to-11": (
        {"input": 5, "output": 11, "transposed": True},
        [
            (3, 'jconv.conv_transpose(x, w, stride=2, padding="VALID")'),
            (5, "jconv.conv_transpose(x, w, stride=2, padding=1)"),
            (7, "jconv.conv_transpose(x, w, stride=2, padding=2)"),
            (2, 'jconv.conv_transpose(x, w, stride=2, padding="VALID", output_padding=1)'),
        ],
    ),
    "upsample-7-to-14": (
        {"input": 7, "output": 14, "transposed": True},
        [
            (2, 'jconv.conv_transpose(x, w, stride=2, padding="VALID")'),
            (4, 'jconv.conv_transpose(x, w, stride=2, padding="SAME")'),
            (3, 'jconv.conv_transpose(x, w, stride=2, padding="SAME")'),
        ],
    ),
    "upsample-6-to-11": (
        {"input": 6, "output": 11, "transposed": True},
        [(3, "jconv.conv_transpose(x, w, stride=2, padding=1)")],
    ),
    "first-layer-of-a-generator": (
        {"input": 1, "output": 4, "transposed": True},
        [(4, 'jconv.conv_transpose(x, w, padding="VALID")')],
    ),
    "keep-28": (
        {"input": 28, "output": 28},
        [
            (3, 'jconv.conv(x, w, padding="SAME")'),
            (1, 'jconv.conv(x, w, padding="VALID")'),
            (5, 'jconv.conv(x, w, padding="SAME")'),
            (7, 'jconv.conv(x, w, padding="SAME")'),
            (2, 'jconv.conv(x, w, padding="SAME")'),
            (4, 'jconv.conv(x, w, padding="SAME")'),
            (6, 'jconv.conv(x, w, padding="SAME")'),
        ],
    ),
    "halve-28": (
        {"input": 28, "output": 14},
        [
            (3, 'jconv.conv(x, w, stride=2, padding="SAME")'),
            (2, 'jconv.conv(x, w, stride=2, padding="VALID")'),
            (5, 'jconv.conv(x, w, stride=2, padding="SAME")'),
        ],
    ),
    "trim-32": (
        {"input": 32, "output": 30},
        [
            (3, 'jconv.conv(x, w, padding="VALID")'),
            (5, "jconv.conv(x, w, padding=1)"),
            (7, "jconv.conv(x, w, padding=2)"),
        ],
    ),
    "stem-of-a-resnet": (
        {"input": (224, 224), "output": (112, 112), "kernel": 7},
        [
            (7, 'jconv.conv(x, w, stride=2, padding="SAME")'),
            (7, "jconv.conv(x, w, stride=2, padding=3)"),
        ],
    ),
    "patches-of-four": (
        {"input": 224, "output": 56},
        [(4, 'jconv.conv(x, w, stride=4, padding="VALID")')],
    ),
    "whole-input": (
        {"input": (7, 7), "output": 1},
        [(7, 'jconv.conv(x, w, padding="VALID")')],
    ),
    "one-axis-halved": (
        {"input": (28, 28), "output": (28, 14), "kernel": 3},
        [
            (3, 'jconv.conv(x, w, stride=(1, 2), padding="SAME")'),
            (3, "jconv.conv(x, w, stride=(1, 2), padding=1)"),
        ],
    ),
    "causal": (
        {"input": 16, "output": 16, "padding": "causal", "kernel": 2, "dilation": 4},
        [(2, 'jconv.conv(x, w, padding="CAUSAL", dilation=4)')],
    ),
}


@pytest.mark.parametrize(("asked", "answers"), CLASSICS.values(), ids=CLASSICS)
def test_classic_questions(asked, answers):
    solutions = solve(**asked)
    assert [(v.kernel, v.call) for v in solutions][: len(answers)] == answers


def test_the_largest_question_is_quick():
    (first, *_) = solve(input=2**31 - 1, output=2**30)
    assert first.call == 'jconv.conv(x, w, stride=2, padding="SAME")'


def test_no_answer_is_an_empty_list():
    assert solve(input=10, output=28) == []
    assert solve(input=28, output=14, stride=1) == []


def test_the_same_question_has_the_same_answer():
    for asked, _ in CLASSICS.values():
        assert solve(**asked) == solve(**asked)


def test_a_solution_is_a_value():
    first = solve(input=28, output=14)[0]
    assert first == Solution(3, 2, "SAME", 1, None, 'jconv.conv(x, w, stride=2, padding="SAME")')
    assert len({first, dataclasses.replace(first)}) == 1
    with pytest.raises(dataclasses.FrozenInstanceError):
        first.kernel = 5  # type: ignore[misc]


# --- mistakes -----------------------------------------------------------------------------------

(SYMBOL,) = export.symbolic_shape("h")
MISTAKES = {
    "negative-output": (input_sizes, (-1, 3), {}, "`output` must be", "output"),
    "fractional-kernel": (input_sizes, (5, 2.5), {}, "`kernel` must be", "kernel"),
    "text": (input_sizes, ("h", 3), {}, "`output` must be", "output"),
    "no-axes": (input_sizes, ((), 3), {}, "`output` has 0 entries, for 1 spatial axis", "output"),
    "lengths": (input_sizes, ((5, 5), (3, 3, 3)), {}, "`kernel` has 3 entries, for 2", "kernel"),
    "stride": (input_sizes, (5, 3), {"stride": 0}, "`stride` must be 1 or more", "stride"),
    "dilation": (input_sizes, ((5, 5), 3), {"dilation": (1, 1, 1)}, "`dilation` has 3", "dilation"),
    "pair-for-one-axis": (input_sizes, (5, 3), {"padding": (1, 2)}, "`padding` has 2", "padding"),
    "no-such-rule": (input_sizes, (5, 3), {"padding": "FULL"}, "no rule named 'FULL'", "padding"),
    "negative-input": (solve, (), {"input": -1, "output": 3}, "`input` must be", "input"),
    "symbol": (solve, (), {"input": SYMBOL, "output": 3}, "`input` must be known", "input"),
    "symbolic-padding": (
        solve,
        (),
        {"input": 3, "output": 3, "padding": SYMBOL},
        "`padding` must be known",
        "padding",
    ),
    "no-kernel": (solve, (), {"input": 3, "output": 3, "kernel": 0}, "`kernel` must be", "kernel"),
    "range": (
        solve,
        (),
        {"input": 3, "output": 3, "max_stride": 0},
        "`max_stride` must be 1 or more",
        "max_stride",
    ),
}


@pytest.mark.parametrize(
    ("function", "positional", "named", "message", "argument"), MISTAKES.values(), ids=MISTAKES
)
def test_mistakes_name_their_argument(function, positional, named, message, argument):
    with pytest.raises(jconv.ConvError, match=message) as caught:
        function(*positional, **named)
    assert caught.value.argument == argument
    assert str(caught.value).startswith(function.__name__ + ": ")
