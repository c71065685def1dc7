"""winograd: a convolution by tiles, with fewer products than the definition.

In it: `points` (the decomposition of one tile), `tiles` (an axis cut into tiles), `transforms`
(arrays to points and back), `tile_size` (what each tile size costs), `run` and `record`.
In: a leg of small kernels. Out: its record, WINOGRAD.
"""

from jconv._algorithms.winograd.record import WINOGRAD as WINOGRAD
