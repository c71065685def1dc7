"""Operations that research asks for, built from the three legs and from windows of x.

In it: gradients for each example and their norms (`per_example`), the sum of clipped gradients
(`clipped`), the factors of a layer's curvature (`kfac`), filters that differ from place to place
(`local`), and what each of these will do (`plan`).
In: arrays and the keywords of `conv`, or a loss. Out: arrays, or a function that returns gradients.
"""
