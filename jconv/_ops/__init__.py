"""The public operations on arrays, and the JAX primitives below them.

In it: conv, its two backprops and conv_transpose, custom_conv, unfold and fold, padding
modes, and in `primitives` the closure table that every derivative is taken from.
In: arrays and settings. Out: arrays, differentiable to any order.
"""
