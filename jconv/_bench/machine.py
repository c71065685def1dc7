"""The machine and the versions that a benchmark ran on, and its settings for the process."""

from __future__ import annotations

import ctypes
import importlib.metadata
import os
import platform
from collections.abc import Mapping
from typing import Any

import jax

import jconv
from jconv._bench import contestant_torch
from jconv._tuning.device import this_environment

_MALLOC = ("MALLOC_MMAP_MAX_", "MALLOC_MMAP_THRESHOLD_", "MALLOC_TRIM_THRESHOLD_", "LD_PRELOAD")


def use_threads(threads: int | None) -> int:
    """Restrict the process to `threads` cores, before JAX starts threads; returns the number."""
    settle_allocator()
    if not hasattr(os, "sched_getaffinity"):
        return threads or os.cpu_count() or 1
    cores = sorted(os.sched_getaffinity(0))
    if threads is not None and threads < len(cores):
        os.sched_setaffinity(0, cores[:threads])
    return len(os.sched_getaffinity(0))


def header(threads: int) -> dict[str, Any]:
    """Versions, processor and settings: what a reader must know to judge the times."""
    return {
        "device": this_environment().device,
        "threads": threads,
        "jconv": jconv.__version__,
        "jax": jax.__version__,
        "jaxlib": importlib.metadata.version("jaxlib"),
        "torch": contestant_torch.version(),
        "python": platform.python_version(),
        "system": f"{platform.system()} {platform.release()} {platform.machine()}",
        "allocator": allocator(os.environ),
    }


def settle_allocator() -> bool:
    """Let glibc keep blocks of up to 32 MB, as it does once one of that size has been freed.

    Otherwise it depends on the order of the rows when the process first frees such a block, and
    page faults decide the comparison. All contestants run in this process and gain equally.
    """
    try:
        libc = ctypes.CDLL("libc.so.6")
    except OSError:
        return False
    libc.malloc.restype, libc.malloc.argtypes = ctypes.c_void_p, [ctypes.c_size_t]
    libc.free.restype, libc.free.argtypes = None, [ctypes.c_void_p]
    libc.free(libc.malloc(2**25 - 2**16))
    return True


def allocator(environment: Mapping[str, str]) -> str:
    """In words, how glibc's malloc was set to keep large blocks, which helps all contestants."""
    changed = [f"{name}={environment[name]}" for name in _MALLOC if environment.get(name)]
    tunables = environment.get("GLIBC_TUNABLES", "")
    if "malloc" in tunables:
        changed.append(f"GLIBC_TUNABLES={tunables}")
    return ", ".join(changed) if changed else "glibc's own thresholds, settled by one freed block"
