"""taps: depthwise legs as elementwise products of shifted slices, along the channels.

In it: `window_sums` (the forward pass and the input backprop), `filter_grads` and `record`.
In: a leg whose groups have few channels. Out: its record, TAPS.
"""

from jconv._algorithms.taps.record import TAPS as TAPS
