"""Data-parallel training over several devices, simulated ones by default.

The batch is split over the devices, the filters are on all of them. The three convolution
operations say so themselves: a filter gradient sums over the split batch, so the devices' parts are
added, and it comes out on all of them, as the filters are. Nothing in the training step mentions
devices. The same steps on one device give the same filters.

A small network on digits shows it from the first step to the accuracy. Then the gradient of two
larger layers is compiled, on which jconv runs other algorithms than XLA's convolution: its
collectives are counted, which are to be one sum and nothing else, and its value is compared.
"""

import argparse
import re
import sys
import time

import jax
import jax.numpy as jnp
import numpy as np
import optax
from jax.sharding import NamedSharding
from jax.sharding import PartitionSpec as P
from sklearn.datasets import load_digits

import jconv

DEVICES = 4
BATCH = 128
FILTERS = [(3, 3, 1, 16), (3, 3, 16, 32), (4, 4, 32, 10)]
SETTINGS = [{}, {"stride": 2}, {"padding": "VALID"}]
LARGE = [(32, 32, 32, 32), (3, 3, 32, 64), (3, 3, 64, 64)]  # a batch and two filters


def init(rng):
    return [
        jnp.asarray(rng.normal(0, (2 / np.prod(shape[:-1])) ** 0.5, shape), jnp.float32)
        for shape in FILTERS
    ]


def network(params, x):
    for w, settings in zip(params[:-1], SETTINGS, strict=False):
        x = jax.nn.relu(jconv.conv(x, w, **settings))
    return jconv.conv(x, params[-1], **SETTINGS[-1])[:, 0, 0, :]


def loss(params, x, labels):
    wanted = jax.nn.one_hot(labels, 10)
    return optax.softmax_cross_entropy(network(params, x), wanted).mean()


@jax.jit
def train_step(params, x, labels):
    value, grads = jax.value_and_grad(loss)(params, x, labels)
    return [w - 0.1 * g for w, g in zip(params, grads, strict=True)], value


def train(params, data, steps, place):
    """Train for some steps, each batch put where `place` says."""
    shuffle, (images, labels) = np.random.default_rng(1), data
    for _ in range(steps):
        chosen = shuffle.choice(len(images), BATCH, replace=False)
        params, value = train_step(params, place(images[chosen]), place(labels[chosen]))
        # Simulated devices share a few threads: with several steps in flight they wait for ever
        # for one another's parts of a sum.
        value.block_until_ready()
    return params, value


def large_loss(filters, x):
    hidden = jax.nn.silu(jconv.conv(x, filters[0]))
    return jnp.mean(jconv.conv(hidden, filters[1], stride=2) ** 2)


def large_layers(mesh):
    """The algorithms of a device's part, the gradient's collectives, and how far off it is."""
    rng = np.random.default_rng(0)
    x, *filters = (np.float32(rng.normal(0, 0.1, shape)) for shape in LARGE)
    local = jconv.plan((len(x) // DEVICES, *x.shape[1:]), filters[0].shape)
    algorithms = {name: leg.algorithm for name, leg in local.legs.items()}
    slope = jax.jit(jax.grad(large_loss))
    alone = slope([*map(jnp.asarray, filters)], jnp.asarray(x))
    whole = NamedSharding(mesh, P())
    placed = [jax.device_put(w, whole) for w in filters]
    with jax.set_mesh(mesh):
        x = jax.device_put(x, NamedSharding(mesh, P("batch")))
        compiled = slope.lower(placed, x).compile()
        parallel = compiled(placed, x)
    kinds = "all-reduce", "all-gather", "all-to-all", "collective-permute"
    text = compiled.as_text()
    counted = {kind: len(re.findall(rf" {kind}(?:-start)?\(", text)) for kind in kinds}
    off = max(
        float(np.abs(np.asarray(a) - np.asarray(b)).max() / np.abs(np.asarray(b)).max())
        for a, b in zip(parallel, alone, strict=True)
    )
    return algorithms, counted, off


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--steps", type=int, default=200, help="training steps (default 200)")
    steps = parser.parse_args().steps
    jax.config.update("jax_num_cpu_devices", DEVICES)  # before anything starts the backend
    digits = load_digits()
    images = (digits.images[:, :, :, None] / 16).astype(np.float32)
    labels = digits.target.astype(np.int32)
    data, unseen = (images[:1500], labels[:1500]), (images[1500:], labels[1500:])
    params = init(np.random.default_rng(0))

    mesh = jax.make_mesh((DEVICES,), ("batch",))
    print(f"{DEVICES} devices: {', '.join(map(str, mesh.devices.flat))}")
    with jax.set_mesh(mesh):
        split, whole = NamedSharding(mesh, P("batch")), NamedSharding(mesh, P())
        everywhere = [jax.device_put(w, whole) for w in params]
        x = jax.device_put(images[:BATCH], split)
        print(f"a batch: {jax.typeof(x)}, {x.addressable_shards[0].data.shape} on each device")
        y = jconv.conv(x, everywhere[0])
        w_grad = jconv.conv_filter_grad(x, y, filter_shape=everywhere[0].shape)
        w_grad.block_until_ready()
        print(f"a convolution of it: {jax.typeof(y)}; its filter gradient: {jax.typeof(w_grad)}")
        start = time.perf_counter()
        parallel, value = train(everywhere, data, steps, lambda array: jax.device_put(array, split))
        elapsed = time.perf_counter() - start
    print(f"{steps} steps on {DEVICES} devices: loss {value:.4f}, {elapsed:.1f} s")

    start = time.perf_counter()
    alone, value = train(params, data, steps, jnp.asarray)
    print(f"{steps} steps on one: loss {value:.4f}, {time.perf_counter() - start:.1f} s")
    first, _ = train(params, data, 1, jnp.asarray)
    with jax.set_mesh(mesh):
        first_parallel, _ = train(everywhere, data, 1, lambda array: jax.device_put(array, split))
    off = max(
        float(np.abs(np.asarray(a) - np.asarray(b)).max())
        for a, b in zip(first, first_parallel, strict=True)
    )
    found = [
        np.asarray(network(p, unseen[0])).argmax(-1) for p in (alone, [*map(np.asarray, parallel)])
    ]
    accuracy = [float((f == unseen[1]).mean()) for f in found]
    print(f"accuracy on unseen digits: {accuracy[1]:.1%}, and {accuracy[0]:.1%} on one device")
    agree = off <= 1e-6
    words = "as they should" if agree else "TOO MUCH"
    print(f"after one step the filters differ by at most {off:.1e}: {words}")

    algorithms, counted, off = large_layers(mesh)
    print(f"larger layers: {', '.join(f'{leg} by {name}' for leg, name in algorithms.items())}")
    print("  their gradient holds " + ", ".join(f"{n} {kind}" for kind, n in counted.items()))
    # Winograd's algorithm rounds otherwise on another number of images.
    same = off <= 1e-5 and counted.pop("all-reduce") == 1 and not any(counted.values())
    words = "as it should" if same else "NOT AS IT SHOULD"
    print(f"  and differs from one device's by {off:.0e} of the largest: {words}")
    return 0 if agree and same else 1


if __name__ == "__main__":
    sys.exit(main())
