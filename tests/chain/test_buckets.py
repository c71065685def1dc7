"""Buckets: no other choice of sizes takes less work, by trying all of them."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest

import jconv
from jconv._chain.buckets import _exchanged, choose_buckets

SPEECH = [("conv", {"features": 8, "kernel": 3, "stride": 2}), "relu"]


def partitions(count: int, most: int, groups: Any = ()) -> Iterator[Any]:
    if count == 0:
        yield groups
        return
    for at in range(len(groups)):
        grown = (*groups[:at], (*groups[at], count - 1), *groups[at + 1 :])
        yield from partitions(count - 1, most, grown)
    if len(groups) < most:
        yield from partitions(count - 1, most, (*groups, (count - 1,)))


@pytest.mark.parametrize("rank", [1, 2, 3])
@pytest.mark.parametrize("most", [1, 2, 3])
def test_no_partition_is_better(rank: int, most: int) -> None:
    rng = np.random.default_rng(rank)
    sizes = rng.integers(1, 20, (9, rank))

    def work(size: Any) -> int:
        return int(np.prod(size)) + 3 * int(size[0])

    known, counts = np.unique(sizes, axis=0, return_counts=True)
    least = min(
        sum(work(known[list(group)].max(0)) * counts[list(group)].sum() for group in groups)
        for groups in partitions(len(known), most)
    )
    found = choose_buckets(sizes, most, rank, work)
    own = sum(work(size) for size in sizes)
    assert len(found.largest) <= most
    np.testing.assert_allclose(found.padding, 1 - own / least)
    spent = sum(work(found.largest[found.place(size)]) for size in sizes)
    assert spent >= least
    if rank > 1:  # what serves for more sizes is as good on few
        buckets = np.array(_exchanged(known, counts, most, work))
        fits = (buckets[:, None] >= known).all(-1)
        costs = np.where(fits, np.array([work(size) for size in buckets])[:, None], np.inf)
        np.testing.assert_allclose(costs.min(0) @ counts, least)


def test_buckets_of_a_chain() -> None:
    chain = jconv.plan_chain(("b", 64, 3), SPEECH)
    lengths = np.random.default_rng(0).integers(100, 4000, 500)
    largest, padding = chain.buckets(lengths)
    assert len(largest) == 4
    assert largest[-1] == (lengths.max(),)
    assert 0.1 < padding < 0.25
    shares = [chain.buckets(lengths, most=most).padding for most in (1, 2, 4, 8)]
    assert shares == sorted(shares, reverse=True)
    assert chain.buckets([70, 70]) == (((70,),), 0.0)
    images = [("conv", {"features": 8, "kernel": 3}), "global_pool"]
    sizes = np.random.default_rng(0).integers(20, 60, (200, 2))
    found = jconv.plan_chain((1, 32, 32, 3), images).buckets(sizes)
    assert all(np.all(size <= found.largest[found.place(size)]) for size in sizes)
    x, _ = jconv.ragged.stack(
        [np.ones((*sizes[0], 3))], largest=found.largest[found.place(sizes[0])]
    )
    assert x.shape[1:-1] in found.largest


@pytest.mark.parametrize(
    ("argument", "call"),
    [
        ("most", lambda chain: chain.buckets([5], most=0)),
        ("sizes", lambda chain: chain.buckets([[5, 5]])),
        ("sizes", lambda chain: chain.buckets([])),
        ("sizes", lambda chain: chain.buckets([0, 5])),
        ("sizes", lambda chain: chain.buckets([0.5])),
        ("size", lambda chain: chain.buckets([5]).place(6)),
    ],
)
def test_bad_input(argument: str, call: Any) -> None:
    with pytest.raises(jconv.ConvError) as caught:
        call(jconv.plan_chain((1, 64, 3), SPEECH))
    assert caught.value.argument == argument
