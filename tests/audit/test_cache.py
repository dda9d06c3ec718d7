"""Where indexes are kept."""

import sys
from pathlib import Path

import platformdirs
import pytest

from memaudit.audit.cache import cache_directory, index_directory


def test_the_variable_names_the_cache(tmp_path, monkeypatch):
    monkeypatch.setenv("MEMAUDIT_CACHE", str(tmp_path / "mine"))
    assert cache_directory() == tmp_path / "mine"
    assert not (tmp_path / "mine").exists()


@pytest.mark.parametrize("value", [None, ""])
def test_without_the_variable_it_is_the_users_cache(monkeypatch, value):
    if value is None:
        monkeypatch.delenv("MEMAUDIT_CACHE")
    else:
        monkeypatch.setenv("MEMAUDIT_CACHE", value)
    assert cache_directory() == Path(platformdirs.user_cache_dir("memaudit"))


@pytest.mark.skipif(sys.platform != "linux", reason="XDG is the rule of Linux")
def test_on_linux_xdg_names_the_users_cache(tmp_path, monkeypatch):
    monkeypatch.delenv("MEMAUDIT_CACHE")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert cache_directory() == tmp_path / "memaudit"


def test_an_index_stands_where_it_was_chosen_else_in_the_cache_under_its_key(tmp_path, monkeypatch):
    monkeypatch.setenv("MEMAUDIT_CACHE", str(tmp_path))
    key = "0123456789abcdef" * 4
    assert index_directory("somewhere/else", key) == Path("somewhere/else")
    assert index_directory(None, key) == tmp_path / "indexes" / key[:32]
