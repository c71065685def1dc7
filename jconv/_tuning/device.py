"""What measurements hold for: a device and a release of JAX."""

from __future__ import annotations

import dataclasses
import os
import platform as host

import jax

_GPU = {"gpu", "cuda", "rocm"}  # JAX says "gpu" of a device and "cuda" where it lowers


@dataclasses.dataclass(frozen=True)
class Environment:
    """Where measurements were made; they say nothing of any other."""

    platform: str
    device: str
    jax: str

    def covers(self, platform: str) -> bool:
        return platform == self.platform or {platform, self.platform} <= _GPU

    def __str__(self) -> str:
        return f"{self.device}, jax {self.jax}"


def this_environment() -> Environment:
    """That of the default device."""
    device = jax.local_devices()[0]
    kind = f"{_processor()}, {_cores()} cores" if device.platform == "cpu" else device.device_kind
    return Environment(device.platform, kind, jax.__version__)


def _cores() -> int:
    """The cores that this process may use, which is how many threads XLA starts."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _processor() -> str:
    try:
        with open("/proc/cpuinfo", encoding="utf-8") as file:
            for line in file:
                if line.startswith("model name"):
                    return line.split(":", 1)[1].strip()
    except OSError:  # not a Linux
        pass
    return host.processor() or host.machine()
