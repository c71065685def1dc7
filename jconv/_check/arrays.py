"""From arrays to a `Call`, which holds their shapes and the names of their JAX dtypes."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
from jax import Array
from jax.typing import ArrayLike

from jconv._check.call import Call
from jconv._check.dtypes import read_dtype
from jconv._check.operations import OPERATIONS
from jconv._core.errors import ConvError


def as_operand(array: ArrayLike) -> Array:
    """The array as a JAX array of an enabled dtype: float64 becomes float32 without x64."""
    array = jnp.asarray(array)
    return jax.lax.convert_element_type(array, dtype_name(array.dtype))


def make_call(op: str, arrays: dict[str, Any], **keywords: Any) -> Call:
    """The Call with these arguments, its arrays described by shape and dtype."""
    for name, array in arrays.items():
        check_array(op, name, array)
    shapes = {name: tuple(array.shape) for name, array in arrays.items()}
    dtypes = {name: dtype_name(array.dtype) for name, array in arrays.items()}
    wanted = keywords.get("preferred_element_type")
    keywords["preferred_element_type"] = given_dtype(op, "preferred_element_type", wanted)
    return Call(OPERATIONS[op], shapes, dtypes, **keywords)


def check_array(op: str, name: str, array: Any) -> None:
    abstract = isinstance(array, jax.ShapeDtypeStruct)
    if not abstract and hasattr(array, "shape") and hasattr(array, "dtype"):
        return
    remedy = (
        f"jconv.plan and jax.eval_shape take shapes without values as `{name}`"
        if abstract
        else f"convert it with jnp.asarray({name})"
    )
    raise ConvError(
        f"{op}: `{name}` must be an array; {remedy}.",
        argument=name,
        got=array if abstract else type(array).__name__,
        expected="a JAX or NumPy array",
    )


def given_dtype(op: str, argument: str, value: Any) -> str | None:
    """The name of the enabled dtype for one that the user gave; None where that is None."""
    name = read_dtype(op, argument, value)
    return None if name is None else dtype_name(name)


def dtype_name(dtype: Any) -> str:
    try:
        return str(jax.dtypes.canonicalize_dtype(dtype))
    except Exception:  # JAX raises for the dtypes of keys, other libraries' dtypes as they like
        return str(dtype)
