"""Operations that research asks for, built from the three legs and from windows of x.

`per_example` has a gradient for each example and its norm, `clipped` the sum of clipped
gradients of a whole network, `kfac` the factors of a layer's curvature, and `local` a
convolution whose filter differs from place to place. In go arrays and the keywords of `conv`;
out come arrays, and from `plan` what each operation will do.
"""
