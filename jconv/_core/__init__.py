"""The equation b*i + p0 = s*o + d*k, and what is needed to speak of it.

In it: the geometry of an axis, `Problem` (one leg of one convolution), layouts, `ConvError`,
symbolic sizes, and in `jax_hooks` alone whatever differs between releases of JAX.
In: sizes, as integers or symbols. Out: sizes, pads and remainders; no array is touched.
"""
