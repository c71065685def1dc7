"""Batches of examples of many sizes: every example comes out as if it were alone.

The functions take a batch `x`, as large as its largest example, and int32 `sizes`, the rows of each
example on each spatial axis. They return a batch and its sizes, with zeros beyond each example's
own size. `sizes` may be traced, so one compiled program serves all sizes up to the largest.
"""

from jconv.ragged._batches import mask as mask
from jconv.ragged._batches import mean as mean
from jconv.ragged._batches import stack as stack
from jconv.ragged._batches import sum as sum
from jconv.ragged._batches import unstack as unstack
from jconv.ragged._conv import conv as conv
from jconv.ragged._conv import conv_transpose as conv_transpose
from jconv.ragged._pool import pool as pool

__all__ = ["conv", "conv_transpose", "mask", "mean", "pool", "stack", "sum", "unstack"]
