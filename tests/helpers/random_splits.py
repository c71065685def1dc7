"""Random convolutions split in random ways, compared bit by bit with one device.

Run as a script with a seed and a number of cases, it draws that many and stops at the first that is
wrong: ``python tests/helpers/random_splits.py 0 200 Auto``. Values are small integers, so
every order of summation gives the same floats under policy "exact".
"""

from __future__ import annotations

import random
import re
import sys
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import AxisType, NamedSharding
from jax.sharding import PartitionSpec as P

import jconv

NAMES = ("a", "b", "c")


def integers(shape: Any, seed: int) -> jax.Array:
    return jnp.asarray(np.random.default_rng(seed).integers(-3, 4, shape), jnp.float32)


def draw(rng: random.Random) -> dict[str, Any]:
    """A random call, mesh and split; sizes that an axis splits are divisible by it."""
    mesh = rng.choice([(8,), (2, 4), (4, 2), (2, 2, 2), (1, 8), (2, 2), (2,), (3, 2)])
    rank = rng.choice([1, 2, 2, 2, 3])
    groups = rng.choice([1, 1, 1, 2, 4, 8])
    shape = {
        "n": rng.choice([1, 2, 3, 8]),
        "c": rng.choice([1, 2, 4, 8]),
        "f": rng.choice([1, 2, 8]),
    }
    rows = [rng.randint(5, 20) for _ in range(rank)]
    taps = [rng.randint(1, 5) for _ in range(rank)]
    dims = {"x": ["n", *range(rank), "C"], "w": [None] * rank + ["c", "F"]}
    spec: dict[str, list[list[str]]] = {name: [[] for _ in d] for name, d in dims.items()}
    sizes = dict(zip(NAMES, mesh, strict=False))
    for name in sizes:
        for array in ("x", "w"):
            if rng.random() < 0.55:
                at = rng.randrange(len(dims[array]))
                if dims[array][at] is not None or rng.random() < 0.1:
                    spec[array][at].append(name)
    for array, entries in spec.items():
        for role, names in zip(dims[array], entries, strict=True):
            parts = int(np.prod([sizes[n] for n in names]))
            if role is None:
                names.clear()
            elif isinstance(role, int):
                rows[role] *= 1 if rows[role] % parts == 0 else parts
            else:
                size = shape[role.lower()]
                shape[role.lower()] *= 1 if size % parts == 0 else parts
    mode = rng.choice(["zeros"] * 5 + ["circular", "reflect", "edge"])
    settings: dict[str, Any] = {
        "stride": [rng.choice([1, 1, 2, 3, 4]) for _ in range(rank)],
        "dilation": [rng.choice([1, 1, 2, 3]) for _ in range(rank)],
        "padding": rng.choice(
            [
                *["SAME"] * 3,
                *["SAME_LOWER", "VALID", "CAUSAL"],
                [(rng.randint(-2, 4), rng.randint(-2, 4)) for _ in range(rank)],
            ]
        ),
        "groups": groups,
        "padding_mode": mode,
    }
    if mode == "zeros" and rng.random() < 0.25:
        settings["input_dilation"] = [rng.choice([1, 2, 3]) for _ in range(rank)]
    return {
        "mesh": mesh,
        "x": (shape["n"], *rows, groups * shape["c"]),
        "w": (*taps, shape["c"], groups * shape["f"]),
        "specs": {k: tuple(tuple(names) for names in v) for k, v in spec.items()},
        "settings": settings,
        "out": rng.random() < 0.5,
        "second": rng.random() < 0.3,
    }


def quantities(case: dict[str, Any]) -> Any:
    """The function of x, w and g that is compared: a step, and sometimes its derivative."""

    def step(x: Any, w: Any, g: Any) -> Any:
        y, pull = jax.vjp(lambda x, w: jconv.conv(x, w, **case["settings"]), x, w)
        return y, *pull(g)

    def both(x: Any, w: Any, g: Any) -> Any:
        results = step(x, w, g)
        if not case["second"]:
            return results

        def slope(x: Any, w: Any, g: Any) -> Any:
            return sum(jnp.sum(d) for d in step(x, w, g)[1:])

        return results, jax.grad(slope, (0, 1, 2))(x, w, g)

    return both


def collectives(text: str) -> dict[str, int]:
    """How many of each collective a compiled program holds."""
    names = ("all-gather", "all-reduce", "collective-permute", "all-to-all", "reduce-scatter")
    text = re.sub(r"/\*.*?\*/", "", text)  # the places of a long tuple's entries
    # One collective that was made of several has a tuple for its result.
    return {name: len(re.findall(rf"= [^=\n]*? {name}(?:-start)?\(", text)) for name in names}


def check(case: dict[str, Any], kind: str) -> str:
    """Compare a case with one device; "ambiguous" where jconv asks for out_sharding."""
    x, w = integers(case["x"], 0), integers(case["w"], 1)
    fn = quantities(case)
    with jconv.policy("exact"):
        y = jax.eval_shape(lambda x, w: jconv.conv(x, w, **case["settings"]), x, w)
        g = integers(y.shape, 2)
        want = jax.jit(fn)(x, w, g)
        names = NAMES[: len(case["mesh"])]
        mesh = jax.make_mesh(
            case["mesh"], names, axis_types=(getattr(AxisType, kind),) * len(names)
        )

        def put(array: Any, spec: Any) -> Any:
            return jax.device_put(array, NamedSharding(mesh, P(*(n or None for n in spec))))

        x, w = put(x, case["specs"]["x"]), put(w, case["specs"]["w"])
        try:
            y = jax.jit(lambda x, w: jconv.conv(x, w, **case["settings"]))(x, w)
        except jconv.ConvError as error:
            if "reshard" in str(error):
                return "ambiguous"
            raise
        np.testing.assert_array_equal(y, jax.tree.leaves(want)[0])
        if kind == "Explicit" or case["out"]:
            g = jax.device_put(g, y.sharding)
        elif kind == "Auto":
            g = put(g, ())
        got = jax.jit(fn)(x, w, g)
    for have, expected in zip(jax.tree.leaves(got), jax.tree.leaves(want), strict=True):
        np.testing.assert_array_equal(have, expected)
    return "equal"


def main() -> None:
    jax.config.update("jax_num_cpu_devices", 8)
    seed, count, kind = int(sys.argv[1]), int(sys.argv[2]), sys.argv[3]
    found: dict[str, int] = {}
    for number in range(seed, seed + count):
        case = draw(random.Random(number))
        try:
            said = check(case, kind)
        except jconv.ConvError as error:
            said = f"ConvError {error.argument}"
        except BaseException as error:
            print(number, case)
            print(type(error), str(error)[:3000])
            said = "WRONG"
            if len(sys.argv) < 5:
                raise
        found[said] = found.get(said, 0) + 1
        print(number, said, flush=True)
    print(kind, found)


if __name__ == "__main__":
    main()
