"""What was measured on this device, which outranks what the cost model predicts.

In it: `autotune`, the only code that times algorithms to choose among them, tuning tables
and their files.
In: a function or legs. Out: a `TuningTable`, an input of the planner.
"""
