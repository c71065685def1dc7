"""Pictures of plans: what is drawn is what the index equation says, and it can be read.

The oracle writes the padded input out as a list of words with NumPy, and looks the cells of a
picture up in it by where they stand: a tap must stand under the cell that it reads.
"""

import dataclasses
import itertools
import random
import re
from xml.etree import ElementTree

import numpy as np
import pytest

import jconv
from jconv._plan.picture.axis import draw_conv, draw_transposed
from jconv._plan.picture.picture import _strips, plan_svg
from jconv._plan.picture.strip import Gap, Strip, choose_slots, strip_slots
from jconv._support.svg import SMALLEST, Canvas

CASES = {
    "5x5-valid": ("conv", (5, 5), (3, 3), {"padding": "VALID"}),
    "7-same-stride-2": ("conv", (7,), (3,), {"stride": 2}),
    "8-remainder-2": ("conv", (8,), (3,), {"stride": 3, "padding": "VALID"}),
    "dilation": ("conv", (9,), (3,), {"dilation": 2}),
    "input-dilation": ("conv", (4,), (3,), {"input_dilation": 2, "padding": 1}),
    "crops": ("conv", (9,), (3,), {"padding": [(-2, -1)]}),
    "crop-past-the-end": ("conv", (3,), (1,), {"padding": [(-5, 4)]}),
    "crop-of-everything": ("conv", (3,), (1,), {"padding": [(2, -9)]}),
    "crop-leaves-a-hole": ("conv", (4,), (2,), {"padding": [(-1, 0)], "input_dilation": 3}),
    "causal": ("conv", (7,), (3,), {"padding": "CAUSAL"}),
    "circular": ("conv", (7,), (5,), {"padding_mode": "circular"}),
    "reflect": ("conv", (6,), (5,), {"padding_mode": "reflect", "stride": 2}),
    "edge-and-crop": ("conv", (5,), (3,), {"padding_mode": "edge", "padding": [(4, -1)]}),
    "windows-apart": ("conv", (14,), (2,), {"stride": 5, "padding": "VALID"}),
    "holes-and-stride": ("conv", (12,), (3,), {"stride": 2, "dilation": 2}),
    "three-axes": ("conv", (4, 6, 6), (3, 3, 3), {"stride": (1, 2, 2)}),
    "long": ("conv", (224, 224), (7, 7), {"stride": 2}),
    "longer": ("conv", (100_000,), (11,), {"stride": 4, "padding": [(3, 100)]}),
    "longest": ("conv", (2**31 - 1,), (3,), {"stride": 1000, "padding": "VALID"}),
    "long-filter": ("conv", (5000,), (3000,), {"dilation": 1}),
    "far-taps": ("conv", (300,), (3,), {"dilation": 50, "padding": "VALID"}),
    "huge-pads": ("conv", (3,), (3,), {"padding": [(10**9, 10**8)]}),
    "no-window": ("conv", (3,), (5,), {"padding": "VALID"}),
    "no-taps": ("conv", (5,), (0,), {"padding": "VALID"}),
    "no-rows": ("conv", (0,), (3,), {"padding": "VALID"}),
    "nothing-but-padding": ("conv", (0, 5), (3, 3), {"padding": 2}),
    "transposed-6-12": (
        "conv_transpose",
        (6, 6),
        (3, 3),
        {"stride": 2, "padding": 1, "output_padding": 1},
    ),
    "transposed-5-11": ("conv_transpose", (5,), (3,), {"stride": 2, "padding": "VALID"}),
    "transposed-same": ("conv_transpose", (5,), (3,), {"stride": 2}),
    "transposed-unreached": (
        "conv_transpose",
        (4,),
        (2,),
        {"stride": 3, "padding": "VALID", "output_padding": 2},
    ),
    "transposed-circular": (
        "conv_transpose",
        (4,),
        (3,),
        {"stride": 2, "padding_mode": "circular"},
    ),
    "transposed-crops": ("conv_transpose", (4,), (3,), {"stride": 2, "padding": [(-2, -1)]}),
    "transposed-dilated": ("conv_transpose", (4,), (3,), {"dilation": 2, "padding": [(3, 0)]}),
    "transposed-long": ("conv_transpose", (112, 112), (4, 4), {"stride": 2, "padding": 1}),
    "transposed-empty": ("conv_transpose", (0,), (3,), {"padding": "VALID", "output_shape": (2,)}),
    "transposed-no-taps": ("conv_transpose", (3,), (0,), {"padding": "VALID", "stride": 2}),
}


