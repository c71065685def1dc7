"""`Environment`, the device and the release of JAX that measurements hold for."""

from __future__ import annotations

import dataclasses
import functools
import itertools
import os
import platform as host
from collections.abc import Iterable

import jax

_GPU = {"gpu", "cuda", "rocm"}  # JAX says "gpu" of a device and "cuda" where it lowers


@dataclasses.dataclass(frozen=True)
class Environment:
    """The device and JAX release of measurements, which hold for no other."""

    platform: str
    device: str
    jax: str

    def covers(self, platform: str) -> bool:
        return platform == self.platform or {platform, self.platform} <= _GPU

    def __str__(self) -> str:
        return f"{self.device}, jax {self.jax}"


def this_environment() -> Environment:
    """The environment of the default device."""
    device = jax.local_devices()[0]
    kind = f"{_processor()}, {_cores()} cores" if device.platform == "cpu" else device.device_kind
    return Environment(device.platform, kind, jax.__version__)


def _cores() -> int:
    """The cores that this process may use, which is how many threads XLA starts."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


@functools.cache
def _processor() -> str:
    plain = host.processor() or host.machine()
    try:
        with open("/proc/cpuinfo", encoding="utf-8") as file:
            return processor_in(file, plain)
    except OSError:  # not a Linux
        return plain


_DETAILS = {
    "cpu family": "family",
    "model": "model",
    "CPU implementer": "implementer",
    "CPU part": "part",
}


def processor_in(lines: Iterable[str], name: str) -> str:
    """The first core's name in /proc/cpuinfo, or `name` if there is none, with family and model.

    On a virtual machine the name alone may stand for processors of many generations.
    """
    details = []
    for line in itertools.takewhile(str.strip, lines):  # a blank line ends a core
        key, value = map(str.strip, line.partition(":")[::2])
        if key == "model name":
            name = value
        elif key in _DETAILS:
            details.append(f"{_DETAILS[key]} {value}")
    return f"{name} ({', '.join(details)})" if details else name
