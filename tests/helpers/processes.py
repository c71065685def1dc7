"""Several processes on this machine under jax.distributed, each running a training step.

`run` starts them from a test. As a script, ``python tests/helpers/processes.py NUMBER AT PORT``
is one of them: it runs `CASES` on a mesh of four devices that the processes share, and the first
one compares the parts that it holds with what it computes alone.
"""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

HERE = Path(__file__)
DEVICES = 4
# Policy, the mesh axes of the batch and of the rows, and the layers' settings. "a" lies across the
# processes. Shapes are such that other algorithms than direct run on the parts.
CASES: dict[str, tuple[str, str, str, list[dict[str, Any]]]] = {
    "batch across, rows within": ("auto", "a", "b", [{}, {"stride": 2}]),
    "rows across, batch within": ("exact", "b", "a", [{"stride": 2}, {"padding": "VALID"}]),
}
X, FILTERS = (8, 32, 32, 64), [(3, 3, 64, 64), (3, 3, 64, 64)]


def run(number: int, patience: float = 240) -> list[dict[str, Any]]:
    """Starts `number` processes; what the first of them found, once for each case.

    Args:
        number: how many processes.
        patience: seconds after which they are killed.

    Raises:
        AssertionError: where a process failed or did not end; none is left running.
    """
    for attempt in (1, 2):
        codes, said = _start(number, patience)
        if not any(codes):
            lines = said[0][0].splitlines()
            return [json.loads(line) for line in lines if line.startswith("{")]
        errors = "\n".join(err[-3000:] for _, err in said)
        # Another program may take the port between its choice and its use.
        if attempt == 2 or "already in use" not in errors:
            raise AssertionError(f"the processes ended with {codes}\n{errors}")
    raise AssertionError  # the loop returns or raises


def _start(number: int, patience: float) -> tuple[list[int], list[tuple[str, str]]]:
    with socket.socket() as server:
        server.bind(("127.0.0.1", 0))
        port = server.getsockname()[1]
    environment = dict(os.environ)
    environment["PYTHONPATH"] = os.pathsep.join([str(HERE.parents[2]), *sys.path])
    command = [sys.executable, str(HERE), str(number)]
    deadline = time.monotonic() + patience
    with tempfile.TemporaryDirectory() as folder:
        # Files, since a pipe that nobody reads yet would stop a process that says much.
        files = [(Path(folder) / f"{at}.out", Path(folder) / f"{at}.err") for at in range(number)]
        running = []
        try:
            for at, (out, err) in enumerate(files):
                with out.open("w") as o, err.open("w") as e:
                    arguments = [*command, str(at), str(port)]
                    running.append(subprocess.Popen(arguments, stdout=o, stderr=e, env=environment))
            while any(process.poll() is None for process in running):
                failed = any(process.poll() for process in running)  # the others wait for it
                if failed or time.monotonic() > deadline:
                    break
                time.sleep(0.1)
        finally:
            for process in running:
                process.kill()  # does nothing to one that has ended
                process.wait()
        said = [(out.read_text(), err.read_text()) for out, err in files]
    return [process.returncode for process in running], said


# One of the processes --------------------------------------------------------------------------


def main(number: int, at: int, port: int) -> None:
    import jax

    jax.config.update("jax_cpu_collectives_implementation", "gloo")
    jax.config.update("jax_num_cpu_devices", DEVICES // number)
    jax.distributed.initialize(f"127.0.0.1:{port}", number, at)
    assert len(jax.devices()) == DEVICES
    for name in CASES:
        found = _step(name, compare=at == 0)
        if at == 0:
            print(json.dumps(found), flush=True)
    jax.distributed.shutdown()


def _step(name: str, *, compare: bool) -> dict[str, Any]:
    """A training step of one case: its collectives, and how far it is from one device's."""
    import jax
    import jax.numpy as jnp
    import numpy as np
    from jax.sharding import AxisType, NamedSharding
    from jax.sharding import PartitionSpec as P
    from random_splits import collectives

    import jconv

    policy, batch, rows, settings = CASES[name]
    draw = np.random.default_rng(0)
    arrays = [draw.integers(-1, 2, shape).astype(np.float32) for shape in (X, *FILTERS)]

    def loss(x: Any, *params: Any) -> Any:
        for w, keywords in zip(params, settings, strict=True):
            x = jconv.conv(x, w, **keywords)
        return jnp.sum(x * (jnp.arange(x.shape[1]) % 3 - 1)[:, None, None])

    step = jax.value_and_grad(loss, (0, 1, 2))
    mesh = jax.make_mesh((2, 2), ("a", "b"), axis_types=(AxisType.Auto,) * 2)
    specs = [P(batch, rows), P(), P()]
    with jconv.policy(policy):
        shardings = [NamedSharding(mesh, spec) for spec in specs]
        placed = [
            jax.make_array_from_callback(array.shape, sharding, lambda index, a=array: a[index])
            for array, sharding in zip(arrays, shardings, strict=True)
        ]
        out = (NamedSharding(mesh, P()), tuple(shardings))
        compiled = jax.jit(step, out_shardings=out).lower(*placed).compile()
        found = jax.block_until_ready(compiled(*placed))
        said: dict[str, Any] = {"case": name, "policy": policy}
        if not compare:
            return said
        want = jax.jit(step)(*(jax.device_put(a, jax.local_devices()[0]) for a in arrays))
    off = []
    for have, expected in zip(jax.tree.leaves(found), jax.tree.leaves(want), strict=True):
        whole = np.asarray(expected)
        parts = [np.abs(np.asarray(p.data) - whole[p.index]).max() for p in have.addressable_shards]
        off.append(float(max(parts) / max(np.abs(whole).max(), 1)))
    local = jconv.plan((X[0] // 2, X[1] // 2, *X[2:]), FILTERS[0], **settings[0], platform="cpu")
    said["algorithms"] = {leg: planned.algorithm for leg, planned in local.legs.items()}
    return {**said, "off": off, "collectives": collectives(compiled.as_text())}


if __name__ == "__main__":
    main(*map(int, sys.argv[1:]))