def plan_of(op, sizes, kernel, settings):
    make = jconv.plan if op == "conv" else jconv.plan_transpose
    return make((1, *sizes, 1), (*kernel, 1, 1), platform="cpu", **settings)


def random_plan(rng):
    """A plan of any kind, weird ones among them."""
    while True:
        op = rng.choice(["conv", "conv_transpose"])
        rank = rng.choice([1, 1, 2, 3])
        top = rng.choice([4, 9, 40])
        sizes = [rng.randint(0, top) for _ in range(rank)]
        kernel = [rng.randint(0, 5) for _ in range(rank)]
        pads = [(rng.randint(-4, 5), rng.randint(-4, 5)) for _ in range(rank)]
        settings = {
            "stride": [rng.randint(1, 4) for _ in range(rank)],
            "dilation": [rng.randint(1, 3) for _ in range(rank)],
            "padding": rng.choice(["SAME", "SAME_LOWER", "VALID", "CAUSAL", pads, pads]),
        }
        if rng.random() < 0.3:
            settings["padding_mode"] = rng.choice(["reflect", "edge", "circular"])
        elif op == "conv" and rng.random() < 0.3:
            settings["input_dilation"] = [rng.randint(1, 3) for _ in range(rank)]
        try:
            return plan_of(op, sizes, kernel, settings)
        except jconv.ConvError:
            continue


PLANS = {name: plan_of(*case) for name, case in CASES.items()}
MESHES = {
    "batch and rows": (
        (8, 64, 64, 32),
        (5, 3, 32, 64),
        {"data": 2, "rows": 4},
        {"x": ("data", "rows")},
        {},
    ),
    "channels": (
        (1, 64, 64, 32),
        (3, 3, 32, 64),
        {"a": 2, "b": 8},
        {"x": (None, "b", None, "a"), "w": (None, None, None, "b")},
        {"stride": 2},
    ),
    "circular": ((4, 32, 4), (7, 4, 8), {"a": 4}, {"x": (None, "a")}, {"padding_mode": "circular"}),
    "symbols": (
        ("b", "h", "h", 16),
        (3, 3, 16, 32),
        {"a": "D"},
        {"x": (None, "a")},
        {"padding": 1},
    ),
    "whole": ((4, 32, 4), (3, 4, 8), {"a": 4}, {}, {}),
    "many devices": ((512, 64, 4), (3, 4, 8), {"a": 512}, {"x": ("a",)}, {}),
}


def plan_on_mesh(x, w, mesh, specs, settings):
    specs = {f"{name}_spec": spec for name, spec in specs.items()}
    return jconv.plan(x, w, mesh=mesh, platform="cpu", **specs, **settings)


ON_MESHES = {f"mesh: {name}": plan_on_mesh(*case) for name, case in MESHES.items()}
PLANS |= {name: plan for name, plan in ON_MESHES.items() if "symbols" not in name}
PLANS |= {f"random-{n}": random_plan(random.Random(n)) for n in range(120)}


# --- reading a picture --------------------------------------------------------------------


def local(element):
    return element.tag.rpartition("}")[2]


def marked(element, cls):
    return cls in (element.get("class") or "").split()


def title_of(element):
    return next((child.text for child in element if local(child) == "title"), "")


def cells(group, cls):
    """Title and left side of the cells of a class, windows apart."""
    return [(title_of(e), float(e.get("x"))) for e in group.iter() if marked(e, cls)]


def hidden(group, cls):
    return [int(e.get("data-hidden")) for e in group.iter() if marked(e, cls)]


def groups(root, cls):
    return [e for e in root.iter() if marked(e, cls)]


def words(root):
    return [e.text for e in root.iter() if local(e) == "text"]


# --- the oracle ---------------------------------------------------------------------------

MODES = {"reflect": "reflect", "edge": "edge", "circular": "wrap"}


def padded_input(strip):
    """The titles of the cells that are left after padding and cropping, from NumPy's pad."""
    row = []
    for n in range(strip.i):
        row += ["zero between rows of x"] * (strip.b - 1 if n else 0) + [f"x[{n}]"]
    low, high = max(strip.p0, 0), max(strip.p1, 0)
    if strip.modes[0] == "zeros":
        row = ["padding: zero"] * low + row + ["padding: zero"] * high
    elif low or high:
        copied = np.pad(np.arange(strip.i), (low, high), MODES[strip.modes[0]])
        inside = range(low, low + strip.i)
        row = [f"{'' if n in inside else 'padding: copy of '}x[{c}]" for n, c in enumerate(copied)]
    # Python would count a negative stop from the end.
    return row[low - strip.p0 : max(len(row) - (high - strip.p1), 0)]


