"""The same call written for jconv, lax, PyTorch, TensorFlow, Keras and ONNX, one module each.

In: `Facts`, the numbers of one planned call. Out: Python source that takes the call's arrays and
makes its result, or a CannotSayError that says why the framework has no such call.
"""
