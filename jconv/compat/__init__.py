"""Other libraries' convolutions, with the signatures and semantics that people know.

Each module is named after its library and computes everything by jconv's operations; none of the
libraries is imported. What an argument means is what it means there; a wrong one is a ConvError
that names that library's own argument.
"""

from jconv.compat import keras as keras
from jconv.compat import lax as lax
from jconv.compat import onnx as onnx
from jconv.compat import tf as tf
from jconv.compat import torch as torch

__all__ = ["keras", "lax", "onnx", "tf", "torch"]
