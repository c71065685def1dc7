"""Functions read and rewritten as jaxprs.

In it: `explain`, which lists the convolutions inside a function; `accelerate` and `everywhere`,
which run lax's convolutions on jconv; `recognise_legs`, which tells which of the three legs a
convolution in lax's words is; `neighbours`, which reads what stands around it in the program.
In: a function and its arguments. Out: plans, or a function with the same signature.
"""
