"""What parts of Parquet and Arrow files unpack to, by their own headers, before any of it is done.

A few kilobytes can unpack to gigabytes, and the libraries take the memory that a header asks for.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa
from pyarrow import ipc

from memaudit.data.thrift import I32, I64, LIST, STRUCT, Fields, Reader
from memaudit.errors import ForeignFileError
from memaudit.foreign import read_file

SMALL = 64 << 20  # bytes that anything may unpack to
LARGE = 1 << 30  # bytes that nothing may exceed
RATIO = 20  # times its packed size that a large part may unpack to; images hardly shrink
ROWS = 100_000  # that a file of any size may have; a larger one as many as it has bytes
NESTED = 64  # values of a list in each row, on average
HEADER = 1 << 16  # bytes; no writer fills so many with the statistics of a page
FOOTER = 64 << 20  # bytes of the footer of a Parquet file


def expect_unpacked(size: int, packed: int) -> None:
    """Raise ForeignFileError where a part unpacks to more than it may."""
    if not 0 <= size <= max(SMALL, min(LARGE, RATIO * packed)):
        raise ForeignFileError(
            f"{packed} bytes unpack to {size}, more than the limit of {SMALL}, or of {RATIO} times "
            f"as many and {LARGE}; write the file anew with smaller pages or batches"
        )


def expect_rows(rows: int, size: int) -> None:
    """Raise ForeignFileError for more rows than a file of `size` bytes may have."""
    if not 0 <= rows <= max(ROWS, size):
        raise ForeignFileError(f"{rows} rows in {size} bytes: expected no more than {ROWS}")


@dataclass(frozen=True)
class Pages:
    """The pages of some columns of a row group: what the largest unpacks to, and all values."""

    largest: int = 0
    values: int = 0


@dataclass(frozen=True)
class Chunk:
    """Where a column of a row group lies in its file."""

    start: int
    size: int


def row_groups(path: Path) -> list[list[Chunk]]:
    """The columns of each row group, by the footer of a Parquet file; raises as `measure_pages`.

    pyarrow tells them too, and ends the process where statistics of a column are damaged.
    """
    whole = path.stat().st_size
    tail = read_file(path, offset=whole - 8, size=8)
    size = int.from_bytes(tail[:4], "little")
    footer = Reader(read_file(path, FOOTER, offset=whole - 8 - size, size=size)).struct()
    groups = _structs(footer, 4)
    return [[_chunk(column[3, STRUCT]) for column in _structs(group, 1)] for group in groups]


def _structs(fields: Fields, number: int) -> list[Fields]:
    kind, found = fields[number, LIST]
    if found and kind != STRUCT:
        raise ValueError("a list of another kind than Parquet's")
    return list(found)


def _chunk(fields: Fields) -> Chunk:
    starts = [fields[9, I64], fields.get((11, I64), 0)]  # of the data, and of their dictionary
    return Chunk(min(start for start in starts if start > 0), fields[7, I64])


def measure_pages(path: Path, chunk: Chunk) -> Pages:
    """Measure a column of a row group.

    Raises ForeignFileError for a page that unpacks to more than it may, and whatever its
    headers lead to if they are damaged.
    """
    place, end = chunk.start, chunk.start + chunk.size
    largest = values = 0
    while place < end:
        header = Reader(read_file(path, offset=place, size=min(HEADER, end - place)))
        fields = header.struct()
        size, packed = fields[2, I32], fields[3, I32]
        expect_unpacked(size, packed)
        if packed < 0:
            raise ValueError("a page of negative size")
        largest = max(largest, size)
        pages = [fields[kind, STRUCT] for kind in (5, 8) if (kind, STRUCT) in fields]  # v1 and v2
        values += sum(page[1, I32] for page in pages)
        place += header.at + packed
    return Pages(largest, values)


def check_messages(path: Path, start: int) -> None:
    """Check the batches of an Arrow stream from byte `start`; raises as `measure_pages` does."""
    size, rows = path.stat().st_size, 0
    for metadata, body in _messages(path, start):
        batch = _batch(metadata)
        if batch is None:
            continue
        rows += _number(metadata, batch, 0, "<q")
        expect_rows(rows, size)
        if _field(metadata, batch, 3):  # it is compressed
            expect_unpacked(sum(_unpacked(metadata, batch, body)), len(body))


def _messages(path: Path, start: int) -> Iterator[tuple[memoryview, memoryview]]:
    with pa.memory_map(str(path)) as file:
        file.seek(start)
        reader = ipc.MessageReader.open_stream(file)
        while True:
            try:
                message = reader.read_next_message()
            except StopIteration:
                return
            body = message.body
            yield memoryview(message.metadata), memoryview(b"" if body is None else body)


def _batch(metadata: memoryview) -> int | None:
    """Where the record batch of a message begins (FlatBuffers; Arrow's Message.fbs)."""
    message = _number(metadata, 0, None, "<I")
    kind = _number(metadata, message, 1, "<B")
    if kind not in (2, 3):  # a dictionary, a record batch
        return None
    header = _pointed(metadata, message, 2)
    return header if kind == 3 else _pointed(metadata, header, 1)


def _unpacked(metadata: memoryview, batch: int, body: memoryview) -> Iterator[int]:
    """How many bytes each buffer of a compressed batch unpacks to; its first 8 bytes say it."""
    vector = _pointed(metadata, batch, 2)
    for number in range(_number(metadata, vector, None, "<I")):
        offset, length = struct.unpack_from("<qq", metadata, vector + 4 + 16 * number)
        if length:
            size = struct.unpack_from("<q", body, offset)[0]
            yield length if size == -1 else size


def _pointed(metadata: memoryview, table: int, field: int) -> int:
    place = table + _field(metadata, table, field)
    return place + int(_number(metadata, place, None, "<I"))


def _number(metadata: memoryview, table: int, field: int | None, kind: str) -> int:
    """A number at a place, or in a field of the table that begins there; absent ones are 0."""
    offset = 0 if field is None else _field(metadata, table, field)
    if field is not None and not offset:
        return 0
    value: int = struct.unpack_from(kind, metadata, table + offset)[0]
    return value


def _field(metadata: memoryview, table: int, field: int) -> int:
    """How far into a table a field lies; 0 for one that it has not."""
    entries = table - int(struct.unpack_from("<i", metadata, table)[0])
    size = struct.unpack_from("<H", metadata, entries)[0]
    if 4 + 2 * field >= size:
        return 0
    offset: int = struct.unpack_from("<H", metadata, entries + 4 + 2 * field)[0]
    return offset
