"""Other projects' own test suites, run on jconv's faces: PyTorch's OpInfo, Keras's, ONNX's.

They come with those packages (the extra `suites`); what is missing is skipped and says so. Known
refusals: bool operands, for which PyTorch has no samples of a convolution, and integers in
`unfold`, which PyTorch itself refuses on a CPU. No sample and no error input is answered otherwise.
"""

from __future__ import annotations

import functools
import importlib.util
import os
import re
import subprocess
import sys
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import jconv
from jconv.compat import onnx as onnx_face
from jconv.compat import torch as torch_face
from jconv.testing.run.ask import compiled

HERE = Path(__file__).parent

# --- PyTorch ------------------------------------------------------------------------------

OPERATIONS = [f"conv{transposed}{rank}d" for transposed in ("", "_transpose") for rank in (1, 2, 3)]
SAMPLES = [(name, "float32") for name in (*OPERATIONS, "unfold")]
SAMPLES += [(name, dtype) for name in OPERATIONS for dtype in ("complex64", "int64")]
THINNED = {"unfold": 8, "complex64": 4, "int64": 4}  # one sample in 8, or in 4, is run


@pytest.fixture
def torch():
    """PyTorch, where it and what its `testing` imports are installed."""
    pytest.importorskip("expecttest", reason="expecttest is missing: install the extra `suites`")
    return pytest.importorskip("torch", reason="PyTorch is missing: install the extra `suites`")


@functools.cache
def infos():
    """PyTorch's records of its operations, by their names."""
    from torch.testing._internal.common_methods_invocations import op_db

    return {op.name: op for op in op_db}


def whole(value):
    """A sample's argument: tensors as NumPy arrays of whole numbers, the rest as it is."""
    import torch

    if not isinstance(value, torch.Tensor):
        return value
    if value.is_complex():
        return np.round(value.detach().resolve_conj().numpy())
    array = value.detach().float().numpy() if value.dtype == torch.bfloat16 else value.detach()
    return np.round(np.asarray(array))


def samples(name: str, dtype: str):
    import torch

    torch.manual_seed(0)
    for sample in infos()[f"nn.functional.{name}"].sample_inputs("cpu", getattr(torch, dtype)):
        tensors = [sample.input, *(a for a in sample.args if isinstance(a, torch.Tensor))]
        rest = [a for a in sample.args if not isinstance(a, torch.Tensor)]
        yield [whole(t) for t in tensors], rest, sample.kwargs


def by_torch(name: str, arrays, rest, kwargs):
    """PyTorch's result and, for floats, its gradients with whole numbers as the cotangent."""
    import torch

    tensors = [torch.from_numpy(array.copy()) for array in arrays]
    floating = tensors[0].is_floating_point()
    for tensor in tensors:
        tensor.requires_grad_(floating)
    y = getattr(torch.nn.functional, name)(*tensors, *rest, **kwargs)
    if not floating:
        return y.numpy(), []
    y.backward(torch.from_numpy(cotangent(tuple(y.shape))))
    return y.detach().numpy(), [tensor.grad.numpy() for tensor in tensors]


def cotangent(shape: tuple[int, ...]) -> np.ndarray:
    return (np.arange(np.prod(shape, dtype=int)) % 5 - 2).reshape(shape).astype(np.float32)


