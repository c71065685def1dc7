"""Functions read and rewritten as jaxprs.

In goes a function of arrays, out comes what its convolutions are (explain) or the function with
its convolutions run by jconv (accelerate). recognise_legs tells which of the three operations a
convolution in lax's words is, neighbours reads what stands around it in the program.
"""
