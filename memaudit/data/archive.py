"""What is in a tar archive: names, places and sizes, in bounded time and memory."""

from __future__ import annotations

import io
import re
import tarfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

from memaudit.errors import UnreadableImageError
from memaudit.foreign import open_regular, refusing

NAMES: Any = {"encoding": "utf-8", "errors": "surrogateescape"}  # how they are read and written
HEADER = 1 << 20  # bytes of a long name or of extended headers
DIGITS = re.compile(rb"[0-9]{64}")  # tarfile takes a square of the time for numbers so long
LOST = "members from there on are lost"


@dataclass(frozen=True, slots=True)
class Archived:
    """A member that is no folder; `plain` ones hold `size` bytes from `offset` as they are."""

    name: str
    offset: int
    size: int
    plain: bool
    header: tarfile.TarInfo


class Headers(io.RawIOBase):
    """An archive of which headers are read and no contents."""

    def __init__(self, file: BinaryIO) -> None:
        self._file = file

    def read(self, size: int = -1) -> bytes:
        """Read a header; raises TarError for one of a size or content that no archive needs."""
        if not 0 <= size <= HEADER:
            raise tarfile.ReadError(f"a header of {size} bytes: expected at most {HEADER}")
        data = self._file.read(size)
        if size > tarfile.BLOCKSIZE and DIGITS.search(data):
            raise tarfile.ReadError("an extended header with a number of 64 digits or more")
        return data

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        """Go to a header."""
        return self._file.seek(offset, whence)

    def tell(self) -> int:
        """Where it is."""
        return self._file.tell()


def list_archive(path: Path) -> tuple[list[Archived], str]:
    """List the members up to the end or to damage; say which damage, "" if there is none."""
    found: list[Archived] = []
    try:
        with refusing(UnreadableImageError, "the archive is damaged"), open_regular(path) as raw:
            file = io.BufferedReader(raw)
            with tarfile.open(fileobj=Headers(file), mode="r:", **NAMES) as archive:
                for member in archive:
                    _expect_forward(archive, member)
                    if not member.isdir():
                        found.append(_archived(member))
                end = archive.offset
            _expect_end(file, end)
    except UnreadableImageError as error:
        return found, f"{error}; {LOST}"
    return found, ""


def _expect_forward(archive: tarfile.TarFile, member: tarfile.TarInfo) -> None:
    if member.size < 0 or archive.offset <= member.offset:  # it would be read again, for ever
        raise tarfile.ReadError(f"a member of {member.size} bytes at byte {member.offset}")


def _archived(member: tarfile.TarInfo) -> Archived:
    plain = member.isreg() and not member.issparse()
    return Archived(member.name, member.offset_data, member.size, plain, member)


def _expect_end(file: BinaryIO, end: int) -> None:
    # tarfile takes a header it cannot parse for the end of the archive.
    file.seek(end)
    block = file.read(tarfile.BLOCKSIZE)
    if block != tarfile.NUL * tarfile.BLOCKSIZE:
        what = "a block that is no header" if block else "the end of the file"
        raise tarfile.ReadError(f"expected its end mark at byte {end}, found {what}")