def wrong_conv(group, strip):
    """What is wrong with the drawing of one axis of a convolution."""
    kinds = ("jc-x", "jc-pad", "jc-hole")
    drawn = sorted((x, t) for cls in kinds for t, x in cells(group, cls))
    kept = [(x, t.removesuffix(", never read")) for x, t in drawn if "cropped" not in t]
    gaps = hidden(group, "jc-gap")
    if len(drawn) + sum(gaps) != max(strip.padded, strip.p0 + strip.dilated) - strip.low:
        return "cells drawn and left out are not all there are"
    windows = groups(group, "jc-window")
    if len(windows) + sum(hidden(group, "jc-more")) != strip.o:
        return "windows drawn and left out are not all there are"
    for window in windows:
        if len(cells(window, "jc-tap")) + sum(hidden(window, "jc-taps-gap")) != strip.k:
            return "taps drawn and left out are not all there are"
        if [t for t, _ in cells(window, "jc-y")] != [f"y[{window.get('data-o')}]"]:
            return "a window does not make its row of y"
    if not gaps:
        row = padded_input(strip)
        if [t for _, t in kept] != row:
            return f"the input reads {[t for _, t in kept]}, not {row}"
        read = set()
        for window in windows:
            o = int(window.get("data-o"))
            for tap, x in cells(window, "jc-tap"):
                u = strip.s * o + strip.d * int(tap[2:-1])
                if kept[u][0] != x:
                    return f"{tap} of window {o} is not under the row that it reads"
        for o, k in itertools.product(range(strip.o), range(strip.k)):
            read.add(strip.s * o + strip.d * k)
        unread = [t.endswith("never read") for _, t in drawn if "cropped" not in t]
        if strip.o and unread != [u not in read for u in range(len(row))]:
            return "rows that are read are marked as never read, or the other way round"
    remainder = 0
    if strip.o and strip.k:
        remainder = (strip.dilated + strip.p0 + strip.p1 - strip.window) % strip.s
    labels = [t for t in words(group) if t.startswith("never read: ")]
    noun = "row" if remainder == 1 else "rows"
    if labels != ([f"never read: {remainder} {noun}"] if remainder else []):
        return f"the remainder is {remainder}, and the labels are {labels}"
    return None


def wrong_transposed(group, strip):
    """What is wrong with the drawing of one axis of a transposed convolution."""
    windows = groups(group, "jc-window")
    if strip.k and len(windows) + sum(hidden(group, "jc-more")) != strip.o:
        return "footprints drawn and left out are not all there are"
    if hidden(group, "jc-gap"):
        return None
    added = [
        s + d for s, d in itertools.product(_steps(strip.s, strip.o), _steps(strip.d, strip.k))
    ]
    first, end = min(0, strip.p0), max(strip.p0 + strip.i, max(added, default=-1) + 1)
    total = cells(group, "jc-sum")
    terms = [int(title.split()[0]) for title, _ in total]
    if terms != [added.count(u) for u in range(first, end)]:
        return f"the sum has {terms} terms"
    at = {u: x for u, (_, x) in zip(range(first, end), total, strict=True)}
    if cells(group, "jc-y") != [(f"y[{n}]", at[n + strip.p0]) for n in range(strip.i)]:
        return "the rows of y are not under their sums"
    if added and [t for t, _ in cells(group, "jc-x")] != [f"x[{n}]" for n in range(strip.o)]:
        return "not all rows of x are there"
    for window in windows:
        o = int(window.get("data-o"))
        taps = [(f"w[{k}] times x[{o}]", at[strip.s * o + strip.d * k]) for k in range(strip.k)]
        if cells(window, "jc-tap") != taps:
            return f"x[{o}] does not add to what it should"
    outside = [u for u in range(first, end) if not 0 <= u - strip.p0 < strip.i]
    if strip.modes[0] == "zeros":
        cut = [x for title, x in total if "cropped" in title]
        if cut != [at[u] for u in outside]:
            return "the crop is not around y"
    extra = len(cells(group, "jc-extra"))
    if extra != min(strip.output_padding, strip.i):
        return f"{extra} rows are marked as output_padding"
    return None


def _steps(step, count):
    return range(0, step * count, step)


