"""Compiled programs on disk: kept for a while, in the user's folder where there is one."""

import jax
import jax.numpy as jnp
import pytest

from jconv._core.jax_cache import cache_folder, programs_kept

NAME = "jax_compilation_cache_dir"


def compile_one(number):
    return jax.jit(lambda x: x @ x + number).lower(jnp.ones((8, 8))).compile()


def test_programs_are_kept_and_the_settings_are_put_back(tmp_path):
    before = jax.config.jax_compilation_cache_dir
    with programs_kept(tmp_path / "programs"):
        assert str(tmp_path / "programs") == jax.config.jax_compilation_cache_dir
        compile_one(1)
    assert before == jax.config.jax_compilation_cache_dir
    kept = sorted((tmp_path / "programs").iterdir())
    assert kept
    compile_one(2)
    assert sorted((tmp_path / "programs").iterdir()) == kept


def test_the_users_own_folder_comes_first(tmp_path):
    with programs_kept(tmp_path / "theirs"), programs_kept(tmp_path / "ours"):
        compile_one(3)
    assert any((tmp_path / "theirs").iterdir())
    assert not (tmp_path / "ours").exists()


def test_no_folder_changes_nothing(tmp_path):
    before = jax.config.jax_compilation_cache_dir
    with programs_kept(None):
        assert before == jax.config.jax_compilation_cache_dir


@pytest.mark.parametrize("name", ["XDG_CACHE_HOME", "LOCALAPPDATA"])
def test_the_folder_is_the_systems_for_caches(name, tmp_path, monkeypatch):
    monkeypatch.setattr("sys.platform", "win32" if name == "LOCALAPPDATA" else "linux")
    monkeypatch.setenv(name, str(tmp_path))
    assert cache_folder() == tmp_path / "jconv" / "programs"
