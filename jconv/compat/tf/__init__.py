"""TensorFlow's convolutions: `tf.nn`, and the operations below it as `tf.raw_ops`.

Filters are (spatial..., in / groups, out) in every data_format. The number of groups follows
from the channels. The backprops are given the sizes that they produce.
"""

from jconv.compat.tf import nn as nn
from jconv.compat.tf import raw_ops as raw_ops

__all__ = ["nn", "raw_ops"]
