"""A ConvError goes through pickle whatever its values are: a process pool hangs where it cannot."""

from __future__ import annotations

import copy
import pickle

import jax
import jax.numpy as jnp
import pytest
from jax import export

import jconv

X, W = jnp.ones((1, 8, 8, 3)), jnp.ones((3, 3, 3, 4))


FAILURES = {
    "plain": lambda: jconv.conv(X, W[:, :, :2]),
    "function": lambda: jconv.conv(X, W, stride=lambda: 1),
    "generator": lambda: jconv.conv(X, W, stride=iter((1, 2))),
    "object": lambda: jconv.conv(X, W, groups=object()),
    "array": lambda: jconv.conv(X, W, stride=X),
    "tracer": lambda: jax.jit(lambda s: jconv.conv(X, W, stride=s))(X),
    "symbol": lambda: jconv.plan((1, *export.symbolic_shape("h"), 8, 3), (3, 3, 4, 4)),
    "abstract": lambda: jconv.conv(jax.ShapeDtypeStruct((1, 2), jnp.float32), W),
}


@pytest.mark.parametrize("case", FAILURES)
@pytest.mark.parametrize("through", [lambda e: pickle.loads(pickle.dumps(e)), copy.deepcopy])
def test_an_error_goes_through_pickle(case, through):
    with pytest.raises(jconv.ConvError) as caught:
        FAILURES[case]()
    error = caught.value
    error.add_note("a note")
    back = through(error)
    assert type(back) is jconv.ConvError
    assert (str(back), back.message, back.argument) == (str(error), error.message, error.argument)
    assert back.__notes__ == error.__notes__
    assert repr(back.got) == repr(error.got) or len(repr(back.got)) <= 72
    assert [(r.argument, r.text) for r in back.remedies] == [
        (r.argument, r.text) for r in error.remedies
    ]


def test_plain_values_stay_what_they_are():
    with pytest.raises(jconv.ConvError) as caught:
        jconv.conv(X, W[:, :, :2])
    back = pickle.loads(pickle.dumps(caught.value))
    assert back.remedies == caught.value.remedies
    assert (back.got, back.expected) == (caught.value.got, caught.value.expected)


def test_a_value_that_contains_itself():
    loop: list = [1]
    loop.append(loop)
    error = pickle.loads(pickle.dumps(jconv.ConvError("no", argument="padding", got=loop)))
    assert error.got[0] == 1
    assert str(error) == str(jconv.ConvError("no", argument="padding", got=loop))
