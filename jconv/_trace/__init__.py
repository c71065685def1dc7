"""Functions read and rewritten as jaxprs.

In it: `explain`, which lists the convolutions inside a function; `accelerate` and `everywhere`,
which run lax's convolutions on jconv; `recognise_legs`, which tells which of the three legs a
convolution written in lax's terms is; `neighbours`, which reads the equations around it.
In: a function and its arguments. Out: plans, or a function with the same signature.
"""