def wrong_layout(root):
    """What cannot be read: text that is small, overlaps or is cut off; shapes cut off."""
    width, height = (float(root.get(name)) for name in ("width", "height"))
    if root.get("viewBox") != f"0 0 {width:g} {height:g}" or width > 1000:
        return f"a picture {width} px wide"
    boxes = []
    for e in root.iter():
        if local(e) == "rect" and e.get("x"):
            x, y, w, h = (float(e.get(n)) for n in ("x", "y", "width", "height"))
            if x < 0 or y < 0 or w < 0 or h < 0 or x + w > width or y + h > height:
                return f"a shape reaches out: {e.attrib}"
        if local(e) == "path":
            for x, y in re.findall(r"M([-\d.]+) ([-\d.]+)", e.get("d")):
                if not (0 <= float(x) <= width and 0 <= float(y) <= height):
                    return f"a path begins outside: {e.attrib}"
        if local(e) == "text":
            size = float(e.get("font-size"))
            if size < SMALLEST:
                return f"{e.text!r} is too small"
            across = 0.59 * size * len(e.text)
            left = float(e.get("x")) - across * {"middle": 0.5, "end": 1}.get(
                e.get("text-anchor"), 0
            )
            bottom = float(e.get("y"))
            boxes.append((left, bottom - 0.7 * size, left + across, bottom, e.text))
    for left, top, right, bottom, text in boxes:
        if left < 0 or top < 0 or right > width or bottom > height:
            return f"{text!r} is cut off"
    for a, b in itertools.combinations(boxes, 2):
        if a[0] < b[2] and b[0] < a[2] and a[1] < b[3] and b[1] < a[3]:
            return f"{a[4]!r} and {b[4]!r} overlap"
    return None


# --- every plan ---------------------------------------------------------------------------


@pytest.mark.parametrize("narrow", [False, True])
@pytest.mark.parametrize("name", PLANS)
def test_a_picture_shows_what_the_equation_says(name, narrow):
    plan = PLANS[name]
    root = ElementTree.fromstring(plan_svg(plan, narrow=narrow))
    strips = _strips(plan, {})
    axes = groups(root, "jc-axis")
    assert len(axes) == plan.problem.rank
    wrong = wrong_conv if plan.op == "conv" else wrong_transposed
    for group, strip in zip(axes, strips, strict=True):
        assert wrong(group, strip) is None
    for strip, remainder in zip(strips, plan.remainder, strict=True):
        assert strip.remainder == (remainder if strip.o and strip.k else 0)


@pytest.mark.parametrize("name", PLANS)
def test_a_picture_can_be_read(name):
    svg = PLANS[name].to_svg()
    root = ElementTree.fromstring(svg)
    assert wrong_layout(root) is None
    assert len(svg) < 100_000
    assert svg == PLANS[name].to_svg()
    # Style sheets and ids would reach into the page around the picture.
    assert not [e for e in root.iter() if local(e) == "style" or e.get("id")]
    assert local(root[0]) == "title"
    assert root[0].text == root.get("aria-label")
    assert plan_text(PLANS[name].y_shape) in root[0].text


@pytest.mark.parametrize("name", ON_MESHES)
def test_a_plan_on_a_mesh_shows_its_parts_and_what_crosses(name):
    plan = ON_MESHES[name]
    root = ElementTree.fromstring(plan.to_svg())
    assert wrong_layout(root) is None
    (drawn,) = groups(root, "jc-devices")
    legs = groups(drawn, "jc-leg")
    assert [leg.get("data-leg") for leg in legs] == list(plan.devices)
    for group, record in zip(legs, plan.devices.values(), strict=True):
        carried = {str(n) for pair in record.halo for n in pair if n != 0}
        assert {e.get("data-rows") for e in groups(group, "jc-sent")} == carried
        assert bool(groups(group, "jc-part")) == bool(record.split)
        assert [e.text for e in groups(group, "jc-why")] == list(record.reasons)
        assert bool(groups(group, "jc-sum")) == bool(record.reduced)
        said = " ".join(words(group))
        if "symbols" not in name:
            assert str(dict(record.shapes)["x"]) in said
        for role, axes in record.split:
            assert f"over {' and '.join(axes)}" in said
            assert role in said


@pytest.mark.parametrize("name", sorted(set(PLANS) - set(ON_MESHES)))
def test_a_narrow_picture_can_be_read(name):
    """What the page of `jconv explore` shows where it has 400 pixels."""
    root = ElementTree.fromstring(plan_svg(PLANS[name], plane=False, narrow=True))
    assert wrong_layout(root) is None
    assert float(root.get("width")) < 520


