"""TensorFlow's convolutions: `tf.nn`, and the operations below it as `tf.raw_ops`.

Filters are (spatial..., in / groups, out) in every data_format, groups are not said but follow
from the channels, and the backprops are told the sizes that they are to produce.
"""

from jconv.compat.tf import nn as nn
from jconv.compat.tf import raw_ops as raw_ops

__all__ = ["nn", "raw_ops"]
