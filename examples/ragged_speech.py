"""A speech encoder like wav2vec's on clips of different lengths, each equal to the clip alone.

Seven strided convolutions take 400 samples to one vector every 320 samples. In a padded batch the
frames near the end of a shorter clip would see the padding, or a bias would fill it; here every
clip is what it is alone, whoever shares its batch. The chain's plan says which lengths to compile
for.
"""

import argparse
import sys
import time

import jax
import numpy as np

import jconv
from jconv import ragged

LAYERS = [(10, 5), (3, 2), (3, 2), (3, 2), (3, 2), (2, 2), (2, 2)]  # kernel, stride


def init(rng, width):
    params, channels = [], 1
    for kernel, _ in LAYERS:
        shape = (kernel, channels, width)
        w = rng.normal(0, np.sqrt(2 / (kernel * channels)), shape).astype(np.float32)
        params.append((w, np.full(width, 0.05, np.float32)))
        channels = width
    return params


def encode(params, x, sizes):
    for (w, bias), (_, stride) in zip(params, LAYERS, strict=True):
        x, sizes = ragged.conv(x, w, sizes, stride=stride, padding="VALID")
        x = jax.nn.gelu(x + bias)
    return ragged.mask(x, sizes), sizes


@jax.jit
def encode_alone(params, clip):
    x = clip[None]
    for (w, bias), (_, stride) in zip(params, LAYERS, strict=True):
        x = jax.nn.gelu(jconv.conv(x, w, stride=stride, padding="VALID") + bias)
    return x[0]


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--clips", type=int, default=6, help="clips in the batch (default 6)")
    parser.add_argument("--width", type=int, default=32, help="channels (default 32)")
    options = parser.parse_args()

    rng = np.random.default_rng(0)
    lengths = rng.integers(4000, 16000, options.clips)
    clips = [rng.normal(0, 1, (length, 1)).astype(np.float32) for length in lengths]
    params = init(rng, options.width)

    layers = [
        ("conv", {"features": options.width, "kernel": k, "stride": s, "padding": "VALID"})
        for k, s in LAYERS
    ]
    chain = jconv.plan_chain((1, 16000, 1), layers)
    print(f"a frame sees {chain.receptive_field[0]} samples, one every {chain.rows[-1].step[0]}")
    corpus = rng.integers(4000, 16000, 2000)
    for most in (1, 4):
        largest, padding = chain.buckets(corpus, most=most)
        ends = ", ".join(str(size[0]) for size in largest)
        print(f"2000 clips, {most} bucket(s), up to {ends} samples: {padding:.0%} is padding")

    x, sizes = ragged.stack(clips)
    run = jax.jit(encode)
    frames, counts = jax.block_until_ready(run(params, x, sizes))
    start = time.perf_counter()
    jax.block_until_ready(run(params, x, sizes))
    print(f"the batch of {len(clips)} clips: {1e3 * (time.perf_counter() - start):.1f} ms")

    worst = 0.0
    for clip, made, count in zip(clips, frames, counts, strict=True):
        alone = np.asarray(encode_alone(params, clip))
        assert len(alone) == count[0]
        worst = max(worst, float(np.abs(made[: len(alone)] - alone).max() / np.abs(alone).max()))
        assert not np.asarray(made[len(alone) :]).any()
    print(f"frames of each clip: {[int(count[0]) for count in counts]}")
    print(f"largest difference from each clip alone: {worst:.1e} of its largest value")

    # The usual way: the padded batch as it stands, cut to the frames of each clip.
    padded = encode_alone_batch(params, x)
    leaks = max(
        float(np.abs(padded[n, : int(c[0])] - frames[n, : int(c[0])]).max())
        for n, c in enumerate(counts)
    )
    pooled = np.asarray(frames.sum(1) / counts)
    wrong = np.abs(np.asarray(padded.mean(1)) - pooled).max() / np.abs(pooled).max()
    print(f"without sizes: frames are off by {leaks:.1e} (VALID), a clip's mean by {wrong:.0%}")
    return 0


@jax.jit
def encode_alone_batch(params, x):
    return jax.vmap(lambda clip: encode_alone(params, clip))(x)


if __name__ == "__main__":
    sys.exit(main())
