"""Why a call fails, and the smallest change that mends it.

In it: `reading`, a call read once for each number of spatial axes that it may mean; `confusions`,
the table of what people mix up, each proposing changes; `diagnose`, which keeps those that mend.
In: a `Call` that `_check` refused. Out: the same `ConvError` with remedies, simplest first,
each tried on the call before it is offered.
"""
