"""A zip that is the same bytes whenever it is made, and is read without trusting what it says.

Nothing in it is compressed, so that no version of a compressor changes its bytes, and nothing needs
to be decompressed to read it.
"""

from __future__ import annotations

import io
import struct
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass
from zlib import crc32

from memaudit.errors import ForeignFileError
from memaudit.foreign import refusing
from memaudit.run.sums import LONGEST, is_plain

DATE = (1980, 1, 1, 0, 0, 0)  # the earliest that a zip can tell
MODE = 0o100644  # a regular file
MOST_BYTES = 1 << 30  # of a zip
MOST_FILES = 20_000
LOCAL, CENTRAL = 30, 46  # bytes of a header before the name
END = struct.Struct("<4s4H2LH")  # the record that ends a zip
LARGE = b"PK\x06\x07"  # stands before that record in zips of more than 4 GiB
PIECE = 1 << 20


@dataclass(frozen=True, eq=False)
class Archive:
    """The files of a zip by name, and what is wrong with it as it stands.

    `damaged` are files with another CRC than their header says. `differs_at` is the first byte that
    is not as memaudit writes it for these files, None if there is none.
    """

    files: Mapping[str, bytes]
    damaged: frozenset[str]
    differs_at: int | None


def pack(files: Mapping[str, bytes]) -> bytes:
    """Make a zip of files by their names, which must be plain; raises ForeignFileError if large."""
    return _packed(files).getvalue()


def unpack(data: bytes) -> Archive:
    """Read a zip in memory; raises ForeignFileError for one that memaudit cannot have written.

    Compressed, encrypted, linked, nested, hidden and repeated entries, names that lead outside and
    numbers beyond the bounds are refused before any content is looked at.
    """
    _expect_small(data)
    with refusing(ForeignFileError, "its list of files cannot be read"):
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            entries = archive.infolist()
        _expect_plain(entries, len(data))
    files = {one.filename: _content(data, one) for one in entries}
    damaged = frozenset(one.filename for one in entries if crc32(files[one.filename]) != one.CRC)
    return Archive(files, damaged, _first_difference(data, _packed(files).getbuffer()))


def _packed(files: Mapping[str, bytes]) -> io.BytesIO:
    size = sum(len(content) + 2 * LONGEST for content in files.values())
    if size > MOST_BYTES or len(files) > MOST_FILES:
        raise ForeignFileError(
            f"{len(files)} files of {size} bytes together, more than a zip may hold ({MOST_FILES} "
            f"files, {MOST_BYTES} bytes)"
        )
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_STORED) as made:
        for name in sorted(files):
            made.writestr(_header(name), files[name])
    return buffer


def _header(name: str) -> zipfile.ZipInfo:
    if not is_plain(name):
        raise ForeignFileError(f"{name!r} is no plain name of a file")
    info = zipfile.ZipInfo(name, DATE)
    info.create_system = 3  # Unix, whatever this machine is
    info.external_attr = MODE << 16
    return info


def _expect_small(data: bytes) -> None:
    """Refuse by the record at the very end, before the list of files is read."""
    if len(data) < END.size:
        raise ForeignFileError(f"it holds {len(data)} bytes, expected a zip")
    mark, disk, first, here, files, size, start, comment = END.unpack(data[-END.size :])
    if mark != b"PK\x05\x06" or comment or disk or first or here != files:
        raise ForeignFileError("it does not end as a zip of memaudit does")
    if data[: -END.size].endswith(LARGE) or data[-END.size - 20 :].startswith(LARGE):
        raise ForeignFileError("it is of the kind for more than 4 GiB, expected a small zip")
    if files > MOST_FILES or size > files * (CENTRAL + LONGEST):
        raise ForeignFileError(
            f"its list tells of {files} files in {size} bytes; expected at most {MOST_FILES} "
            "files with plain names"
        )
    if start + size + END.size != len(data):
        raise ForeignFileError("its list of files does not stand where it says")


def _expect_plain(entries: list[zipfile.ZipInfo], length: int) -> None:
    names = set()
    for one in entries:
        if not is_plain(one.orig_filename) or one.filename != one.orig_filename:
            raise ForeignFileError(f"{one.orig_filename[:LONGEST]!r} is no plain name of a file")
        if one.filename in names:
            raise ForeignFileError(f"{one.filename} is in it twice")
        if one.flag_bits & 1:
            raise ForeignFileError(f"{one.filename} is encrypted")
        if one.compress_type != zipfile.ZIP_STORED or one.compress_size != one.file_size:
            raise ForeignFileError(
                f"{one.filename} is compressed; memaudit writes files as they are. Take the zip as "
                "it was sent, not one that was packed again"
            )
        if one.external_attr != MODE << 16:
            raise ForeignFileError(f"{one.filename} is no regular file")
        names.add(one.filename)
    if sum(one.file_size + LOCAL for one in entries) > length:
        raise ForeignFileError("its files are larger together than it is itself")


def _content(data: bytes, entry: zipfile.ZipInfo) -> bytes:
    """A file as it stands; what its own header says of it is compared with all else later."""
    start = entry.header_offset + LOCAL + len(entry.filename)
    return data[start : start + entry.file_size]


def _first_difference(one: bytes, other: memoryview) -> int | None:
    if one == other:
        return None
    for start in range(0, max(len(one), len(other)), PIECE):
        ours, theirs = one[start : start + PIECE], other[start : start + PIECE]
        if ours != theirs:
            pairs = enumerate(zip(ours, theirs, strict=False), start)
            ends = start + min(len(ours), len(theirs))
            return next((at for at, (a, b) in pairs if a != b), ends)
    return None
