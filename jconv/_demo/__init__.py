"""The training run that `jconv demo` shows.

In it: a small network that is planned, trained on handwritten digits, checked against
`jax.grad` and timed against lax.
In: a number of steps. Out: figures, and a picture of them.
"""
