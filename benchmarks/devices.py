"""Training steps split over devices, jconv's beside lax's: time, temporaries, bytes that are sent.

    python benchmarks/devices.py [--rounds 15] [--rows NAME ...] [--tiny] [--out FOLDER]

Each row is the value and the gradients of two layers in both filters, on eight devices that one
process simulates, and on two processes of one device each that talk by gloo. Gradients are first
compared with lax's on one device; then both take turns, each time another one first. Bytes are the
operands of the collectives in the compiled program, on one device; temporaries are what XLA sets
aside there. Where the machine has something else to do, the time that the first process has on the
processor says more than the time that passes. It writes devices.json and devices.md into
results/MACHINE-JAX/. No row is to take more than 1.1 of lax's time.
"""

from __future__ import annotations

import argparse
import json
import re
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from jax.sharding import AxisType, NamedSharding
from jax.sharding import PartitionSpec as P

import jconv
from jconv._bench.machine import header, use_threads

RESULTS = Path(__file__).parent / "results"
TARGET = 1.1
# x, the two filters, their strides, and which dimensions of x the mesh axes split.
ROWS = {
    "batch, 64 channels": ((64, 32, 32, 64), 3, (64, 64), (1, 2), ["a"]),
    "batch, 128 channels": ((32, 28, 28, 128), 3, (128, 128), (1, 1), ["a"]),
    "rows, 16 to 64 channels": ((1, 256, 256, 16), 3, (32, 64), (2, 1), [None, "a"]),
    "rows, 64 channels": ((2, 128, 64, 64), 3, (64, 64), (1, 1), [None, "a"]),
    "batch and rows": ((8, 64, 64, 32), 5, (64, 64), (2, 1), ["a", "b"]),
    "volume": ((1, 32, 32, 32, 16), 3, (32, 32), (2, 1), [None, "a"]),
}
TINY = {"batch": ((8, 16, 16, 8), 3, (8, 8), (1, 2), ["a"])}
ROWS_TINY = {**TINY, "rows": ((2, 32, 16, 8), 3, (8, 8), (1, 2), [None, "a"])}
SETUPS = {"8 devices of one process": (1, 8), "2 processes of one device": (2, 1)}
PATIENCE = 3600  # seconds for all rows of a setup
ITEM = {"f32": 4, "s32": 4, "u32": 4, "bf16": 2, "f16": 2, "pred": 1, "f64": 8, "s64": 8, "u8": 1}
KINDS = "all-gather|all-reduce|all-to-all|collective-permute|reduce-scatter"


def by_jconv(x, w, stride):
    return jconv.conv(x, w, stride=stride)


def by_lax(x, w, stride):
    spatial = "DHW"[-(x.ndim - 2) :]
    dims = (f"N{spatial}C", f"{spatial}IO", f"N{spatial}C")
    strides = (stride,) * (x.ndim - 2)
    return lax.conv_general_dilated(x, w, strides, "SAME", dimension_numbers=dims)


def step(conv, strides):
    def loss(filters, x):
        for w, stride in zip(filters, strides, strict=True):
            x = jax.nn.silu(conv(x, w, stride))
        return jnp.mean(x**2)

    return jax.value_and_grad(loss)


