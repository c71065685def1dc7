"""Functions read and rewritten as jaxprs.

In it: `explain`, which lists the convolutions inside a function, and `accelerate`, which
exchanges lax's convolutions for jconv's.
In: a function and its arguments. Out: plans, or a function with the same signature.
"""
