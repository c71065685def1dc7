"""Files that are written whole or not at all."""

from __future__ import annotations

import errno
import os
import stat
import threading
from pathlib import Path


def write_whole(path: str | os.PathLike[str], content: str | bytes) -> None:
    """Write a file so that a reader sees the old one or the new one, never a part.

    A symbolic link stays, and the file that it leads to is written; a file that is there keeps
    its permissions.

    Raises:
        OSError: naming `path`, if it cannot be written, for instance a folder or a device.
    """
    target = check_writable(path)
    part = target.with_name(f".{os.getpid()}.{threading.get_ident()}.part")
    try:
        mode = stat.S_IMODE(target.stat().st_mode) if target.exists() else None
        # The part is private until it is complete; then it gets the old file's permissions.
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL
        with open(os.open(part, flags, 0o666 if mode is None else 0o600), "wb") as file:
            file.write(content.encode() if isinstance(content, str) else content)
            file.flush()
            os.fsync(file.fileno())
        if mode is not None:
            part.chmod(mode)
        os.replace(part, target)
    except OSError as error:
        part.unlink(missing_ok=True)
        raise _named(error, path) from None
    except BaseException:
        part.unlink(missing_ok=True)
        raise


def check_writable(path: str | os.PathLike[str]) -> Path:
    """The file that `path` leads to, if a file may be written there.

    Raises:
        OSError: naming `path`, if not.
    """
    try:
        target = Path(os.path.realpath(os.fsdecode(path)))
        check_plain(path)
        if not target.parent.is_dir():
            raise FileNotFoundError(errno.ENOENT, "there is no such folder")
        if not os.access(target.parent, os.W_OK):
            raise PermissionError(errno.EACCES, "its folder cannot be written to")
        if target.exists() and not os.access(target, os.W_OK):
            raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))
    except (OSError, ValueError) as error:  # ValueError: a name that no file can have
        raise _named(error, path) from None
    return target


def check_plain(path: str | os.PathLike[str]) -> None:
    """Refuse a path that exists and is not a regular file: opening a pipe would wait for ever.

    Raises:
        OSError: naming `path`.
    """
    try:
        mode = os.stat(path).st_mode if os.fspath(path) else stat.S_IFDIR
    except FileNotFoundError:
        return
    if stat.S_ISDIR(mode):
        raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), os.fspath(path))
    if not stat.S_ISREG(mode):
        raise OSError(errno.EINVAL, "it is a device or a pipe, not a file", os.fspath(path))


def _named(error: OSError | ValueError, path: str | os.PathLike[str]) -> OSError:
    number = getattr(error, "errno", None) or errno.EINVAL
    return OSError(number, getattr(error, "strerror", None) or str(error), os.fspath(path))
