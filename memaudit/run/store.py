"""Where a run's files stand: whole or absent, and held by one process at a time."""

from __future__ import annotations

import errno
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Protocol

from filelock import FileLock, Timeout

from memaudit.errors import RunDirectoryError
from memaudit.files import write_whole

RUN = "run.json"  # what was asked, written first
OWN = (".lock", f"{RUN}.tmp")  # what a scan killed at its very start leaves


class Store(Protocol):
    """Named contents, `scores/part-00017.parquet` for instance.

    A store needs neither rename nor file locks of its own: each content is put as a whole.
    """

    @property
    def place(self) -> str:
        """Where it is, for messages."""

    def has(self, name: str) -> bool:
        """Whether there is such a content, whole."""

    def get(self, name: str) -> bytes:
        """A content; raises OSError if it is not there."""

    def put(self, name: str, content: bytes) -> None:
        """Write a content as a whole, in place of an earlier one."""

    def names(self, folder: str) -> list[str]:
        """Names of all contents in a folder, ascending."""

    def remove(self, name: str) -> None:
        """Remove a content, if it is there."""


class Folder:
    """A store in a folder of this machine."""

    def __init__(self, path: Path) -> None:
        self.path = path

    @property
    def place(self) -> str:
        """The folder."""
        return str(self.path)

    def has(self, name: str) -> bool:
        """Whether there is such a file."""
        return (self.path / name).is_file()

    def get(self, name: str) -> bytes:
        """Read a file."""
        return (self.path / name).read_bytes()

    def put(self, name: str, content: bytes) -> None:
        """Write a file under a temporary name, then rename it."""
        target = self.path / name
        target.parent.mkdir(exist_ok=True)
        write_whole(target, content)

    def names(self, folder: str) -> list[str]:
        """Names of the files in a sub-folder; temporary ones are left out."""
        found = (path for path in (self.path / folder).glob("*") if path.suffix != ".tmp")
        return sorted(f"{folder}/{path.name}" for path in found if path.is_file())

    def remove(self, name: str) -> None:
        """Remove a file."""
        (self.path / name).unlink(missing_ok=True)


@contextmanager
def hold(path: Path) -> Iterator[Folder]:
    """Hold a folder for one run; raises RunDirectoryError if it is foreign or in use."""
    try:
        if path.exists() and not path.is_dir():
            raise RunDirectoryError(f"--out {path} is a file; give a directory")
        _refuse_foreign(path)
        path.mkdir(parents=True, exist_ok=True)
        lock = FileLock(path / ".lock")
        lock.acquire(timeout=0)
    except Timeout as error:
        raise RunDirectoryError(
            f"{path} is in use by another scan; wait for it, or give another --out"
        ) from error
    except OSError as error:
        if error.errno == errno.ENOSPC:
            raise
        raise RunDirectoryError(
            f"--out {path} cannot be written: {error.strerror}; give a directory of your own"
        ) from error
    try:
        yield Folder(path)
    finally:
        lock.release()


def _refuse_foreign(path: Path) -> None:
    if not path.is_dir() or (path / RUN).is_file():
        return
    foreign = sorted(item.name for item in path.iterdir() if item.name not in OWN)
    if foreign:
        raise RunDirectoryError(
            f"--out {path} holds {foreign[0]}{' and other things' * (len(foreign) > 1)} but no "
            "run of memaudit; give a new or empty directory"
        )
