"""The five classic shape failures: the call, what jconv says to it, and the call that works.

Each failing call is mended as its error's first remedy says where there is one, and in the way
that is explained where the call was not wrong but its result a surprise.
"""

import argparse
import sys

import jax.numpy as jnp

import jconv


def title(number, text):
    print(f"\n{number}. {text}\n")


def failing(code, names):
    """Run a call that must fail; print it, and the explanation."""
    print(f">>> {code}")
    try:
        eval(code, {"jconv": jconv, **names})
    except jconv.ConvError as error:
        print(error)
        return error
    raise AssertionError("this call was meant to fail")


def working(code, names, shape):
    """Run a call that must work; print it, and its result's shape."""
    result = eval(code, {"jconv": jconv, **names})
    print(f">>> {code}\n{result.shape}\n")
    assert result.shape == shape, f"{code} has {result.shape}, not {shape}"


def cotangent_of_the_wrong_size():
    title(1, "A filter backprop handed a cotangent of the wrong size")
    names = {"x": jnp.ones((1, 5, 5, 3)), "g": jnp.ones((1, 5, 5, 8))}
    code = "jconv.conv_filter_grad(x, g, filter_shape=(3, 3), stride=2)"
    error = failing(code, names)
    # The cotangent of a convolution has the shape of its result: 3x3 here.
    names["g"] = jnp.ones(error.remedies[0].value)
    working(code, names, (3, 3, 3, 8))


def surprising_input_sizes():
    title(2, "An input gradient whose size surprises")
    print("What inputs give 3 rows under a filter of 3? A stride forgets which one it was:\n")
    for padding in ("SAME", "VALID"):
        for stride in (2, 3):
            ((low, high),) = jconv.input_sizes(3, 3, stride=stride, padding=padding)
            print(f"  stride {stride}, {padding:5s}: {low} to {high} rows")
    w = jnp.ones((3, 3, 3, 8))
    print("\n5x5 and 7x7 inputs, and the sizes of their cotangents:\n")
    for size in (5, 7):
        for stride in (2, 3):
            for padding in ("SAME", "VALID"):
                x = jnp.ones((1, size, size, 3))
                g = jconv.conv(x, w, stride=stride, padding=padding)
                back = jconv.conv_input_grad(
                    g, w, input_shape=(size, size), stride=stride, padding=padding
                )
                assert back.shape == x.shape
                rows = g.shape[1]
                print(f"  {size}x{size}, stride {stride}, {padding:5s}: {rows}x{rows}, and back")
    print()
    names = {"g": jnp.ones((1, 3, 3, 8)), "w": w}
    failing("jconv.conv_input_grad(g, w, input_shape=(7, 7), stride=2)", names)
    print()
    working("jconv.conv_input_grad(g, w, input_shape=(6, 6), stride=2)", names, (1, 6, 6, 3))


def undoing_a_convolution():
    title(3, "A transposed convolution that should undo a convolution's change of size")
    names = {"x": jnp.ones((1, 28, 28, 1)), "w": jnp.ones((3, 3, 1, 16))}
    names["y"] = jconv.conv(names["x"], names["w"], stride=2, padding="VALID")
    print(f"28x28 under a filter of 3 with stride 2, VALID: {names['y'].shape}")
    # Without a size it is the smallest: the last row, which no window read, is not there.
    working("jconv.conv_transpose(y, w, stride=2, padding='VALID')", names, (1, 27, 27, 1))
    code = "jconv.conv_transpose(y, w, stride=2, padding='VALID', output_padding=2)"
    error = failing(code, names)
    print()
    assert error.remedies[0].value == 1
    code = "jconv.conv_transpose(y, w, stride=2, padding='VALID', output_padding=1)"
    working(code, names, (1, 28, 28, 1))
    print("With sizes that vary, the input says it:\n")
    for size in (27, 28, 29, 30):
        names["x"] = jnp.ones((1, size, size, 1))
        names["y"] = jconv.conv(names["x"], names["w"], stride=2, padding="VALID")
        code = "jconv.conv_transpose(y, w, stride=2, padding='VALID', output_shape=x.shape)"
        assert eval(code, {"jconv": jconv, **names}).shape == names["x"].shape
        print(f"  {size} -> {names['y'].shape[1]} -> {size}")


def a_layer_that_does_not_fit():
    title(4, "A convolution that does not fit its input, or the next layer")
    names = {"x": jnp.ones((8, 32, 32, 3)), "w": jnp.ones((16, 3, 5, 5))}
    error = failing("jconv.conv(x, w)", names)  # a filter from PyTorch
    print()
    names["w"] = jnp.transpose(names["w"], (2, 3, 1, 0))
    assert names["w"].shape == error.remedies[0].value
    working("jconv.conv(x, w)", names, (8, 32, 32, 16))
    names |= {"y": jnp.ones((8, 32, 32, 16)), "w2": jnp.ones((3, 3, 32, 64))}
    error = failing("jconv.conv(y, w2)", names)
    names["w2"] = jnp.ones(error.remedies[0].value)
    print()
    working("jconv.conv(y, w2)", names, (8, 32, 32, 64))


def from_6_to_12_and_from_5_to_11():
    title(5, "A transposed convolution from 6x6 to 12x12, and from 5x5 to 11x11")
    names = {"x": jnp.ones((1, 6, 6, 8)), "w": jnp.ones((3, 3, 4, 8))}
    working("jconv.conv_transpose(x, w, stride=2, padding=1)", names, (1, 11, 11, 4))
    code = "jconv.conv_transpose(x, w, stride=2, padding=1, output_shape=(13, 13))"
    error = failing(code, names)
    assert error.remedies[0].value == (12, 12)
    print()
    code = "jconv.conv_transpose(x, w, stride=2, padding=1, output_shape=(12, 12))"
    working(code, names, (1, 12, 12, 4))
    names["x"] = jnp.ones((1, 5, 5, 8))
    code = "jconv.conv_transpose(x, w, stride=2, padding=0)"
    working(code, names, (1, 11, 11, 4))
    print("Or asked the other way round, which settings lead from one size to the other:\n")
    for start, end in ((6, 12), (5, 11)):
        best = jconv.solve(input=(start, start), output=(end, end), transposed=True)[0]
        print(f"  {start} to {end}: a filter of {best.kernel}, {best.call}")


FAILURES = [
    cotangent_of_the_wrong_size,
    surprising_input_sizes,
    undoing_a_convolution,
    a_layer_that_does_not_fit,
    from_6_to_12_and_from_5_to_11,
]


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("numbers", type=int, nargs="*", help="which of the five (default: all)")
    numbers = parser.parse_args().numbers
    for number, failure in enumerate(FAILURES, start=1):
        if not numbers or number in numbers:
            failure()
    return 0


if __name__ == "__main__":
    sys.exit(main())
