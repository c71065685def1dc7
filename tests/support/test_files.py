"""Files are written through links, keep their permissions, and are plain files or refused."""

from __future__ import annotations

import errno
import os
import stat

import pytest

import jconv
from jconv._support import files as _files
from jconv._support.files import check_writable, write_whole
from jconv._tuning.device import this_environment

as_root = pytest.mark.skipif(os.geteuid() == 0, reason="root may write anywhere")


def parts(folder):
    return [path.name for path in folder.iterdir() if path.name.endswith(".part")]


def test_a_link_stays_and_its_target_is_written(tmp_path):
    target, link, far = tmp_path / "a" / "target", tmp_path / "link", tmp_path / "far"
    target.parent.mkdir()
    target.write_text("old")
    link.symlink_to(target)
    far.symlink_to(link)
    write_whole(far, "new")
    assert far.is_symlink()
    assert link.is_symlink()
    assert target.read_text() == "new"
    (tmp_path / "dangling").symlink_to(tmp_path / "a" / "made")
    write_whole(tmp_path / "dangling", b"made")
    assert (tmp_path / "a" / "made").read_bytes() == b"made"
    assert not parts(tmp_path)
    assert not parts(target.parent)


@pytest.mark.parametrize("mode", [0o600, 0o640, 0o664, 0o755])
def test_permissions_stay(tmp_path, mode):
    path = tmp_path / "file"
    path.write_text("old")
    path.chmod(mode)
    write_whole(path, "new")
    assert stat.S_IMODE(path.stat().st_mode) == mode
    assert path.read_text() == "new"


def test_a_new_file_has_the_usual_permissions(tmp_path):
    write_whole(tmp_path / "ours", "x")
    (tmp_path / "pythons").write_text("x")
    modes = {(tmp_path / name).stat().st_mode for name in ("ours", "pythons")}
    assert len(modes) == 1


def test_what_is_no_plain_file_is_refused_at_once(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "loop").symlink_to(tmp_path / "loop")
    (tmp_path / "to pipe").symlink_to(tmp_path / "pipe")
    for path in (
        tmp_path / "pipe",
        tmp_path / "to pipe",
        "/dev/null",
        "/dev/full",
        tmp_path,
        "",
        ".",
    ):
        with pytest.raises(OSError) as caught:  # noqa: PT011
            write_whole(path, "x")
        assert caught.value.filename == os.fspath(path)
    with pytest.raises(OSError):  # noqa: PT011
        write_whole(tmp_path / "loop", "x")
    for path in ("a\0b", tmp_path / "none" / "x", tmp_path / ("n" * 300)):
        with pytest.raises(OSError):  # noqa: PT011
            write_whole(path, "x")
    assert stat.S_ISFIFO((tmp_path / "pipe").stat().st_mode)
    table = jconv.TuningTable(this_environment())
    for use in (table.save, jconv.TuningTable.load):
        with pytest.raises(OSError, match="not a file"):
            use(tmp_path / "pipe")
    with pytest.raises(jconv.ConvError, match="not a file"):
        jconv.plan_chain(None, tmp_path / "pipe")


def test_a_full_disk_leaves_the_old_file(tmp_path, monkeypatch):
    path = tmp_path / "file"
    path.write_text("old")

    def full(*_):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(_files.os, "fsync", full)
    with pytest.raises(OSError, match="No space left") as caught:
        write_whole(path, "new")
    assert caught.value.filename == str(path)
    assert path.read_text() == "old"
    assert not parts(tmp_path)


@as_root
def test_a_folder_or_a_file_that_cannot_be_written(tmp_path):
    path = tmp_path / "file"
    path.write_text("old")
    path.chmod(0o444)
    with pytest.raises(PermissionError):
        write_whole(path, "new")
    path.chmod(0o644)
    tmp_path.chmod(0o555)
    try:
        with pytest.raises(PermissionError, match="folder"):
            check_writable(path)
    finally:
        tmp_path.chmod(0o755)
    assert path.read_text() == "old"


def test_access_is_asked_before_anything_is_written(tmp_path, monkeypatch):
    """What `as_root` leaves out where tests run as root."""
    path = tmp_path / "file"
    path.write_text("old")
    monkeypatch.setattr(_files.os, "access", lambda where, mode: where == tmp_path)
    with pytest.raises(PermissionError) as caught:
        write_whole(path, "new")
    assert caught.value.filename == str(path)
    monkeypatch.setattr(_files.os, "access", lambda where, mode: False)
    with pytest.raises(PermissionError, match="folder"):
        write_whole(path, "new")
    assert path.read_text() == "old"


def test_brackets_without_end_are_no_toml(tmp_path):
    path = tmp_path / "deep.toml"
    for text in ("layers = " + "[" * 3000, "layers = " + "[" * 900 + "]" * 900, "\0", "x" * 10**5):
        path.write_text(text)
        with pytest.raises(jconv.ConvError) as caught:
            jconv.plan_chain((1, 8, 8, 3), path)
        assert len(str(caught.value)) < 2000