def plan_text(shape):
    return "(" + ", ".join(map(str, shape)) + ")"


LABELS = {
    "7-same-stride-2": ["input x: 7 rows", "padding 1", "next window: stride 2", "4 rows"],
    "8-remainder-2": ["never read: 2 rows", "a window: 3 taps", "next window: stride 3"],
    "dilation": ["padding 2"],
    "input-dilation": ["zeros put between them"],
    "crops": ["cropped 2", "cropped 1"],
    "circular": ["padding 2 (circular: copies)"],
    "windows-apart": ["pale rows are never read"],
    "long": ["padding 2", "padding 3", "106 more windows", "112 rows"],
    "longer": ["input x: 100000 rows", "padding 100", "25024 rows"],
    "no-window": ["no window fits: the filter covers 5 rows, the input 3", "0 rows"],
    "no-rows": ["(no rows)"],
    "5x5-valid": ["output y: 3 × 3", "the 3 × 3 taps of y[1, 1]"],
    "transposed-6-12": [
        "input x: 6 rows",
        "x[5] times the filter",
        "their sum: 13 rows",
        "cropped 1",
        "output y: 12 rows",
        "output_padding 1",
    ],
    "transposed-unreached": ["not reached, zeros: 2", "output_padding 2"],
    "transposed-circular": ["added back 1", "+0"],
    "transposed-empty": ["nothing is added: y is zeros"],
}


@pytest.mark.parametrize("name", LABELS)
def test_labels_stand_in_for_a_legend(name):
    root = ElementTree.fromstring(PLANS[name].to_svg())
    assert set(LABELS[name]) <= set(words(root))


@pytest.mark.parametrize("name", ["long", "longer", "longest", "far-taps"])
def test_both_ends_of_a_long_axis_are_drawn(name):
    plan = PLANS[name]
    axis = groups(ElementTree.fromstring(plan.to_svg()), "jc-axis")[0]
    size, outputs = plan.x_shape[1], plan.y_shape[1]
    rows = [t.removesuffix(", never read") for t, _ in cells(axis, "jc-x")]
    assert (rows[0], rows[-1]) == ("x[0]", f"x[{size - 1}]")
    made = [t for t, _ in cells(axis, "jc-y")]
    assert (made[0], made[-1]) == ("y[0]", f"y[{outputs - 1}]")


