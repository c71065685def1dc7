"""Operands brought from how they lie to how a leg wants them: the right parts, by few steps."""

from __future__ import annotations

import itertools
import math
import random

import jax
import numpy as np
import pytest
from jax.sharding import PartitionSpec as P
from mesh_bytes import mesh_of

from jconv._devices.bring import bring, in_equal_parts, steps_between

SIZES = {"a": 2, "b": 2, "c": 2}
EVERY = [
    tuple(entry)
    for entry in itertools.product([(), ("a",), ("b",), ("a", "b"), ("b", "a")], repeat=2)
    if len({name for names in entry for name in names}) == sum(map(len, entry))
]


@pytest.mark.parametrize(
    ("lies", "wanted", "kinds"),
    [
        ([("a",), ()], [("a",), ()], []),
        ([(), ()], [("a",), ("b",)], ["cut", "cut"]),
        ([("a",), ()], [(), ()], ["gather"]),
        ([("a",), ()], [(), ("a",)], ["exchange"]),
        ([("b",), ()], [("a", "b"), ()], ["permute"]),
        ([("a", "b"), ()], [("b",), ()], ["gather", "cut"]),
        ([("a",), ()], [("a", "b"), ()], ["cut"]),
        ([("b", "a"), ()], [("a", "b"), ()], ["permute"]),
        ([(), ("a",)], [("b", "a"), ()], ["gather", "cut"]),
    ],
)
def test_the_steps(lies, wanted, kinds):
    steps = steps_between((8, 8), tuple(lies), tuple(wanted), SIZES)
    assert [step.kind for step in steps] == kinds


def test_mesh_axes_of_one_device_need_no_step():
    assert steps_between((8, 8), (("a",), ()), ((), ("a",)), {"a": 1}) == ()


def test_sizes_that_do_not_divide_are_left_to_the_compiler():
    assert in_equal_parts((8, 7), (("a",), ()), ((), ()), SIZES)
    assert not in_equal_parts((7, 8), (("a",), ()), ((), ()), SIZES)
    assert in_equal_parts((7, 8), (("a",), ()), (("a",), ()), SIZES)


@pytest.mark.devices
@pytest.mark.parametrize("block", range(2))
def test_every_device_ends_with_its_part(block):
    if len(jax.devices()) < 8:
        pytest.skip("needs eight devices (jax_num_cpu_devices came too late)")
    mesh = mesh_of((2, 2, 2), "Auto")
    pairs = random.Random(block).sample(list(itertools.product(EVERY, EVERY)), 20)
    x = np.arange(8 * 12, dtype=np.float32).reshape(8, 12)

    def run(x):
        results = []
        for lies, wanted in pairs:
            steps = steps_between(x.shape, lies, wanted, SIZES)
            assert sum(step.sent for step in steps) <= x.size
            before, after = (P(*(names or None for names in spec)) for spec in (lies, wanted))
            brought = jax.shard_map(
                lambda part, steps=steps: bring(part, steps, SIZES),
                mesh=mesh,
                in_specs=before,
                out_specs=after,
                check_vma=False,
            )
            results.append(brought(x))
        return results

    for (lies, wanted), got in zip(pairs, jax.jit(run)(x), strict=True):
        assert np.array_equal(got, x), (lies, wanted)
        parts = {
            math.prod(shard.data.shape) * math.prod(SIZES[n] for names in wanted for n in names)
            for shard in got.addressable_shards
        }
        assert parts == {x.size}
