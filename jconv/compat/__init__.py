"""Other libraries' convolutions, with the signatures and semantics that people know.

Each module is named after its library and computes everything by jconv's operations; none of the
libraries is imported. What an argument means is what it means there; a wrong one is a ConvError
that names that library's own argument. A module is loaded when it is first used.
"""

from __future__ import annotations

import importlib
from types import ModuleType
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from jconv.compat import keras as keras
    from jconv.compat import lax as lax
    from jconv.compat import onnx as onnx
    from jconv.compat import tf as tf
    from jconv.compat import torch as torch

__all__ = ["keras", "lax", "onnx", "tf", "torch"]


def __getattr__(name: str) -> ModuleType:
    if name in __all__:
        return importlib.import_module(f"jconv.compat.{name}")
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
