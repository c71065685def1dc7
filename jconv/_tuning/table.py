"""The tuning table: measured times as a value, a context, a report and a file."""

from __future__ import annotations

import dataclasses
import functools
import math
import os
import threading
from collections.abc import Mapping
from types import TracebackType
from typing import Any

from jconv._check.dtypes import is_number_dtype
from jconv._check.settings import LIMIT, PRECISIONS
from jconv._core.geometry import Axis
from jconv._core.problem import LEGS, Problem
from jconv._plan.table import table, wrap
from jconv._planner.policy import tuning_context
from jconv._tuning.device import Environment, this_environment
from jconv._tuning.file import read_file, write_file

_entered = threading.local()  # the contexts that each thread is in, the innermost last


@dataclasses.dataclass(frozen=True)
class Measurement:
    """One leg of one convolution: the algorithm predicted to be fastest, and all measured times.

    `chosen` is what policy "auto" chooses without a table.
    """

    problem: Problem
    chosen: str
    seconds: tuple[tuple[str, float], ...]  # the fastest first

    @property
    def best(self) -> str:
        return self.seconds[0][0]

    @property
    def gain(self) -> float:
        """The time of the predicted choice over the time of the fastest algorithm."""
        seconds = dict(self.seconds)
        return seconds[self.chosen] / seconds[self.best] if self.chosen in seconds else 1.0


@dataclasses.dataclass(frozen=True, repr=False)
class TuningTable:
    """Measured times of algorithms on one device, as `jconv.autotune` returns them.

    Within `with table:` the fastest measured algorithm runs wherever the policy allows it, also in
    gradients and ahead-of-time lowering of what was traced there. An inner table hides an outer
    one; `a | b` holds both, and b's measurements win. Convolutions that were not measured are
    planned as without a table.

    Attributes:
        environment: the platform, the device and the release of JAX that were measured.
        measurements: one for each leg of each convolution.

    Examples:
        >>> import jax, jax.numpy as jnp, jconv
        >>> x, w = jnp.ones((1, 6, 6, 2)), jnp.ones((3, 3, 2, 4))
        >>> table = jconv.autotune(lambda x, w: jconv.conv(x, w).sum(), x, w, rounds=1)
        >>> [m.problem.leg for m in table.measurements]
        ['conv', 'input_grad', 'filter_grad']
        >>> with table:
        ...     grads = jax.jit(jax.grad(lambda x, w: jconv.conv(x, w).sum(), (0, 1)))(x, w)
    """

    environment: Environment
    measurements: tuple[Measurement, ...] = ()

    # --- as the planner sees it ---------------------------------------------------------

    @functools.cached_property
    def _seconds(self) -> dict[Problem, dict[str, float]]:
        return {m.problem: dict(m.seconds) for m in self.measurements}

    def times(self, problem: Problem, platform: str) -> Mapping[str, float]:
        """Seconds by algorithm; nothing where this problem was not measured on this platform."""
        return self._seconds.get(problem.bare, {}) if self.environment.covers(platform) else {}

    @functools.cached_property
    def _hash(self) -> int:
        return hash((self.environment, self.measurements))

    def __getstate__(self) -> dict[str, Any]:
        """What is pickled: the fields alone, since hashes of strings differ between processes."""
        return {field.name: getattr(self, field.name) for field in dataclasses.fields(self)}

    def __hash__(self) -> int:  # kept, since a problem with a table is hashed on every call
        return self._hash

    # --- as a context -------------------------------------------------------------------

    def __enter__(self) -> TuningTable:
        context = tuning_context(self)
        context.__enter__()
        if not hasattr(_entered, "contexts"):
            _entered.contexts = []
        _entered.contexts.append(context)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        _entered.contexts.pop().__exit__(kind, error, trace)

    # --- as a value ---------------------------------------------------------------------

    def __len__(self) -> int:
        return len(self.measurements)

    def __bool__(self) -> bool:
        return True  # an empty table is a table

    def __or__(self, other: TuningTable) -> TuningTable:
        if not isinstance(other, TuningTable) or other.environment != self.environment:
            return NotImplemented
        newer = {m.problem for m in other.measurements}
        kept = tuple(m for m in self.measurements if m.problem not in newer)
        return dataclasses.replace(self, measurements=kept + other.measurements)

    def __repr__(self) -> str:  # it stands in every jaxpr that was traced under it
        return f"TuningTable({len(self)} legs on {self.environment})"

    def __str__(self) -> str:
        """One line for each leg, under its convolution, in a hundred columns."""
        lines = wrap(f"{len(self)} legs measured on {self.environment}")
        header = ["leg", "chosen now", "best", "now ms", "best ms", "gain", "others ms"]
        rows = [_row(m) for m in self.measurements]
        if not rows:
            return lines[0]
        head, rule, *body = table(header, rows, left=3)
        lines += [head, rule]
        before = None
        for measurement, line in zip(self.measurements, body, strict=True):
            title = describe(measurement.problem)
            if title != before:
                lines += wrap(title)
            lines.append(line)
            before = title
        return "\n".join(lines)

    def to_dict(self) -> dict[str, Any]:
        """Everything in the table, in types that JSON knows."""
        return {
            **dataclasses.asdict(self.environment),
            "measurements": [
                {
                    "problem": _written(m.problem),
                    "chosen": m.chosen,
                    "seconds": dict(m.seconds),
                }
                for m in self.measurements
            ],
        }

    # --- as a file ----------------------------------------------------------------------

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write the table to a JSON file, whole or not at all.

        Measurements in the file for other devices and releases of JAX are kept.
        """
        write_file(path, dataclasses.asdict(self.environment), self.to_dict())

    @classmethod
    def load(cls, path: str | os.PathLike[str]) -> TuningTable:
        """The file's measurements for this device and this release of JAX.

        If the file is not a tuning file, or only holds measurements for other devices or
        releases, there is a warning and the table is empty.

        Raises:
            FileNotFoundError: if there is no such file.
        """
        environment = this_environment()
        found = read_file(path, dataclasses.asdict(environment), _measurements)
        return cls(environment, found)


def describe(problem: Problem) -> str:
    """A convolution in one line: 8x56x56x64 * 3x3x64x128, stride 2."""
    sizes = ["x".join(map(str, problem.shape(slot))) for slot in ("x", "w")]
    facts = [" * ".join(sizes)]
    for name, letter in (("stride", "s"), ("dilation", "d"), ("input dilation", "b")):
        values = [getattr(axis, letter) for axis in problem.axes]
        if set(values) - {1}:
            alike = len(set(values)) == 1
            facts.append(f"{name} {values[0] if alike else 'x'.join(map(str, values))}")
    if problem.groups > 1:
        facts.append(f"{problem.groups} groups")
    if problem.x_dtype != "float32":
        facts.append(problem.x_dtype)
    return ", ".join(facts)


def _row(measurement: Measurement) -> list[str]:
    seconds = dict(measurement.seconds)
    now, best = measurement.chosen, measurement.best
    rest = sorted(set(seconds) - {now, best}, key=seconds.__getitem__)
    others = ", ".join(f"{name} {_ms(seconds[name])}" for name in rest)
    return [
        f"  {measurement.problem.leg}",
        now,
        best,
        _ms(seconds[now]) if now in seconds else "-",
        _ms(seconds[best]),
        f"{measurement.gain:.2f}x",
        others if len(others) <= 30 else others[:26] + " ...",
    ]


def _ms(seconds: float) -> str:
    return f"{seconds * 1e3:.3g}" if seconds < 1 else f"{seconds * 1e3:.0f}"


# --- problems as JSON ---------------------------------------------------------------------

_LEFT_OUT = {"policy", "workspace", "runs", "tuning", "orders", "high", "frugal"}


def _written(problem: Problem) -> dict[str, Any]:
    fields = dataclasses.asdict(problem.bare)
    return {name: value for name, value in fields.items() if name not in _LEFT_OUT}


def _measurements(section: Mapping[str, Any]) -> tuple[Measurement, ...]:
    """The measurements in a file's section; ValueError, TypeError or KeyError if it is none."""
    return tuple(_measurement(entry) for entry in section["measurements"])


