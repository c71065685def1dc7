"""Training steps of other libraries' models, as they are and given to jconv.accelerate.

    pip install "jconv[adoption]" && python benchmarks/adoption.py

Each model's step (loss, gradients, optimizer) is compiled three times: on lax, with its loss
accelerated, and with the whole step accelerated, gradients of lax's included. They are compared
first, gradient for gradient, and then timed in turns, in one process.
"""

import argparse
import statistics
import sys

import equinox as eqx
import flax.linen as nn
import haiku as hk
import jax
import jax.numpy as jnp
import numpy as np
import optax
from flax import nnx

import jconv
from jconv._bench.machine import header, use_threads
from jconv._bench.match import WARM
from jconv._support.clock import race, stopwatch

# Of the gradients' norm. Both are sums in float32, rounded differently. The models of this file
# are smooth: a relu whose input is zero but for that rounding passes its gradient or does not, and
# one such pixel moves the whole by some 1e-4.
TOLERANCE = 1e-4
LABELS = jnp.arange(64) % 10


def cross_entropy(logits):
    labels = LABELS[: len(logits)]
    return optax.softmax_cross_entropy_with_integer_labels(logits, labels).mean()


def images(*shape):
    return jnp.asarray(np.random.default_rng(0).normal(size=shape), jnp.float32)


def as_it_is(fn):
    return fn


def functional(loss, params, compiled, gradient, update):
    """What makes a step of a loss of (params, state): both wrappings of it, compiled."""

    def build(wrap_loss, wrap_step):
        optimizer = optax.sgd(1e-3, momentum=0.9)

        def step(params, state):
            grads = gradient(wrap_loss(loss))(params)
            updates, state = optimizer.update(grads, state)
            return update(params, updates), state, grads

        state = optimizer.init(eqx.filter(params, eqx.is_array))
        run = compiled(wrap_step(step))
        return lambda: jax.block_until_ready(run(params, state))[2]

    return build


# The models ---------------------------------------------------------------------------------------


def nnx_resnet():
    """Flax NNX: a residual network on 32x32 images, channels 16 to 64, with BatchNorm."""

    class Block(nnx.Module):
        def __init__(self, inputs, features, stride, rngs):
            self.first = nnx.Conv(inputs, features, (3, 3), strides=stride, rngs=rngs)
            self.norm1 = nnx.BatchNorm(features, rngs=rngs)
            self.second = nnx.Conv(features, features, (3, 3), rngs=rngs)
            self.norm2 = nnx.BatchNorm(features, rngs=rngs)
            same = stride == 1 and inputs == features
            self.short = (
                None if same else nnx.Conv(inputs, features, (1, 1), strides=stride, rngs=rngs)
            )

        def __call__(self, x):
            y = self.norm2(self.second(nnx.silu(self.norm1(self.first(x)))))
            return nnx.silu(y + (x if self.short is None else self.short(x)))

    class ResNet(nnx.Module):
        def __init__(self, rngs):
            self.stem = nnx.Conv(3, 16, (3, 3), rngs=rngs)
            rows = [(16, 16, 1), (16, 16, 1), (16, 32, 2), (32, 32, 1), (32, 64, 2), (64, 64, 1)]
            self.blocks = nnx.List([Block(*row, rngs) for row in rows])
            self.head = nnx.Linear(64, 10, rngs=rngs)

        def __call__(self, x):
            x = nnx.silu(self.stem(x))
            for block in self.blocks:
                x = block(x)
            return self.head(x.mean((1, 2)))

    def build(wrap_loss, wrap_step):
        model = ResNet(nnx.Rngs(0))
        optimizer = nnx.Optimizer(model, optax.sgd(1e-3, momentum=0.9), wrt=nnx.Param)
        x = images(32, 32, 32, 3)

        def step(model, optimizer, x):
            loss = wrap_loss(lambda model, x: cross_entropy(model(x)))
            grads = nnx.grad(loss)(model, x)
            optimizer.update(model, grads)
            return grads

        run = nnx.jit(wrap_step(step))
        return lambda: jax.block_until_ready(run(model, optimizer, x))

    return build


def linen_unet():
    """Flax Linen: a U-Net on 64x64 images, channels 16 to 64, ways up by ConvTranspose."""

    class UNet(nn.Module):
        @nn.compact
        def __call__(self, x):
            def twice(x, features):
                for _ in range(2):
                    x = nn.silu(nn.Conv(features, (3, 3))(x))
                return x

            kept = []
            for features in (16, 32):
                kept.append(twice(x, features))
                x = nn.Conv(features, (3, 3), strides=2)(kept[-1])
            x = twice(x, 64)
            for features in (32, 16):
                x = nn.ConvTranspose(features, (2, 2), strides=(2, 2))(x)
                x = twice(jnp.concatenate([x, kept.pop()], -1), features)
            return nn.Conv(1, (1, 1))(x)

    x = images(8, 64, 64, 3)
    params = UNet().init(jax.random.key(0), x)

    def loss(params):
        y = UNet().apply(params, x)
        return optax.sigmoid_binary_cross_entropy(y, x[..., :1] > 0).mean()

    return functional(loss, params, jax.jit, jax.grad, optax.apply_updates)


