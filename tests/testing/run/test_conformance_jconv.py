"""jconv under its own kit: every operation, every algorithm, both hosts, under jit and eagerly."""

from __future__ import annotations

import functools
import os
import subprocess
import sys
import types

import pytest

import jconv
from jconv.testing import CASES, PROPERTIES, Case, check_conformance
from jconv.testing.oracle.legs import OPERATIONS

# test_oracle_exact asks for the values of every case; here the slow form does.
SAMPLE = CASES[::8]


def under(rule: str):
    """jconv's operations under a policy."""

    def wrapped(operation):
        @functools.wraps(operation)
        def run(*args, **keywords):
            with jconv.policy(rule):
                return operation(*args, **keywords)

        return run

    return types.SimpleNamespace(**{op: wrapped(getattr(jconv, op)) for op in OPERATIONS})


@pytest.mark.parametrize("property_", PROPERTIES)
def test_jconv(property_):
    """Under the policy that forms the definition's products all is exact, and nothing refused."""
    report = check_conformance(under("exact"), True, cases=SAMPLE, properties=[property_])
    report.raise_if_failed()
    assert report.exact
    assert not report.refused
    assert not report.missing


@pytest.mark.slow
def test_jconv_in_full():
    for rule, exact, precision in (("exact", True, "highest"), ("auto", None, None)):
        report = check_conformance(under(rule), exact, precision=precision)
        report.raise_if_failed()
        assert not report.refused


# --- every algorithm ----------------------------------------------------------------------------


def legs_run_by(name: str, case: Case) -> tuple[str, ...]:
    """The legs of a case that an algorithm computes when it is asked for by name."""
    settings = dict(case.kwargs, dtype="complex64" if name == "real" else "float32")
    with jconv.policy(name):
        plan = jconv.plan(case.x_shape, case.w_shape, platform="cpu", **settings)
    return tuple(leg for leg, told in plan.legs.items() if told.algorithm == name)


def chosen(name: str, count: int) -> list[Case]:
    """Cases that the algorithm supports in some leg, evenly spaced."""
    fitting = [case for case in CASES if legs_run_by(name, case)]
    return fitting[:: max(len(fitting) // count, 1)][:count]


@pytest.mark.parametrize("name", jconv.algorithms())
def test_every_algorithm(name):
    cases = chosen(name, 12)
    assert cases, f"no case of the table is for {name}: add some that are"
    impl = under(name)
    # The default precision, under which an algorithm may form other products.
    properties = ["values", "sizes", "complex", "rounding"]
    report = check_conformance(impl, cases=cases, properties=properties, precision=None)
    report.raise_if_failed()
    assert not report.refused


@pytest.mark.parametrize("name", jconv.algorithms())
def test_a_stride_above_one_axis_of_the_kernel(name):
    """Of every other output's backprop no tap is part: winograd once had no array for it."""
    cases = [case for case in CASES if case.name in ("kernel-1-one-axis", "stride-above-kernel-2d")]
    report = check_conformance(under(name), cases=cases, properties=["values"], precision=None)
    report.raise_if_failed()


@pytest.mark.parametrize("name", jconv.algorithms())
def test_every_algorithm_differentiated_and_mapped(name):
    cases = chosen(name, 1)
    properties = ["derivatives", "transformations"]
    report = check_conformance(under(name), cases=cases, properties=properties, precision=None)
    report.raise_if_failed()
    assert not report.refused


@pytest.mark.slow
@pytest.mark.parametrize("name", jconv.algorithms())
def test_every_algorithm_on_all_it_supports(name):
    report = check_conformance(under(name), cases=chosen(name, len(CASES)), precision=None)
    report.raise_if_failed()


# --- the other host -----------------------------------------------------------------------------

CHILD = """
import warnings
import jax.interpreters.ad as ad; del ad.defbilinear
with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    import jconv
from jconv._ops import primitives
assert primitives.PRIMITIVES == ()
from jconv.testing import CASES, PROPERTIES, check_conformance
properties = [name for name in PROPERTIES if name != "eager"]
report = check_conformance(jconv, True, cases=CASES[::48], properties=properties)
print(report)
report.raise_if_failed()
modes = {mode for refused in report.refused for mode in refused.properties}
# Forward mode alone is off, and what is made of it.
assert modes == {"forward mode", "linear transpose", "second order, forward"}, modes
"""


def test_the_custom_vjp_host():
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", CHILD],
        capture_output=True,
        text=True,
        timeout=500,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))},
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
