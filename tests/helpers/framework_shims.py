"""Namespaces in which the code that the page writes runs: by jconv.compat, or by the framework.

What is not a convolution (padding, transposing, vjp) stands in here by NumPy's functions.
"""

from __future__ import annotations

import types
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

import jconv
from jconv import compat

Names = dict[str, Any]
RESULTS = ("y", "dx", "dw")


def result_of(code: str, names: Names) -> np.ndarray:
    """Run code on its arrays and return what it makes."""
    space = dict(names)
    exec(compile(code, "written call", "exec"), space)
    return np.asarray(next(space[name] for name in RESULTS if name in space))


def lax_by_jconv() -> Names:
    ours = types.SimpleNamespace(
        conv_general_dilated=compat.lax.conv_general_dilated,
        conv_transpose=compat.lax.conv_transpose,
    )
    return {"lax": ours, "jax": jax, "jnp": jnp}


def lax_itself() -> Names:
    return {"lax": lax, "jax": jax, "jnp": jnp}


def _torch_pad(x: Any, sides: Any, mode: str = "constant") -> Any:
    pairs = [(0, 0)] * x.ndim
    for axis in range(len(sides) // 2):
        pairs[x.ndim - 1 - axis] = (sides[2 * axis], sides[2 * axis + 1])
    if mode == "constant":
        return lax.pad(x, jnp.zeros((), x.dtype), [(low, high, 0) for low, high in pairs])
    return jnp.pad(x, pairs, mode={"replicate": "edge", "circular": "wrap"}.get(mode, mode))


def torch_by_jconv() -> Names:
    functions = {
        name: getattr(compat.torch, name)
        for rank in (1, 2, 3)
        for name in (f"conv{rank}d", f"conv_transpose{rank}d")
    }
    torch = types.SimpleNamespace(
        permute=jnp.transpose,
        zeros=lambda shape, dtype: jnp.zeros(shape, dtype),
        func=types.SimpleNamespace(vjp=jax.vjp),
        nn=types.SimpleNamespace(grad=compat.torch.grad),
    )
    return {"torch": torch, "F": types.SimpleNamespace(pad=_torch_pad, **functions)}


def tensorflow_by_jconv() -> Names:
    def pad(x: Any, paddings: Any, mode: str = "CONSTANT") -> Any:
        return jnp.pad(x, paddings, mode=mode.lower())  # type: ignore[arg-type]

    tf = types.SimpleNamespace(
        pad=pad, transpose=jnp.transpose, nn=compat.tf.nn, raw_ops=compat.tf.raw_ops
    )
    return {"tf": tf}


def keras_by_jconv() -> Names:
    ops = types.SimpleNamespace(
        pad=jnp.pad,
        transpose=jnp.transpose,
        conv=compat.keras.conv,
        conv_transpose=compat.keras.conv_transpose,
    )
    return {"keras": types.SimpleNamespace(ops=ops)}


def onnx_by_jconv() -> Names:
    return {"onnx": types.SimpleNamespace(helper=types.SimpleNamespace(make_node=_node))}


def _node(kind: str, inputs: list[str], outputs: list[str], **attributes: Any) -> tuple:
    return kind, inputs, outputs, attributes


def run_nodes(nodes: list[tuple], arrays: Names) -> np.ndarray:
    """The result of the last node, convolutions by jconv.compat.onnx."""
    values = dict(arrays)
    for kind, inputs, outputs, attributes in nodes:
        given = [values[name] for name in inputs]
        if kind == "Conv":
            made = compat.onnx.conv(*given, **attributes)
        elif kind == "ConvTranspose":
            made = compat.onnx.conv_transpose(*given, **attributes)
        elif kind == "Transpose":
            made = jnp.transpose(given[0], attributes["perm"])
        elif kind == "Constant":
            made = attributes["value_ints"]
        elif kind == "Slice":
            x, starts, stops, axes = given
            cuts = dict(zip(axes, map(slice, starts, stops), strict=True))
            made = x[tuple(cuts.get(axis, slice(None)) for axis in range(x.ndim))]
        else:
            made = _onnx_pad(*given, **attributes)
        (name,) = outputs
        values[name] = made
    return np.asarray(values[name])


def _onnx_pad(x: Any, ends: list[int], mode: str = "constant") -> Any:
    pairs = list(zip(ends[: x.ndim], ends[x.ndim :], strict=True))
    if mode == "constant":
        return lax.pad(x, jnp.zeros((), x.dtype), [(low, high, 0) for low, high in pairs])
    return jnp.pad(x, pairs, mode=mode)  # type: ignore[arg-type]


BY_JCONV = {
    "jconv": lambda: {"jconv": jconv},
    "lax": lax_by_jconv,
    "PyTorch": torch_by_jconv,
    "TensorFlow": tensorflow_by_jconv,
    "Keras": keras_by_jconv,
}
