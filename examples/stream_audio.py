"""A causal audio network in real time: microseconds a chunk, and exactly the whole's result.

The network takes 16 kHz audio down by 4 and up again, with dilated convolutions in between. Each
chunk of a few milliseconds costs a few convolutions of its own rows; without a state one would run
the network again over all that it sees of the past.
"""

import argparse
import statistics
import sys
import time

import jax
import jax.numpy as jnp
import numpy as np

import jconv
from jconv import streaming

RATE = 16000  # samples a second
WIDTH = 32
DILATIONS = (1, 2, 4, 8, 16, 32, 64, 128)


def layers():
    causal = {"padding": "CAUSAL", "features": WIDTH}
    yield "conv", {**causal, "name": "down", "kernel": 8, "stride": 4}
    for d in DILATIONS:
        yield "conv", {**causal, "name": f"dilated{d}", "kernel": 3, "dilation": d}
        yield "relu", {}
    up = {"name": "up", "features": 1, "kernel": 8, "stride": 4, "padding": [(0, 4)]}
    yield "conv_transpose", up


def init(chain):
    rng = np.random.default_rng(0)
    return {
        name: rng.normal(0, 1 / np.sqrt(np.prod(plan.w_shape[:-1])), plan.w_shape).astype("float32")
        for name, plan in chain.plans.items()
    }


def whole(params, x):
    x = jconv.conv(x, params["down"], stride=4, padding="CAUSAL")
    for d in DILATIONS:
        x = jax.nn.relu(jconv.conv(x, params[f"dilated{d}"], dilation=d, padding="CAUSAL"))
    return jconv.conv_transpose(x, params["up"], stride=4, padding=[(0, 4)])


def step(params, states, x):
    """One chunk through the network: its result, and the states for the next chunk."""
    states = dict(states)
    x, states["down"] = streaming.conv(x, params["down"], states["down"], stride=4)
    for d in DILATIONS:
        name = f"dilated{d}"
        x, states[name] = streaming.conv(x, params[name], states[name], dilation=d)
        x = jax.nn.relu(x)
    x, states["up"] = streaming.conv_transpose(x, params["up"], states["up"], stride=4)
    return states, x


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seconds", type=float, default=1.0, help="of audio (default 1)")
    parser.add_argument("--chunk", type=int, default=160, help="samples (default 160, 10 ms)")
    options = parser.parse_args()

    chain = jconv.plan_chain((1, RATE, 1), list(layers()))
    stream = chain.stream()
    print(stream, end="\n\n")
    params = init(chain)
    samples = int(options.seconds * RATE) // options.chunk * options.chunk
    x = np.random.default_rng(1).normal(0, 1, (1, samples, 1)).astype(np.float32)

    run = jax.jit(step)
    states, times, parts = stream.init(), [], []
    jax.block_until_ready(run(params, states, x[:, : options.chunk]))
    for at in range(0, samples, options.chunk):
        chunk = jnp.asarray(x[:, at : at + options.chunk])
        start = time.perf_counter()
        states, y = jax.block_until_ready(run(params, states, chunk))
        times.append(1e6 * (time.perf_counter() - start))
        parts.append(y)
    streamed, wanted = np.concatenate(parts, axis=1), np.asarray(whole(params, x))
    off = np.abs(streamed - wanted).max() / np.abs(wanted).max()
    print(f"{len(times)} chunks joined are off from the whole by {off:.1e} of its largest value")

    real = 1e6 * options.chunk / RATE
    middle = statistics.median(times)
    print(f"{middle:.0f} us a chunk of {real:.0f} us of audio: {real / middle:.0f} times real time")

    # Without a state: the network over all that a result sees, for each chunk anew.
    seen = -(-chain.receptive_field[0] // options.chunk) * options.chunk + options.chunk
    again = jax.jit(whole)
    window = jnp.asarray(x[:, :seen])
    again(params, window).block_until_ready()
    slower = []
    for _ in range(min(len(times), 50)):
        start = time.perf_counter()
        again(params, window).block_until_ready()
        slower.append(1e6 * (time.perf_counter() - start))
    print(f"without a state, over the {seen} samples it sees: {statistics.median(slower):.0f} us")
    return 0


if __name__ == "__main__":
    sys.exit(main())
