"""The same call written for jconv, lax, PyTorch, TensorFlow, Keras and ONNX, one module each.

In: `Facts`, the numbers of one planned call. Out: Python source that takes the same arrays and
makes the same result, or a CannotSayError that says why there is none.
"""
