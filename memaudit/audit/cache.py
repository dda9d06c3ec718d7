"""Where indices are kept between scans."""

from __future__ import annotations

import os
from pathlib import Path

import platformdirs


def cache_directory() -> Path:
    """$MEMAUDIT_CACHE, else the user's cache folder (XDG on Linux)."""
    return Path(os.environ.get("MEMAUDIT_CACHE") or platformdirs.user_cache_dir("memaudit"))


def index_directory(chosen: str | None, key: str) -> Path:
    """Where the index of an embedding pass stands: as chosen, else in the cache by its key."""
    return cache_directory() / "indexes" / key[:32] if chosen is None else Path(chosen)
