"""Which algorithm runs a leg, and what the user lets the planner choose from.

In it: `choose`, pure and deterministic, and `policy`, the context manager.
In: a `Problem` and a platform. Out: a `Choice`: the algorithm, its predicted seconds, and
the reason why each of the other algorithms was not chosen.
"""