def test_the_plane_marks_the_taps_of_one_output():
    root = ElementTree.fromstring(PLANS["5x5-valid"].to_svg())
    taps = {(float(e.get("x")), float(e.get("y"))) for e in groups(root, "jc-plane-tap")}
    (plane,) = (e for e in groups(root, "jc-plane-x"))
    corners = re.findall(r"M([\d.]+) ([\d.]+)", plane.get("d"))
    left, top = (min(float(c[n]) for c in corners) for n in (0, 1))
    places = {(round((y - top) // 18), round((x - left) // 18)) for x, y in taps}
    assert places == set(itertools.product((1, 2, 3), (1, 2, 3)))
    assert plane.get("data-count") == "25"
    assert len(groups(root, "jc-plane-one")) == 1


# --- symbols, words, notebooks ------------------------------------------------------------


def test_symbols_are_drawn_with_an_example():
    plan = jconv.plan(("b", "h", "2*h+1", "c"), (3, 3, "c", 8), stride=2, padding="VALID")
    root = ElementTree.fromstring(plan.to_svg())
    assert "Drawn with h = 7 as an example." in words(root)
    at = plan.at(h=7)
    for group, strip in zip(groups(root, "jc-axis"), _strips(at, {}), strict=True):
        assert wrong_conv(group, strip) is None
    assert wrong_layout(root) is None


@pytest.mark.parametrize(
    ("constraints", "note"),
    [
        (("h >= 100",), "Drawn with h = 100, w = 100 as an example."),
        (("h >= 2*w",), "Drawn with h = 10, w = 5 as an example."),
        (("mod(h, 5) == 0", "w <= 4"), "Drawn with h = 5, w = 3 as an example."),
        (("b >= 4",), "Drawn with h = 5, w = 5 as an example."),
        (("h >= 1000*w", "w >= 9"), "Not drawn: no small sizes of h, w satisfy the constraints."),
    ],
)
def test_the_example_satisfies_the_constraints(constraints, note):
    plan = jconv.plan(("b", "h", "w", 1), (3, 3, 1, 1), stride=2, constraints=constraints)
    root = ElementTree.fromstring(plan.to_svg())
    assert note in words(root)
    assert wrong_layout(root) is None


def test_long_symbolic_sizes_stay_inside():
    size = "h*w*d+17*h*w+floordiv(h, 3)*d+mod(w, 7)"
    plan = jconv.plan(("b", size, size, 3), (3, 3, 3, 8), stride=2, dilation=2)
    assert wrong_layout(ElementTree.fromstring(plan.to_svg())) is None


def test_text_is_escaped():
    canvas = Canvas()
    canvas.text(10, 20, "<a> & 'b'", data_x='"<')
    canvas.rect(0, 0, 5, 5, title="x<y")
    root = ElementTree.fromstring(canvas.svg("<t> &", '"d"'))
    assert words(root) == ["<a> & 'b'"]
    assert root[0].text == root.get("aria-label") == "<t> &"
    assert [e.get("data-x") for e in root.iter() if local(e) == "text"] == ['"<']


def test_a_notebook_shows_picture_and_table():
    plan = PLANS["transposed-6-12"]
    page = plan._repr_html_()
    assert plan.to_svg() in page
    pre = ElementTree.fromstring(page)[-1]
    assert pre.text == str(plan)


# --- the numbers --------------------------------------------------------------------------


def test_reads_counts_the_taps_that_meet():
    for s, d, o, k in itertools.product(range(1, 5), range(1, 5), range(5), range(5)):
        strip = Strip("W", i=9, k=k, o=o, s=s, d=d)
        met = [s * at + d * tap for at, tap in itertools.product(range(o), range(k))]
        assert [strip.reads(u) for u in range(-3, 40)] == [met.count(u) for u in range(-3, 40)]


@pytest.mark.parametrize("seed", range(5))
def test_slots_keep_both_ends_and_the_budget(seed):
    rng = random.Random(seed)
    for _ in range(200):
        low = rng.randint(-20, 5)
        high = low + rng.randint(1, 200)
        budget = rng.randint(6, 30)
        slots = choose_slots(low, high, budget, iter(rng.choices(range(-30, 220), k=20)))
        covered = []
        for _, slot in slots:
            covered += range(slot.first, slot.last + 1) if isinstance(slot, Gap) else [slot]
        assert covered == list(range(low, high))
        assert len(slots) <= budget
        assert slots.shows(low)
        assert slots.shows(high - 1)
        assert all(gap.hides(low, high) > 1 for gap in slots.gaps)


def test_a_chosen_window_is_drawn_whole():
    strip = _strips(PLANS["long"], {})[0]
    slots = strip_slots(strip, 17, 1)
    assert all(slots.shows(u) for u in strip.taps(1))


# --- the checks can fail ------------------------------------------------------------------


def drawn(strip, draw):
    canvas = Canvas()
    draw(canvas, strip, 50)
    return ElementTree.fromstring(canvas.svg("", ""))


CONV = Strip("W", i=8, k=3, o=4, s=2, p0=1, p1=1)
TRANSPOSED = Strip("W", i=12, k=3, o=6, s=2, p0=1, p1=1, transposed=True, output_padding=1)


@pytest.mark.parametrize(
    "change",
    [{"p0": 2, "p1": 0}, {"s": 1}, {"o": 3}, {"k": 2}, {"d": 2, "o": 3}, {"i": 7}, {"b": 2}],
)
def test_a_wrong_convolution_is_noticed(change):
    assert wrong_conv(drawn(CONV, draw_conv), CONV) is None
    assert wrong_conv(drawn(dataclasses.replace(CONV, **change), draw_conv), CONV)


@pytest.mark.parametrize(
    "change", [{"p0": 0}, {"s": 1}, {"o": 5}, {"k": 2}, {"d": 2}, {"i": 11}, {"output_padding": 0}]
)
def test_a_wrong_transposed_convolution_is_noticed(change):
    assert wrong_transposed(drawn(TRANSPOSED, draw_transposed), TRANSPOSED) is None
    other = dataclasses.replace(TRANSPOSED, **change)
    assert wrong_transposed(drawn(other, draw_transposed), TRANSPOSED)


def test_text_that_overlaps_or_is_cut_off_is_noticed():
    canvas = Canvas()
    canvas.text(10, 20, "one")
    canvas.text(12, 24, "two")
    assert "overlap" in wrong_layout(ElementTree.fromstring(canvas.svg("", "")))
    canvas = Canvas()
    canvas.text(10, 20, "out on the left", anchor="end")
    assert "cut off" in wrong_layout(ElementTree.fromstring(canvas.svg("", "")))