def mesh_for(spec, devices):
    """All devices over one axis, or in two where two dimensions are split."""
    shape = {"a": devices} if "b" not in spec else {"a": 2, "b": devices // 2}
    return jax.make_mesh(
        tuple(shape.values()), tuple(shape), axis_types=(AxisType.Auto,) * len(shape)
    )


def arrays_of(row):
    x, kernel, channels, _, _ = row
    rng = np.random.default_rng(0)
    shapes, before = [], x[-1]
    for after in channels:
        shapes.append((*(kernel,) * (len(x) - 2), before, after))
        before = after
    scaled = [
        rng.normal(0, np.prod(shape[:-1]) ** -0.5, shape).astype(np.float32) for shape in shapes
    ]
    return rng.normal(size=x).astype(np.float32), scaled


def sent(text):
    """Bytes of the collectives' operands in a compiled program, by kind."""
    sizes = {}
    for name, made in re.findall(r"^\s*(?:ROOT )?%?([\w.-]+) = (\(.*?\)|\S+) [\w-]+\(", text, re.M):
        sizes[name] = sum(
            ITEM.get(kind, 4) * int(np.prod([int(n) for n in shape.split(",") if n]))
            for kind, shape in re.findall(r"(\w+)\[([\d,]*)\]", made)
        )
    found = {}
    for kind, operands in re.findall(rf" ({KINDS})(?:-start)?\((.*?)\)", text):
        names = [operand.split()[-1].lstrip("%") for operand in operands.split(",")]
        found[kind] = found.get(kind, 0) + sum(sizes.get(name, 0) for name in names)
    return found


def measure(name, row, rounds):
    """One row on the devices of all processes."""
    _, _, _, strides, spec = row
    x, filters = arrays_of(row)
    mesh = mesh_for(spec, len(jax.devices()))
    lies = NamedSharding(mesh, P(*spec))
    placed = jax.make_array_from_callback(x.shape, lies, lambda index: x[index])
    whole = [
        jax.make_array_from_callback(w.shape, NamedSharding(mesh, P()), lambda index, w=w: w[index])
        for w in filters
    ]
    convs = {"lax": by_lax, "jconv": by_jconv}
    programs = {
        name: jax.jit(step(conv, strides)).lower(whole, placed).compile()
        for name, conv in convs.items()
    }
    here = jax.local_devices()[0]
    alone = [jax.device_put(w, here) for w in filters]
    _, want = jax.jit(step(by_lax, strides))(alone, jax.device_put(x, here))
    found = {"row": name, "off": {}, "seconds": {}, "temporaries": {}, "sent": {}}
    for who, program in programs.items():
        _, grads = jax.block_until_ready(program(whole, placed))
        found["off"][who] = max(
            float(np.abs(np.asarray(a) - np.asarray(b)).max() / np.abs(np.asarray(b)).max())
            for a, b in zip(grads, want, strict=True)
        )
        found["temporaries"][who] = program.memory_analysis().temp_size_in_bytes
        found["sent"][who] = sent(program.as_text())
    times = {who: [] for who in programs}
    work = {who: [] for who in programs}
    for turn in range(rounds + 1):
        order = list(programs) if turn % 2 else list(programs)[::-1]
        for who in order:
            begun, worked = time.perf_counter(), time.process_time()
            jax.block_until_ready(programs[who](whole, placed))
            if turn:  # the first turn warms up
                times[who].append(time.perf_counter() - begun)
                work[who].append(time.process_time() - worked)
    found["seconds"], found["processor_seconds"] = times, work
    found["ratio"], found["processor_ratio"] = quartiles(times), quartiles(work)
    return found


def quartiles(seconds):
    """The quartiles of jconv's time over lax's of the same turn."""
    ratios = [ours / theirs for ours, theirs in zip(seconds["jconv"], seconds["lax"], strict=True)]
    return statistics.quantiles(ratios, n=4) if len(ratios) > 1 else ratios * 3


# Processes -------------------------------------------------------------------------------------


def run_process(options):
    """One process of a setup: the first one writes what it found."""
    processes, devices = SETUPS[options.setup]
    jax.config.update("jax_num_cpu_devices", devices)
    if processes > 1:
        jax.config.update("jax_cpu_collectives_implementation", "gloo")
        jax.distributed.initialize(f"127.0.0.1:{options.port}", processes, options.process)
    rows = ROWS_TINY if options.tiny else ROWS
    found = []
    for name in options.rows or rows:
        found.append(measure(name, rows[name], options.rounds))
        if options.process == 0:
            options.result.write_text(json.dumps(found), encoding="utf-8")
    if processes > 1:
        jax.distributed.shutdown()


def start(setup, options, result):
    """Run a setup's processes to their end, and leave none behind."""
    processes, _ = SETUPS[setup]
    with socket.socket() as server:
        server.bind(("127.0.0.1", 0))
        port = server.getsockname()[1]
    command = [sys.executable, __file__, f"--setup={setup}", f"--port={port}", f"--result={result}"]
    command += [f"--rounds={options.rounds}", *(["--tiny"] if options.tiny else [])]
    command += ["--rows", *options.rows] if options.rows else []
    running = [
        subprocess.Popen([*command, f"--process={at}"], stdout=subprocess.DEVNULL)
        for at in range(processes)
    ]
    deadline = time.monotonic() + PATIENCE
    try:
        while any(process.poll() is None for process in running):
            if time.monotonic() > deadline or any(process.poll() for process in running):
                break  # where one has failed the others would wait for it
            time.sleep(0.2)
    finally:
        for process in running:
            process.kill()
            process.wait()
    if any(process.returncode for process in running):
        raise SystemExit(f"{setup}: the processes ended with {[p.returncode for p in running]}")
    return [{"setup": setup, **row} for row in json.loads(result.read_text(encoding="utf-8"))]


# The table -------------------------------------------------------------------------------------


def megabytes(amount):
    return f"{amount / 1e6:.1f}"


def table(found):
    yield (
        "| devices | step | lax ms | time, jconv / lax | processor time, jconv / lax "
        "| temporaries MB, lax / jconv | sent MB | gathered MB |"
    )
    yield "|---|---|---|---|---|---|---|---|"
    for row in found:
        low, middle, high = row["ratio"]
        both = ("lax", "jconv")
        temporaries = " / ".join(megabytes(row["temporaries"][who]) for who in both)
        kinds = {who: row["sent"][who] for who in both}
        whole = {
            who: sum(kinds[who].get(k, 0) for k in ("all-gather", "all-to-all")) for who in both
        }
        moved = " / ".join(megabytes(sum(kinds[who].values()) - whole[who]) for who in both)
        gathered = " / ".join(megabytes(whole[who]) for who in both)
        milliseconds = 1e3 * statistics.median(row["seconds"]["lax"])
        yield (
            f"| {row['setup']} | {row['row']} | {milliseconds:.0f} "
            f"| {middle:.2f} ({low:.2f} to {high:.2f}) | {row['processor_ratio'][1]:.2f} "
            f"| {temporaries} | {moved} | {gathered} |"
        )


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--rows", nargs="*", default=[])
    parser.add_argument("--tiny", action="store_true", help="two tiny rows, to see that it runs")
    parser.add_argument("--out", type=Path, help="default: benchmarks/results/MACHINE-JAX")
    for hidden in ("--setup", "--port", "--result", "--process"):
        kind = {"--result": Path, "--process": int}.get(hidden, str)
        parser.add_argument(hidden, type=kind, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.setup:
        run_process(options)
        return 0
    about = header(use_threads(None))
    slug = re.sub(r"[^a-z0-9.]+", "-", f"{about['device']} jax {about['jax']}".lower()).strip("-")
    folder = options.out or RESULTS / slug
    found = []
    with tempfile.TemporaryDirectory() as place:
        for setup in SETUPS:
            found += start(setup, options, Path(place) / "found.json")
    folder.mkdir(parents=True, exist_ok=True)
    lines = [*table(found)]
    wrong = [
        f"{row['setup']}, {row['row']}: {who} is off by {off:.0e} of the largest gradient"
        for row in found
        for who, off in row["off"].items()
        if off > 1e-4
    ]
    kept = {"about": about, "rows": found}
    (folder / "devices.json").write_text(json.dumps(kept, separators=(",", ":")) + "\n", "utf-8")
    (folder / "devices.md").write_text("\n".join(lines) + "\n", "utf-8")
    slow = [row for row in found if row["ratio"][1] > TARGET]
    print("\n".join([*lines, *wrong, f"{len(slow)} rows above {TARGET} of lax's time"]))
    return 1 if any("jconv is off" in line for line in wrong) else 0


if __name__ == "__main__":
    sys.exit(main())
