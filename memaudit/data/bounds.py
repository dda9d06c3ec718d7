"""What parts of Parquet and Arrow files unpack to, by their own headers, before any of it is done.

A few kilobytes can unpack to gigabytes, and the libraries take the memory that a header asks for.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa
from pyarrow import ipc

from memaudit.errors import ForeignFileError
from memaudit.foreign import read_file

SMALL = 64 << 20  # bytes that anything may unpack to
LARGE = 1 << 30  # bytes that nothing may exceed
RATIO = 20  # times its packed size that a large part may unpack to; images hardly shrink
ROWS = 100_000  # that a file of any size may have; a larger one as many as it has bytes
NESTED = 64  # values of a list in each row, on average
HEADER = 1 << 16  # bytes; no writer fills so many with the statistics of a page

Fields = dict[int, Any]  # of a Thrift struct, by number


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


def measure_pages(path: Path, chunk: Any) -> Pages:
    """Measure a column of a row group (pyarrow's ColumnChunkMetaData).

    Raises ForeignFileError for a page that unpacks to more than it may, and whatever its
    headers lead to if they are damaged.
    """
    starts = [chunk.data_page_offset, chunk.dictionary_page_offset or 0]
    place = min(start for start in starts if start > 0)
    end = place + chunk.total_compressed_size
    largest = values = 0
    while place < end:
        header = read_file(path, offset=place, size=min(HEADER, end - place))
        fields, length = _struct(header, 0)
        size, packed = fields[2], fields[3]
        expect_unpacked(size, packed)
        if packed < 0:
            raise ValueError("a page of negative size")
        largest = max(largest, size)
        values += sum(fields[kind][1] for kind in (5, 8) if kind in fields)  # of data, v1 and v2
        place += length + packed
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


def _struct(data: bytes, at: int, depth: int = 0) -> tuple[Fields, int]:
    """Parse a struct of Thrift's compact protocol; give its numbers, and where it ends."""
    fields: Fields = {}
    number = 0
    while data[at]:
        kind, step = data[at] & 15, data[at] >> 4
        number, at = (number + step, at + 1) if step else _varint(data, at + 1)
        if kind in (1, 2):  # a truth, in the kind itself
            continue
        if kind == 3:
            at += 1
        elif kind in (4, 5, 6):
            fields[number], at = _varint(data, at)
        elif kind == 7:
            at += 8
        elif kind == 8:
            length, at = _varint(data, at, signed=False)
            at += length
        elif kind == 12 and depth < 4:
            fields[number], at = _struct(data, at, depth + 1)
        else:
            raise ValueError("a page without a header of its kind")
    return fields, at + 1


def _varint(data: bytes, at: int, signed: bool = True) -> tuple[int, int]:
    value = shift = 0
    while True:
        value |= (data[at] & 127) << shift
        at, shift = at + 1, shift + 7
        if data[at - 1] < 128:
            break
        if shift > 63:
            raise ValueError("a number of more than 64 bits")
    return ((value >> 1) ^ -(value & 1) if signed else value), at


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