def by_jconv(name: str, arrays, rest, kwargs):
    function = functools.partial(getattr(torch_face, name), **kwargs)
    if not jnp.issubdtype(arrays[0].dtype, jnp.floating):
        return function(*arrays, *rest), []
    y, pullback = jax.vjp(lambda *arrays: function(*arrays, *rest), *arrays)
    return y, list(pullback(jnp.asarray(cotangent(y.shape))))


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize(("name", "dtype"), SAMPLES)
def test_opinfo_samples(torch, name, dtype):
    """Values and gradients, to the bit: all sums are of small whole numbers."""
    drawn = list(samples(name, dtype))[:: max(THINNED.get(name, 1), THINNED.get(dtype, 1))]
    assert len(drawn) >= 3
    with jax.enable_x64(dtype == "int64"), jconv.policy("exact"):
        program = jax.jit(
            lambda arrays: [
                by_jconv(name, each, rest, kwargs)
                for each, (_, rest, kwargs) in zip(arrays, drawn, strict=True)
            ]
        )
        given = [[jnp.asarray(a) for a in arrays] for arrays, _, _ in drawn]
        got = compiled(program.lower(given))(given)
    for (y, grads), (arrays, rest, kwargs) in zip(got, drawn, strict=True):
        want, want_grads = by_torch(name, arrays, rest, kwargs)
        told = f"{name} {[a.shape for a in arrays]} {rest} {kwargs}"
        assert y.dtype == want.dtype
        np.testing.assert_array_equal(np.asarray(y), want, told)
        for grad, expected in zip(grads, want_grads, strict=True):
            np.testing.assert_array_equal(np.asarray(grad), expected, f"gradient of {told}")


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("name", ["conv1d", "conv2d", "conv3d"])
def test_opinfo_error_inputs(torch, name):
    """What PyTorch refuses is a ConvError."""
    errors = list(infos()[f"nn.functional.{name}"].error_inputs("cpu"))
    assert len(errors) >= 8
    taken = []
    for error in errors:
        sample = error.sample_input
        args = [
            jnp.asarray(whole(a)) if isinstance(a, torch.Tensor) else a
            for a in (sample.input, *sample.args)
        ]
        try:
            getattr(torch_face, name)(*args, **sample.kwargs)
        except jconv.ConvError:
            continue
        taken.append((name, error.error_regex))
    assert taken == []


# --- Keras --------------------------------------------------------------------------------

FACE = """
import keras
from keras.src import backend
from jconv.compat import keras as face

CALLS = {name: 0 for name in ("conv", "depthwise_conv", "separable_conv", "conv_transpose")}


def counted(name):
    def call(*args, **kwargs):
        CALLS[name] += 1
        return getattr(face, name)(*args, **kwargs)

    return call


for name in CALLS:
    setattr(backend.nn, name, counted(name))


def pytest_sessionfinish(session):
    print("CALLS", sum(CALLS.values()), min(CALLS.values()))
"""


def test_keras_own_tests(tmp_path):
    """Keras's tests of its convolutions, with the functions of its JAX backend replaced."""
    found = importlib.util.find_spec("keras")
    if found is None or found.origin is None:
        pytest.skip("Keras is missing: install the extra `suites`")
    tests = Path(found.origin).parent / "src" / "ops" / "nn_test.py"
    if not tests.exists():
        pytest.skip("this Keras ships no tests")
    (tmp_path / "jconv_face.py").write_text(FACE)
    root = str(HERE.parent.parent)
    paths = os.pathsep.join([str(tmp_path), root])
    ran = subprocess.run(
        [
            *(sys.executable, "-m", "pytest", "-q", "-n", "0", "-s"),
            *("-p", "jconv_face", "-p", "no:cacheprovider"),
            *("-c", os.devnull, "--rootdir", str(tmp_path), str(tests)),
            *("-k", "Correctness and conv and (0 or 3 or basic or transpose)"),
        ],
        env={**os.environ, "KERAS_BACKEND": "jax", "PYTHONPATH": paths},
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=300,
    )
    told = ran.stdout[-3000:] + ran.stderr[-2000:]
    assert ran.returncode == 0, told
    calls, fewest = map(int, re.search(r"CALLS (\d+) (\d+)", ran.stdout).groups())
    assert calls >= 30, told
    assert fewest >= 1, told


# --- ONNX ---------------------------------------------------------------------------------


@pytest.mark.filterwarnings("ignore")
def test_onnx_reference_evaluator():
    """ONNX's node tests, with what its reference evaluator answers now."""
    pytest.importorskip("onnx", reason="ONNX is missing: install the extra `suites`")
    from onnx import helper
    from onnx.reference import ReferenceEvaluator
    from peers import onnx_calls, translate

    seen = set()
    for name, op, operands, results, attributes in onnx_calls.calls():
        node = helper.make_node(op, list(operands), ["y"], **attributes)
        try:
            (want,) = ReferenceEvaluator(node).run(None, operands)
        except Exception:  # what the evaluator cannot do, its own test data can
            want = results["output"]
        given = {key: jnp.asarray(array) for key, array in operands.items()}
        got = translate.onnx(op, given, attributes)["output"]
        assert got.shape == want.shape, name
        np.testing.assert_allclose(got, want, rtol=1e-5, atol=1e-5, err_msg=name)
        seen.add(op)
    assert seen == {"Conv", "ConvTranspose", "ConvInteger"}
    assert onnx_face.__all__
