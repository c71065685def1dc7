"""Training over several processes, such as one on each machine of a cluster.

The script starts its own processes on this machine; on a cluster a launcher does. The processes
find each other through `jax.distributed`, and their devices form one mesh: its first axis splits
the batch, its second the rows of the images. jconv runs in each of them on what JAX brings along;
the training step is the code of a single device. What one process alone computes is compared with
it, and the collectives of the compiled step are counted.
"""

import argparse
import re
import socket
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import AxisType, NamedSharding
from jax.sharding import PartitionSpec as P

import jconv

MESH = {"batch": 2, "rows": 2}
IMAGES, SIZE, CLASSES = 16, 32, 10
FILTERS = [(3, 3, 3, 64), (3, 3, 64, 64), (3, 3, 64, 64), (1, 1, 64, CLASSES)]
STRIDES = [1, 1, 2, 1]
PATIENCE = 240  # seconds that processes may take before they are given up


def init():
    rng = np.random.default_rng(0)
    return [
        jnp.asarray(rng.normal(0, (2 / np.prod(shape[:-1])) ** 0.5, shape), jnp.float32)
        for shape in FILTERS
    ]


def loss(params, x, labels):
    for w, stride in zip(params[:-1], STRIDES, strict=False):
        x = jax.nn.silu(jconv.conv(x, w, stride=stride))
    scores = jconv.conv(x, params[-1]).mean((1, 2))
    return -jnp.mean(jnp.sum(jax.nn.log_softmax(scores) * jax.nn.one_hot(labels, CLASSES), -1))


def train_step(params, x, labels):
    value, grads = jax.value_and_grad(loss)(params, x, labels)
    return [w - 0.3 * g for w, g in zip(params, grads, strict=True)], value, grads


def train(mesh, steps):
    """The losses, the first step's gradients and the text of the compiled step."""

    def part_of(images, index):
        return images[index]  # a real program would read no more than this part

    rng = np.random.default_rng(1)
    images = rng.normal(size=(IMAGES, SIZE, SIZE, 3)).astype(np.float32)
    labels = rng.integers(0, CLASSES, IMAGES)
    x, labels = (
        jax.make_array_from_callback(
            array.shape, NamedSharding(mesh, spec), lambda index, array=array: part_of(array, index)
        )
        for array, spec in ((images, P("batch", "rows")), (labels, P("batch")))
    )
    params = jax.device_put(init(), NamedSharding(mesh, P()))
    step = jax.jit(train_step).lower(params, x, labels).compile()
    losses, first = [], None
    for _ in range(steps):
        params, value, grads = step(params, x, labels)
        losses.append(float(value))
        first = first or [np.asarray(g) for g in grads]
    return losses, first, step.as_text()


def collectives(text):
    """For each kind of collective in a compiled program: how many, and bytes on one device."""
    found = {}
    kinds = "all-gather|all-to-all|all-reduce|collective-permute"
    for types, kind in re.findall(rf"= (.*?) ({kinds})(?:-start)?\(", text):
        sizes = re.findall(r"f32\[([\d,]*)\]", types)
        moved = sum(4 * int(np.prod([int(n) for n in size.split(",") if n])) for size in sizes)
        number, before = found.get(kind, (0, 0))
        found[kind] = number + 1, before + moved
    return found


def grid(sizes):
    return jax.make_mesh(tuple(sizes), tuple(MESH), axis_types=(AxisType.Auto,) * len(MESH))


def run_process(options):
    """One of the processes."""
    jax.config.update("jax_cpu_collectives_implementation", "gloo")  # GPUs and TPUs have their own
    jax.config.update("jax_num_cpu_devices", int(np.prod([*MESH.values()])) // options.processes)
    address = f"127.0.0.1:{options.port}"
    jax.distributed.initialize(address, options.processes, options.process)
    start = time.perf_counter()
    losses, grads, text = train(grid(MESH.values()), options.steps)
    if options.process == 0:
        print(
            f"{options.processes} processes of {jax.local_device_count()} devices: "
            f"loss {losses[0]:.4f} -> {losses[-1]:.4f}, {time.perf_counter() - start:.1f} s"
        )
        for kind, (number, moved) in collectives(text).items():
            print(f"    {number} {kind}, {moved} bytes")
        np.savez(options.result, *grads)
    jax.distributed.shutdown()


def free_port():
    with socket.socket() as server:
        server.bind(("127.0.0.1", 0))
        return server.getsockname()[1]


def start_processes(number, steps, result):
    """Start the processes, wait for all of them, and leave none behind."""
    command = [sys.executable, __file__, f"--steps={steps}", f"--processes={number}"]
    command += [f"--port={free_port()}", f"--result={result}"]
    running = [
        subprocess.Popen(
            [*command, f"--process={at}"], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        )
        for at in range(number)
    ]
    deadline = time.monotonic() + PATIENCE
    try:
        # Where one fails the others would wait for it: all are asked in turns.
        while any(process.poll() is None for process in running):
            if time.monotonic() > deadline or any(process.poll() for process in running):
                break
            time.sleep(0.1)
    finally:
        for process in running:
            process.kill()  # nothing happens to one that has ended
    said = [process.communicate() for process in running]
    for process, (out, err) in zip(running, said, strict=True):
        for line in out.splitlines():
            if not line.startswith("[Gloo]"):  # which tells of every connection
                print(line)
        if process.returncode:
            print(err[-3000:], file=sys.stderr)
    return not any(process.returncode for process in running)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--steps", type=int, default=5, help="training steps (default 5)")
    parser.add_argument("--processes", type=int, help="2 or 4 (default: both, one after the other)")
    parser.add_argument("--process", type=int, help=argparse.SUPPRESS)
    parser.add_argument("--port", type=int, help=argparse.SUPPRESS)
    parser.add_argument("--result", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.process is not None:
        return run_process(options)

    losses, alone, _ = train(grid((1, 1)), options.steps)
    print(f"one process: loss {losses[0]:.4f} -> {losses[-1]:.4f}")
    fine = True
    for number in [options.processes] if options.processes else [2, 4]:
        with tempfile.TemporaryDirectory() as folder:
            result = Path(folder) / "gradients.npz"
            if not start_processes(number, options.steps, result):
                return 1
            with np.load(result) as stored:
                grads = list(stored.values())
        off = max(np.abs(a - b).max() / np.abs(b).max() for a, b in zip(grads, alone, strict=True))
        words = "they agree" if off <= 1e-5 else "TOO MUCH"
        print(f"    gradients are off from one process by {off:.0e} of the largest: {words}")
        fine = fine and off <= 1e-5
    return 0 if fine else 1


if __name__ == "__main__":
    sys.exit(main())
