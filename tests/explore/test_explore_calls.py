"""The same call in each framework's words makes the same result, to the last bit."""

from __future__ import annotations

import jax.numpy as jnp
import numpy as np
import pytest
from framework_shims import BY_JCONV, lax_itself, onnx_by_jconv, result_of, run_nodes

from jconv._explore.calls.write import WRITERS, write_calls
from jconv._explore.edit import edit
from jconv._explore.question import ARRAYS, Question, read_address
from jconv._explore.whole import forward_plan

FORWARD = {
    "strided": "x=2,9,12,4&w=3,3,4,6&stride=2&padding=1:1,0:0",
    "same": "x=2,8,7,4&w=3,2,4,6",
    "same, strided": "x=2,8,7,4&w=3,4,4,6&stride=2,3",
    "same, lower": "x=2,8,7,4&w=4,2,4,6&padding=SAME_LOWER",
    "causal line": "x=2,9,3&w=3,3,5&padding=CAUSAL&dilation=2",
    "uneven pads": "x=1,8,7,2&w=3,3,2,3&padding=0:2,1:3&stride=1,2",
    "cropped": "x=1,9,8,2&w=2,3,2,3&padding=-1:1,1:-2",
    "valid, groups": "x=1,6,7,6&w=3,3,2,3&padding=VALID&groups=3",
    "channels first": "x=2,4,8,7&w=6,4,3,3&padding=1&stride=2&layout=NCHW",
    "own layout": "x=8,2,7,4&w=3,4,3,6&padding=1:1,0:2&layout=HNWC,HIWO,NWHC",
    "volume": "x=1,4,5,4,2&w=2,3,1,2,3&stride=1,2,1&padding=1",
    "input dilated": "x=1,5,4,2&w=3,3,2,3&input_dilation=2,1&padding=1",
    "reflected": "x=1,6,7,2&w=3,3,2,3&padding=1:2,2:1&padding_mode=reflect&stride=2",
    "edge": "x=1,6,7,2&w=3,3,2,3&padding=1:2,0:-1&padding_mode=edge",
    "circular": "x=1,2,6,7&w=3,2,3,3&padding_mode=circular&padding=1&layout=NCHW",
    "a border by axis": "x=1,6,7,2&w=3,4,2,3&padding=1:2,2:1&padding_mode=reflect,zeros",
    "a border by side": "x=1,6,7,2&w=3,4,2,3&padding=1:2,2:2"
    "&padding_mode=circular:edge,zeros:reflect",
    "mixed names": "x=1,6,7,2&w=3,3,2,3&padding=SAME,0:1&stride=2",
    "kernel below stride": "x=1,9,11,2&w=1,2,2,3&stride=3&padding=VALID",
}
# What a framework has no words for, of these; all else must be said.
SILENT = {
    "lax": set(),
    "PyTorch": {"input dilated"},
    "TensorFlow": {"input dilated", "edge", "circular", "a border by side"},
    "Keras": {"input dilated", "edge", "circular", "a border by side"},
    "ONNX": {"input dilated"},
}


def as_operation(address: str, op: str) -> Question:
    question = read_address(address)
    if op == "conv_transpose":
        question = question.replace(input_dilation=(1,) * question.rank)
    return edit(question, {"field": "op", "value": op})


def arrays_of(question: Question) -> dict[str, np.ndarray]:
    """Small whole numbers: sums of their products are exact."""
    random = np.random.default_rng(0)
    return {
        name: random.integers(-3, 4, getattr(question, name)).astype(np.float32)
        for name in ARRAYS[question.op]
    }


@pytest.mark.parametrize("op", ARRAYS)
@pytest.mark.parametrize("case", FORWARD)
def test_each_framework_makes_the_same(case: str, op: str) -> None:
    question = as_operation(FORWARD[case], op)
    arrays = {name: jnp.asarray(a) for name, a in arrays_of(question).items()}
    calls = write_calls(question, forward_plan(question))
    assert [call["framework"] for call in calls] == ["jconv", *WRITERS]
    expected = result_of(calls[0]["code"], {**BY_JCONV["jconv"](), **arrays})
    assert np.any(expected)
    for call in calls[1:]:
        framework = call["framework"]
        if op == "conv":
            assert ("reason" in call) == (case in SILENT[framework]), call
        if "reason" in call:
            assert call["reason"].endswith(".")
            continue
        if framework == "ONNX":
            space = onnx_by_jconv()
            exec(call["code"], space)
            found = run_nodes(space["nodes"], arrays)
        else:
            found = result_of(call["code"], {**BY_JCONV[framework](), **arrays})
        np.testing.assert_array_equal(found, expected, err_msg=f"{framework}:\n{call['code']}")


@pytest.mark.parametrize("op", ARRAYS)
@pytest.mark.parametrize("case", ["strided", "own layout", "valid, groups", "reflected"])
def test_lax_itself_makes_the_same(case: str, op: str) -> None:
    question = as_operation(FORWARD[case], op)
    arrays = {name: jnp.asarray(a) for name, a in arrays_of(question).items()}
    ours, theirs, *_ = write_calls(question, forward_plan(question))
    expected = result_of(ours["code"], {**BY_JCONV["jconv"](), **arrays})
    found = result_of(theirs["code"], {**lax_itself(), **arrays})
    np.testing.assert_array_equal(found, expected)


