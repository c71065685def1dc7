"""JAX's cache of compiled programs on disk, for a while."""

from __future__ import annotations

import contextlib
import os
import sys
from collections.abc import Iterator
from pathlib import Path

import jax

_SETTINGS = {
    "jax_compilation_cache_dir": None,  # the folder
    "jax_persistent_cache_min_compile_time_secs": 0.0,  # JAX keeps what took over a second
    "jax_persistent_cache_min_entry_size_bytes": -1,
}


def cache_folder() -> Path:
    """Where programs of this user's own may be kept: the system's folder for caches."""
    if sys.platform == "win32":
        base = os.environ.get("LOCALAPPDATA") or str(Path.home() / "AppData" / "Local")
    else:
        base = os.environ.get("XDG_CACHE_HOME") or str(Path.home() / ".cache")
    return Path(base) / "jconv" / "programs"


@contextlib.contextmanager
def programs_kept(folder: Path | str | None) -> Iterator[None]:
    """Within this context, compiled programs are kept in a folder and found again there.

    Nothing changes without a folder, or where the user has given JAX one: theirs is used then.
    """
    before = {name: getattr(jax.config, name) for name in _SETTINGS}
    if folder is None or before["jax_compilation_cache_dir"]:
        yield
        return
    try:
        for name, value in _SETTINGS.items():
            jax.config.update(name, str(folder) if value is None else value)
        forget_folder()
        yield
    finally:
        for name, value in before.items():
            jax.config.update(name, value)
        forget_folder()


def forget_folder() -> None:
    """Make JAX read the setting again: it opens a folder once."""
    try:
        from jax.experimental.compilation_cache.compilation_cache import reset_cache
    except ImportError:
        return
    reset_cache()
