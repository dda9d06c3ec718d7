"""What a full disk ends in."""

from __future__ import annotations

import errno
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from memaudit.errors import DependencyError

FULL = (os.strerror(errno.ENOSPC), os.strerror(errno.EDQUOT))


@contextmanager
def name_full_disk(*directories: str | Path) -> Iterator[None]:
    """Turn "no space left" into a DependencyError that names the directory with the least space.

    FAISS and Arrow raise errors of their own, which keep no more than the words of the system.
    """
    try:
        yield
    except Exception as error:
        if not any(words in str(error) for words in FULL):
            raise
        fullest = min(map(Path, directories), key=_free)
        raise DependencyError(
            f"the disk that holds {fullest} is full, {_free(fullest) / 1e6:.1f} MB are free; free "
            "some space, then run the same command again: what was finished is kept"
        ) from error


def _free(directory: Path) -> int:
    places = (directory.absolute(), *directory.absolute().parents)
    return shutil.disk_usage(next(place for place in places if place.is_dir())).free
