"""Functions read and rewritten as jaxprs.

In it: `explain`, which lists the convolutions inside a function; `accelerate`, which exchanges
lax's convolutions for jconv's; `everywhere`, which takes lax's calls over while they are made;
and what tells which of the three operations a call of lax is.
In: a function and its arguments. Out: plans, or a function with the same signature.
"""
