"""What is asked of an implementation: an operation on a case, as it stands or transformed by JAX.

In it: `ways`, the grid of transformations with what each must equal; `questions`, an operation on a
case in one way, with its operands; `grads`, derivatives of any function against differences.
In: a `Case`, an operation and a way. Out: the operands to give, and the right arrays.
"""