def _check_measured(problem: Problem) -> None:
    """ValueError for a problem that cannot have been measured."""
    pads = [axis.p0 for axis in problem.axes]
    sizes = [n for axis in problem.axes for n in (axis.i, axis.k, axis.o)]
    sizes += [problem.n, problem.c, problem.f, *problem.vmapped]
    factors = [n for axis in problem.axes for n in (axis.s, axis.b, axis.d)] + [problem.groups]
    for numbers, low in ((pads, -LIMIT), (sizes, 0), (factors, 1)):
        if not all(type(n) is int and low <= n <= LIMIT for n in numbers):
            raise ValueError("its sizes are no whole numbers in range")
    if not problem.axes or problem.leg not in LEGS:
        raise ValueError("a measured problem is a leg of a convolution")
    dtypes = (problem.x_dtype, problem.w_dtype, problem.y_dtype)
    if not all(isinstance(name, str) and is_number_dtype(name) for name in dtypes):
        raise ValueError("its dtypes hold no numbers")
    if len(problem.precision) != 2 or not set(problem.precision) <= set(PRECISIONS):
        raise ValueError("its precisions are none")


def _measurement(entry: Mapping[str, Any]) -> Measurement:
    fields = dict(entry["problem"])
    axes = tuple(Axis(**axis) for axis in fields.pop("axes"))
    vmapped, precision = tuple(fields.pop("vmapped")), tuple(fields.pop("precision"))
    problem = Problem(axes=axes, vmapped=vmapped, precision=precision, **fields)
    _check_measured(problem)
    if not isinstance(entry["chosen"], str):
        raise ValueError("an algorithm is a name")
    seconds = {str(name): float(value) for name, value in entry["seconds"].items()}
    if not seconds or not all(0 < value < math.inf for value in seconds.values()):
        raise ValueError("a measurement is a time")
    ranked = sorted(seconds.items(), key=lambda item: item[1])
    return Measurement(problem, entry["chosen"], tuple(ranked))
