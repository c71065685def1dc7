"""Why a call fails, and the smallest change that mends it.

In it: the confusions that are common, each with the change that undoes it.
In: a `Call` that `_check` refused. Out: the same `ConvError` with remedies, simplest first,
each tried on the call before it is offered.
"""
