"""What a call means, from its shapes and settings alone, or the first thing that is wrong.

In it: readers of settings, sizes and dtypes, and `resolve`, which puts them together.
In: a `Call`, the arguments as the user wrote them. Out: a `Problem`, or a `ConvError`
that names the argument.
"""
