"""jconv doctor: this machine's JAX and devices, and known slow or wrong cases of this JAX."""

from __future__ import annotations

import importlib.metadata
import platform
import sys
from typing import Any

import jax

from jconv._algorithms import algorithms
from jconv._core import jax_hooks
from jconv._planner.policy import current_policy, current_tuning

TESTED = ((0, 10, 0), (0, 12, 99))
"""The oldest and the newest JAX that the suite has run on."""


def examine() -> dict[str, Any]:
    """Findings by title, each a line or a list of lines."""
    policy = current_policy()
    workspace = "no limit" if policy.workspace is None else f"{policy.workspace} bytes"
    runs = "" if policy.runs is None else f", {policy.runs} runs"
    return {
        "versions": [
            f"jconv {_version('jconv')}",
            f"jax {jax.__version__}, jaxlib {_version('jaxlib')}, numpy {_version('numpy')}",
            f"python {platform.python_version()} on {platform.system()} {platform.machine()}",
        ],
        "devices": [f"{device.platform}: {device.device_kind}" for device in jax.devices()],
        "host": _host(),
        "policy": f"{policy.rule}, workspace {workspace}{runs}",
        "algorithms": ", ".join(algorithms()),
        "tuning table": _tuning(),
        "precision": str(jax.config.jax_default_matmul_precision or "default"),  # pyright: ignore[reportAttributeAccessIssue]
        "known here": known(),
    }


def _tuning() -> str:
    table = current_tuning()
    return "none in use" if table is None else f"in use: {table!r}"


def _version(name: str) -> str:
    try:
        return importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        return "not installed"


def _host() -> str:
    if jax_hooks.HOOKS is None:
        return "custom_vjp: this JAX lacks the interpreter hooks, so forward mode is off"
    return "primitives, closed under every transformation"


def _numbers(version: str) -> tuple[int, ...]:
    return tuple(int(part) for part in version.split(".")[:3] if part.isdigit())


def known() -> list[str]:
    """What the installed JAX is known to do badly, and what jconv does about it."""
    lines = []
    version = _numbers(jax.__version__)
    if not TESTED[0] <= version <= TESTED[1]:
        lines.append(f"jax {jax.__version__} is outside the range that jconv is tested with")
    lines += [
        "lax: gradients of some strided convolutions abort the process; jconv routes around it",
        "lax: strided gradients cannot be exported with symbolic sizes; jconv's can",
        "lax: filter gradients of spatially sharded inputs come out too large on meshes of two",
        "  axes; jconv's are right, but where the mesh is named by jit's in_shardings alone",
    ]
    if any(device.platform == "cpu" for device in jax.devices()):
        lines += [
            "lax on cpu: grouped and depthwise gradients are up to 1000 times slower than need be",
            "lax on cpu: convolutions inside scan and while are slow unless channels come last;",
            "  jconv always hands XLA channels-last",
        ]
    if sys.platform == "linux" and any(device.platform == "cpu" for device in jax.devices()):
        lines += [
            "linux: temporaries above 32 MB cost a page fault a page on every call; processes that",
            "  run large convolutions gain from glibc's M_MMAP_MAX=0 (MALLOC_MMAP_MAX_=0 in the",
            "  environment, with MALLOC_TRIM_THRESHOLD_ set high)",
        ]
    return lines
