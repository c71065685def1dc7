"""All the frameworks' words for one call."""

from __future__ import annotations

from typing import Any

from jconv._explore.calls.facts import CannotSayError, facts_of
from jconv._explore.calls.jax_calls import jconv_call, lax_call
from jconv._explore.calls.keras_calls import keras_call
from jconv._explore.calls.onnx_calls import onnx_call
from jconv._explore.calls.tensorflow_calls import tensorflow_call
from jconv._explore.calls.torch_calls import torch_call
from jconv._explore.question import Question
from jconv._explore.whole import solved_padding
from jconv._plan.plan import Plan

WRITERS = {
    "lax": lax_call,
    "PyTorch": torch_call,
    "TensorFlow": tensorflow_call,
    "Keras": keras_call,
    "ONNX": onnx_call,
}


def write_calls(question: Question, plan: Plan) -> list[dict[str, Any]]:
    """For each framework its name and either `code` or the `reason` why there is none."""
    question = solved_padding(question)
    written: list[dict[str, Any]] = [{"framework": "jconv", "code": jconv_call(question)}]
    for framework, write in WRITERS.items():
        try:
            written.append({"framework": framework, "code": write(facts_of(question, plan))})
        except CannotSayError as why:
            written.append({"framework": framework, "reason": str(why)})
    return written