@pytest.mark.parametrize("op", ARRAYS)
def test_the_check_notices_another_stride(op: str) -> None:
    """A wrong number in the code is seen: by an error or by another result."""
    question = as_operation(FORWARD["channels first"], op)
    arrays = {name: jnp.asarray(a) for name, a in arrays_of(question).items()}
    ours, _, torch, *_ = write_calls(question, forward_plan(question))
    expected = result_of(ours["code"], {**BY_JCONV["jconv"](), **arrays})
    wrong = torch["code"].replace("padding=1", "padding=0")
    assert wrong != torch["code"]
    try:
        found = result_of(wrong, {**BY_JCONV["PyTorch"](), **arrays})
    except ValueError:
        return
    assert found.shape != expected.shape or np.any(found != expected)


def test_symbols_are_written_by_jconv_alone() -> None:
    question = read_address("x=b,h,w,3&w=3,3,3,8&stride=2")
    ours, *others = write_calls(question, forward_plan(question))
    assert ours["code"] == "y = jconv.conv(x, w, stride=2)"
    assert all("symbols" in call["reason"] for call in others)


def test_whole_numbers_are_convolved_by_lax_alone() -> None:
    question = read_address("x=1,8,3&w=3,3,8&dtype=int8")
    said = {c["framework"]: "code" in c for c in write_calls(question, forward_plan(question))}
    assert [name for name, told in said.items() if told] == ["jconv", "lax"]


def test_a_told_shape_of_symbols_is_written_in_names() -> None:
    question = read_address("op=conv_input_grad&g=b,h,8&x=b,2*h,3&w=3,3,8&stride=2")
    ours, *_ = write_calls(question, forward_plan(question))
    assert ours["code"] == "dx = jconv.conv_input_grad(g, w, input_shape=(b, 2*h, 3), stride=2)"


# --- the frameworks themselves, where they are installed ----------------------------------

PEER_CASES = ["strided", "same, strided", "cropped", "valid, groups", "channels first", "reflected",
              "a border by axis", "a border by side"]  # fmt: skip


def peer_calls(framework: str) -> list[tuple[str, dict[str, np.ndarray], np.ndarray]]:
    """Code in a framework's words, its arrays, and what jconv makes of them."""
    found = []
    for case in PEER_CASES:
        for op in ARRAYS:
            question = as_operation(FORWARD[case], op)
            arrays = arrays_of(question)
            calls = write_calls(question, forward_plan(question))
            ours = {name: jnp.asarray(array) for name, array in arrays.items()}
            expected = result_of(calls[0]["code"], {**BY_JCONV["jconv"](), **ours})
            call = next(call for call in calls if call["framework"] == framework)
            if "code" in call:
                found.append((call["code"], arrays, expected))
    assert len(found) > len(PEER_CASES)
    return found


def test_torch_itself_makes_the_same() -> None:
    torch = pytest.importorskip("torch", reason="torch is missing: the extra `peers` brings it")
    for code, arrays, expected in peer_calls("PyTorch"):
        given = {name: torch.from_numpy(array) for name, array in arrays.items()}
        names = {"torch": torch, "F": torch.nn.functional, **given}
        np.testing.assert_array_equal(result_of(code, names), expected, err_msg=code)


def test_keras_itself_makes_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KERAS_BACKEND", "jax")
    keras = pytest.importorskip("keras", reason="keras is missing: the extra `peers` brings it")
    if keras.backend.backend() != "jax":
        pytest.skip("keras was imported before, on another backend")
    for code, arrays, expected in peer_calls("Keras"):
        given = {name: jnp.asarray(array) for name, array in arrays.items()}
        found = result_of(code, {"keras": keras, **given})
        np.testing.assert_array_equal(found, expected, err_msg=code)


def test_tensorflow_itself_makes_the_same() -> None:
    tf = pytest.importorskip(
        "tensorflow", reason="tensorflow is missing: the extra `peers` brings it"
    )
    for code, arrays, expected in peer_calls("TensorFlow"):
        given = {name: tf.constant(array) for name, array in arrays.items()}
        found = result_of(code, {"tf": tf, **given})
        np.testing.assert_array_equal(found, expected, err_msg=code)


def test_onnx_itself_makes_the_same() -> None:
    onnx = pytest.importorskip("onnx", reason="onnx is missing: the extra `peers` brings it")
    reference = pytest.importorskip("onnx.reference", reason="onnx has no reference evaluator")
    for code, arrays, expected in peer_calls("ONNX"):
        if "ConvTranspose" in code and "group=" in code:
            continue  # the reference evaluator cuts W by its outputs' number instead of its inputs'
        space = {"onnx": onnx}
        exec(code, space)
        nodes: list = space["nodes"]  # type: ignore[assignment]
        kind = onnx.TensorProto.FLOAT
        value = onnx.helper.make_tensor_value_info
        graph = onnx.helper.make_graph(
            nodes,
            "written",
            [value(name, kind, array.shape) for name, array in arrays.items()],
            [value(nodes[-1].output[0], kind, expected.shape)],
        )
        model = onnx.helper.make_model(graph, opset_imports=[onnx.helper.make_opsetid("", 19)])
        onnx.checker.check_model(model)
        (found,) = reference.ReferenceEvaluator(model).run(None, arrays)
        np.testing.assert_array_equal(found, expected, err_msg=code)
