"""Whatever is given for an argument, the answer is a result or a ConvError, at once."""

from __future__ import annotations

import inspect
import time

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import jconv


def contains_itself():
    values: list = [1]
    values.append(values)
    return values


def deep(levels=2000):
    value: list = [1]
    for _ in range(levels):
        value = [value]
    return value


class Strange:
    """Looks like anything and answers nothing."""

    def __getattr__(self, name):
        raise AttributeError(name)

    def __len__(self):
        raise RuntimeError

    def __getitem__(self, at):
        raise RuntimeError

    def __eq__(self, other):
        raise RuntimeError

    def __repr__(self):
        raise RuntimeError

    __hash__ = None  # type: ignore[assignment]


VALUES = {
    "None": None,
    "contains itself": contains_itself(),
    "deep": deep(),
    "0-d array": np.array(3),
    "array": np.arange(6.0).reshape(2, 3),
    "jax array": jnp.ones((2, 2)),
    "text array": np.array(["SAME", "b"]),
    "nan": float("nan"),
    "infinite": float("inf"),
    "huge": 10**30,
    "negative": -3,
    "bytes": b"SAME",
    "null": "a\0b",
    "empty": "",
    "brackets": "(" * 3000,
    "set": {1, 2},
    "mapping": {1: 2},
    "empty tuple": (),
    "generator": (n for n in (1, 2)),
    "function": lambda: 1,
    "class": int,
    "strange": Strange(),
    "list of strange": [Strange(), Strange()],
    "bool": True,
    "complex": 2j,
}
X, W, G = jnp.ones((1, 6, 6, 2)), jnp.ones((3, 3, 2, 4)), jnp.ones((1, 6, 6, 4))
SHAPES = {"x_shape": X.shape, "w_shape": W.shape}
GOOD = {
    "conv": {"x": X, "w": W},
    "conv_input_grad": {"g": G, "w": W, "input_shape": X.shape},
    "conv_filter_grad": {"x": X, "g": G, "filter_shape": W.shape},
    "conv_transpose": {"x": G, "w": W},
    "unfold": {"x": X, "kernel": 3},
    "fold": {"patches": jnp.ones((1, 6, 6, 18)), "kernel": 3, "input_shape": (6, 6)},
    "custom_conv": {},
    "plan": SHAPES,
    "plan_transpose": {"x_shape": G.shape, "w_shape": W.shape},
    "diagnose": SHAPES,
    "solve": {"input": 6, "output": 3},
    "input_sizes": {"output": 6, "kernel": 3},
    "policy": {},
    "explain": {"fn": lambda: 1},
    "accelerate": {"fn": lambda: 1},
    "autotune": {"fn": lambda: 1},
}
ARRAYS = ("conv", "conv_input_grad", "conv_filter_grad", "conv_transpose", "unfold", "fold")
OPEN = ("stride", "padding", "dilation", "groups", "layout", "padding_mode", "precision")


def arguments_of(name):
    parameters = inspect.signature(getattr(jconv, name)).parameters.values()
    named = [p.name for p in parameters if p.kind not in (p.VAR_POSITIONAL, p.VAR_KEYWORD)]
    extra = OPEN if name in ("plan", "plan_transpose", "diagnose") else ()
    return [*named, *extra]


@pytest.mark.parametrize("name", GOOD)
def test_any_value_is_taken_or_refused(name):
    function = getattr(jconv, name)
    for argument in arguments_of(name):
        for what, value in VALUES.items():
            begin = time.process_time()
            try:
                if name == "autotune" and argument == "rounds":
                    continue  # a good one runs
                given = {**GOOD[name], argument: value}
                if name in ARRAYS:  # nothing is compiled
                    jax.eval_shape(lambda given=given: function(**given))
                    continue
                result = function(**given)
                if name == "policy":
                    result.__enter__(), result.__exit__(None, None, None)
            except jconv.ConvError as error:
                str(error)
            except RecursionError:
                pytest.fail(f"{argument}: {what}: RecursionError")
            except Exception as error:
                pytest.fail(f"{argument}: {what}: {type(error).__name__}: {error}"[:300])
            assert time.process_time() - begin < 10, (argument, what)


LAYER = {"kind": "conv", "kernel": 3, "features": 4}
KEYS = ("kind", *LAYER, *OPEN, "name", "input", "bias")


@pytest.mark.parametrize("argument", ["x_shape", "layers", "dtype", "constraints", "layout", *KEYS])
def test_any_value_in_a_chain_is_taken_or_refused(argument):
    for what, value in VALUES.items():
        given = {"x_shape": (1, 8, 8, 3), "layers": [LAYER]}
        if argument in KEYS:
            given["layers"] = [{**LAYER, argument: value}]
        else:
            given[argument] = value
        try:
            jconv.plan_chain(**given)
        except jconv.ConvError as error:
            str(error)
        except Exception as error:
            pytest.fail(f"{what}: {type(error).__name__}: {error}"[:300])


def test_tracers_are_refused_as_settings():
    for argument in ("stride", "padding", "groups", "dilation"):
        with pytest.raises(jconv.ConvError):
            jax.jit(lambda value, name=argument: jconv.conv(X, W, **{name: value}))(2)
