"""What follows from shapes alone, before anything runs.

In it: `Plan` with its legs, its table and its pictures, and the inverse questions
(`solve`, `input_sizes`).
In: shapes, as integers or symbols, and settings. Out: values that print, draw and run.
"""
