"""What is right: every result of a convolution and its derivatives, and how far rounding may go.

In it: `reference`, the oracle (loops in NumPy that share no code with jconv); `case`, one
configuration; `legs`, the arrays that operations return; `rounding`, a derived bound on errors.
In: a `Case` and its operands. Out: the right array, and the largest error it may have.
"""
