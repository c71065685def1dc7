"""What a plan holds: the facts of one convolution, below its table, its pictures and its calls."""

from __future__ import annotations

import dataclasses
from typing import Any

from jconv._core.geometry import Shape, Size, product
from jconv._core.layout import Layout
from jconv._core.problem import Borders, Problem
from jconv._devices.mesh_plan import LegDevices
from jconv._plan.leg import Leg, plain
from jconv._planner.choose import promise


@dataclasses.dataclass(frozen=True, eq=False)
class PlanRecord:
    """The fields of a `Plan`, which says what each of them is; two are equal if they read alike."""

    op: str
    x_shape: Shape
    w_shape: Shape
    y_shape: Shape
    padding: tuple[tuple[Size, Size], ...]
    remainder: Shape
    effective_kernel: Shape
    receptive_field: Shape
    dtype: str
    platform: str
    settings: tuple[tuple[str, Any], ...]
    constraints: tuple[str, ...]
    problem: Problem
    layout: Layout
    leg_records: tuple[tuple[str, Leg], ...]
    notes: tuple[str, ...] = ()
    mesh: tuple[tuple[str, Size], ...] = ()
    specs: tuple[tuple[str, Any], ...] = ()
    device_records: tuple[tuple[str, LegDevices], ...] = ()
    borders: Borders | None = None

    @property
    def devices(self) -> dict[str, LegDevices]:
        """For every leg what one device of the mesh holds, runs and sends; empty without a mesh."""
        return dict(self.device_records)

    @property
    def legs(self) -> dict[str, Leg]:
        """What each leg will do, by the leg's name."""
        return dict(self.leg_records)

    @property
    def leg(self) -> str:
        """The leg of the convolution that this call runs."""
        return self.problem.leg

    @property
    def promise(self) -> str:
        """What the policy in force promises of each number in a result."""
        return promise(self.problem, self.platform)

    @property
    def keywords(self) -> dict[str, Any]:
        """The settings as keywords of the operation."""
        return dict(self.settings)

    @property
    def parameters(self) -> Size:
        """Weights in the filter."""
        return product(self.w_shape)

    def to_dict(self) -> dict[str, Any]:
        """Everything in the plan, in types that JSON knows; symbolic sizes as text."""
        fields = ("op", "x_shape", "w_shape", "y_shape", "padding", "remainder", "effective_kernel")
        described = {name: plain(getattr(self, name)) for name in fields}
        return {
            **described,
            "receptive_field": plain(self.receptive_field),
            "parameters": plain(self.parameters),
            "dtype": self.dtype,
            "platform": self.platform,
            "settings": {name: plain(value) for name, value in self.settings},
            "constraints": list(self.constraints),
            "policy": self.problem.policy,
            "promise": self.promise,
            "legs": {name: leg.to_dict() for name, leg in self.leg_records},
            "notes": list(self.notes),
            **self._on_a_mesh(),
        }

    def _on_a_mesh(self) -> dict[str, Any]:
        if not self.mesh:
            return {}
        return {
            "mesh": {name: plain(size) for name, size in self.mesh},
            "specs": {name: plain(spec) for name, spec in self.specs},
            "devices": {name: leg.to_dict() for name, leg in self.device_records},
        }

    def _key(self) -> str:
        return repr((self.to_dict(), self.problem.policy, self.problem.precision))

    def __eq__(self, other: object) -> bool:
        # Symbols of two scopes refuse to be compared, so plans are compared as they read.
        return isinstance(other, PlanRecord) and self._key() == other._key()

    def __hash__(self) -> int:
        return hash(self._key())
