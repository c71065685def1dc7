"""What a report says: the property, the smallest case, what is missing, refused or unknown."""

from __future__ import annotations

import types

import jax.numpy as jnp
import numpy as np
import pytest
from mutants import MUTANTS
from own_conv import Own

import jconv
from jconv.testing import CASES, check_conformance

FEW = CASES[::12]
BY_NAME = {mutant.name: mutant.implementation for mutant in MUTANTS}


def values(implementation, cases=FEW, **options):
    return check_conformance(implementation, cases=cases, properties=["values"], **options)


def test_it_says_all_there_is():
    report = values(BY_NAME["unflipped-backprop"], CASES[::3])
    text = str(report)
    assert "UnflippedBackprop: NOT OK" in text
    assert "FAILED conv_input_grad: values: " in text
    assert "likeliest cause: flipped kernel" in text
    assert "expected" in text
    assert all(len(line) <= 220 for line in text.splitlines())
    assert not report
    with pytest.raises(AssertionError, match="flipped kernel"):
        report.raise_if_failed()
    with pytest.raises(AssertionError, match="likeliest cause"):
        assert report.ok, str(report)


def test_the_smallest_case_is_shrunk():
    finding = values(BY_NAME["remainder-in-front"], CASES[::3]).findings[0]
    assert finding.operation == "conv_filter_grad"
    case = finding.case
    assert (case.rank, case.x_shape[0], case.x_shape[-1], case.w_shape[-1]) == (1, 1, 1, 1)
    assert set(case.kwargs) <= {"stride", "padding"}
    assert case.x_shape[1] <= 3
    # It fails as it is printed, and its arrays are.
    drawn = {
        line.split(" = ")[0]: line.split(" = ")[1]
        for line in finding.details.splitlines()
        if " = " in line
    }
    x, g = (
        np.array(drawn[name].split(), float).reshape(shape)
        for name, shape in (("x", case.x_shape), ("g", case.y_shape))
    )
    got = BY_NAME["remainder-in-front"].conv_filter_grad(
        x, g, filter_shape=case.w_shape, **case.kwargs
    )
    want = jconv.conv_filter_grad(
        jnp.asarray(x), jnp.asarray(g), filter_shape=case.w_shape, **case.kwargs
    )
    assert not np.array_equal(got, want)


def test_a_module_an_object_and_a_function_are_taken():
    module = types.ModuleType("mine")
    module.conv = jconv.conv
    for given in (module, Own(), jconv.conv):
        assert values(given, operations=["conv"]).ok
    with pytest.raises(TypeError, match="has none of"):
        values(types.ModuleType("empty"))


def test_missing_operations_are_said():
    report = values(jconv.conv)
    assert report.ok
    assert report.missing == ("conv_input_grad", "conv_filter_grad", "conv_transpose")
    assert "not there, and so not checked: conv_input_grad" in str(report)


def test_refusals_are_listed_and_are_no_failures():
    class NoGroups(Own):
        def conv(self, x, w, *, groups=1, **keywords):
            if groups > 1:
                raise NotImplementedError("no groups yet")
            return super().conv(x, w, **keywords)

    report = values(NoGroups(), CASES[::4])
    assert report.ok
    (refused,) = report.refused
    assert refused.reason == "no groups yet"
    assert refused.operations == ("conv",)
    assert all("groups" in name or True for name in refused.cases)
    assert "no groups yet" in str(report)


def test_a_keyword_that_is_not_taken_is_a_refusal():
    def conv(x, w, stride=1, padding="SAME"):
        return jconv.conv(x, w, stride=stride, padding=padding)

    report = values(conv, CASES[::3])
    assert report.ok
    assert "takes no keyword `dilation`" in {refused.reason for refused in report.refused}


def test_refusing_everything_is_not_ok():
    class Refuses(Own):
        def conv_filter_grad(self, *args, **keywords):
            raise NotImplementedError("later")

    report = values(Refuses())
    assert not report.ok
    assert report.unanswered == ("conv_filter_grad",)
    assert "refused everything: conv_filter_grad" in str(report)

    class RefusesAll:
        conv = Refuses().conv_filter_grad

    report = values(RefusesAll())
    assert (report.ok, report.checked) == (False, 0)
    assert "nothing is known" in str(report)


def test_an_exception_is_a_failure_and_what_sets_it_apart_is_named():
    class NoBatch(Own):
        def conv(self, x, w, **keywords):
            if not x.shape[0]:
                raise ZeroDivisionError("a mean over nothing")
            return super().conv(x, w, **keywords)

    report = values(NoBatch(), CASES[::2])
    assert report.cause == "an empty batch"
    assert "ZeroDivisionError: a mean over nothing" in str(report)


def test_no_cause_is_made_up():
    class Noise(Own):
        def conv(self, x, w, **keywords):
            y = super().conv(x, w, **keywords)
            return y + np.random.default_rng(y.size).integers(1, 99, y.shape).astype(y.dtype)

    report = values(Noise(), operations=["conv"])
    assert not report.ok
    assert report.cause == ""
    assert "likeliest cause: unknown" in str(report)


def test_a_result_that_is_no_array_fails():
    assert "returned NoneType" in str(values(lambda x, w, **keywords: None))


class Rounds(Own):
    """Other products than the definition's: whole numbers come out with a little noise."""

    def conv(self, x, w, **keywords):
        y = super().conv(x, w, **keywords)
        noise = np.random.default_rng(y.size).standard_normal(y.shape)
        return (y * (1 + 1e-6 * noise)).astype(y.dtype)


def test_exact_means_to_the_last_bit():
    allowed = values(Rounds(), operations=["conv"])
    assert allowed.ok
    assert not allowed.exact
    assert "rounded" in str(allowed)
    assert not values(Rounds(), exact=True, operations=["conv"]).ok
    assert values(Own(), exact=True).ok


def test_a_rounding_above_the_bound_fails_whole_numbers_too():
    class Coarse(Rounds):
        def conv(self, x, w, **keywords):
            y = Own.conv(self, x, w, **keywords)
            return (y + 0.2).astype(y.dtype)

    assert not values(Coarse(), operations=["conv"]).ok


def test_unknown_properties_are_refused():
    with pytest.raises(ValueError, match="no properties"):
        check_conformance(Own(), properties=["speed"])