def equinox_convnext():
    """Equinox: ConvNeXt-like blocks on 32x32 images, 7x7 depthwise, channels first, under vmap."""

    class Block(eqx.Module):
        depthwise: eqx.nn.Conv2d
        norm: eqx.nn.GroupNorm
        wide: eqx.nn.Conv2d
        narrow: eqx.nn.Conv2d

        def __init__(self, channels, key):
            a, b, c = jax.random.split(key, 3)
            self.depthwise = eqx.nn.Conv2d(channels, channels, 7, padding=3, groups=channels, key=a)
            self.norm = eqx.nn.GroupNorm(1, channels)
            self.wide = eqx.nn.Conv2d(channels, 4 * channels, 1, key=b)
            self.narrow = eqx.nn.Conv2d(4 * channels, channels, 1, key=c)

        def __call__(self, x):
            return x + self.narrow(jax.nn.gelu(self.wide(self.norm(self.depthwise(x)))))

    class ConvNeXt(eqx.Module):
        layers: list
        head: eqx.nn.Linear

        def __init__(self, key):
            keys = iter(jax.random.split(key, 9))
            self.layers = [eqx.nn.Conv2d(3, 32, 2, stride=2, key=next(keys))]
            self.layers += [Block(32, next(keys)) for _ in range(2)]
            self.layers += [eqx.nn.Conv2d(32, 64, 2, stride=2, key=next(keys))]
            self.layers += [Block(64, next(keys)) for _ in range(2)]
            self.head = eqx.nn.Linear(64, 10, key=next(keys))

        def __call__(self, x):
            for layer in self.layers:
                x = layer(x)
            return self.head(x.mean((1, 2)))

    x = images(16, 3, 32, 32)

    def loss(model):
        return cross_entropy(jax.vmap(model)(x))

    model = ConvNeXt(jax.random.key(0))
    return functional(loss, model, eqx.filter_jit, eqx.filter_grad, eqx.apply_updates)


def haiku_resnet():
    """Haiku: its own hk.nets.ResNet18 on 64x64 images."""
    x = images(8, 64, 64, 3)
    net = hk.transform_with_state(lambda x: hk.nets.ResNet18(num_classes=10)(x, True))
    params, state = net.init(jax.random.key(0), x)

    def loss(params):
        return cross_entropy(net.apply(params, state, None, x)[0])

    return functional(loss, params, jax.jit, jax.grad, optax.apply_updates)


MODELS = {
    "nnx-resnet": nnx_resnet,
    "linen-unet": linen_unet,
    "equinox-convnext": equinox_convnext,
    "haiku-resnet18": haiku_resnet,
}
CONTESTANTS = {
    "lax": (as_it_is, as_it_is),
    "accelerate(loss)": (jconv.accelerate, as_it_is),
    "accelerate(step)": (as_it_is, jconv.accelerate),
}


# Measuring ----------------------------------------------------------------------------------------


def distance(one, other):
    """Of two trees of gradients, in terms of the second one's norm."""
    pairs = list(zip(jax.tree.leaves(one), jax.tree.leaves(other), strict=True))
    squares = [(jnp.sum((a - b) ** 2), jnp.sum(b**2)) for a, b in pairs]
    off, norm = (float(sum(column)) ** 0.5 for column in zip(*squares, strict=True))
    return off / norm


def measure(name, rounds):
    """Whether the gradients are lax's; prints the comparison and the times."""
    print(f"\n{MODELS[name].__doc__}", flush=True)
    build, runs, compiled, grads = MODELS[name](), {}, {}, {}
    for who, wrappings in CONTESTANTS.items():
        runs[who] = build(*wrappings)
        elapsed = stopwatch()
        grads[who] = runs[who]()
        compiled[who] = elapsed()
    off = {who: distance(found, grads["lax"]) for who, found in grads.items()}
    if max(off.values()) > TOLERANCE:
        print(f"GRADIENTS DIFFER from lax's: {off}")
        return False
    times = race(runs, rounds=rounds, warm=WARM)
    for who, samples in times.items():
        ratios = [a / b for a, b in zip(samples, times["lax"], strict=True)]
        low, middle, high = statistics.quantiles(ratios, n=4)
        print(
            f"  {who:17} {1e3 * statistics.median(samples):8.2f} ms   "
            f"{middle:.2f} of lax's time ({low:.2f} to {high:.2f})   "
            f"gradients off by {off[who]:.1e}   first call {compiled[who]:.1f} s",
            flush=True,
        )
    return True


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("models", nargs="*", default=list(MODELS), help=f"of {', '.join(MODELS)}")
    parser.add_argument("--rounds", type=int, default=25, help="of timing, two or more (25)")
    options = parser.parse_args()
    unknown = [name for name in options.models if name not in MODELS]
    if unknown or options.rounds < 2:
        parser.error(f"no models {unknown}" if unknown else "--rounds is at least 2")
    print("\n".join(f"{key}: {value}" for key, value in header(use_threads(None)).items()))
    wrong = [name for name in options.models if not measure(name, options.rounds)]
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
