"""Algorithms' times measured on this device, which the planner uses before its predictions.

In it: `autotune`, the only code that times algorithms to choose among them, tuning tables
and their files.
In: a function or legs. Out: a `TuningTable`, an input of the planner.
"""
