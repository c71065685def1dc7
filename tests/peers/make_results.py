"""Ask another framework for its convolutions and store the answers beside this file.

    python tests/peers/make_results.py torch | tensorflow | onnx
    python tests/peers/make_results.py torch_more | tensorflow_more | keras_more | onnx_more

Each needs its framework (and NumPy), in an environment of its own if need be: jconv and JAX are
not imported. The file is rewritten as a whole or not at all, and names the versions.
"""

from __future__ import annotations

import importlib
import itertools
import sys
from collections.abc import Callable, Iterable, Iterator
from typing import Any

import store

Answered = Iterator[tuple[store.Call, dict[str, store.Array]]]

SEED = 20
COUNT = {"torch": 165, "tensorflow": 180}
# ONNX's data are stored with their operands; one converted model is far larger than the rest.
MOST_VALUES = 1_300


def seeded(framework: str, peer: Any) -> Answered:
    yield from answered(peer, itertools.islice(peer.calls(SEED), COUNT[framework]))


def listed(framework: str, peer: Any) -> Answered:
    del framework
    yield from answered(peer, peer.calls())


def answered(peer: Any, calls: Iterable[tuple[str, Any, Any]]) -> Answered:
    for number, (op, shapes, arguments) in enumerate(calls):
        name = store.name_of(op, arguments, number)
        call = store.Call(name, op, shapes, arguments, seed=number)
        results = peer.run(op, call.operands(), arguments)
        yield call, {key: store.whole(array) for key, array in results.items()}


def shipped(framework: str, peer: Any) -> Answered:
    del framework
    for name, op, operands, results, attributes in peer.calls():
        arrays = {**operands, **results}
        if sum(array.size for array in arrays.values()) <= MOST_VALUES:
            shapes = {key: [*array.shape] for key, array in operands.items()}
            floats = {key: array.astype("float32") for key, array in arrays.items()}
            yield store.Call(name, op, shapes, attributes, seed=None), floats


MAKERS: dict[str, Callable[[str, Any], Answered]]
MAKERS = {
    "torch": seeded,
    "tensorflow": seeded,
    "onnx": shipped,
    "torch_more": listed,
    "tensorflow_more": listed,
    "keras_more": listed,
    "onnx_more": listed,
}


def main(arguments: list[str]) -> None:
    if len(arguments) != 1 or arguments[0] not in MAKERS:
        sys.exit(__doc__)
    framework = arguments[0]
    more = framework.endswith("_more")
    peer = importlib.import_module(framework if more else f"{framework}_calls")
    calls = list(MAKERS[framework](framework, peer))
    path = store.write(framework, peer.versions(), calls)
    print(f"{path.name}: {len(calls)} calls, {path.stat().st_size} bytes, {peer.versions()}")


if __name__ == "__main__":
    main(sys.argv[1:])
