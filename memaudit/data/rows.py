"""Rows of Parquet and Arrow files, copied whole: all columns, types and notes of the file."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from pyarrow import ipc

from memaudit.data.columns import BATCH_ROWS, BROKEN
from memaudit.data.files import reason
from memaudit.errors import DataError

CHUNK = 32 << 20  # bytes of rows that are written together


@dataclass(frozen=True, eq=False)
class Piece:
    """Some rows of a file, the number of the first, and all columns of them."""

    first: int
    batch: Any  # pyarrow.RecordBatch


def copy_rows(path: Path, target: Path, rows: Sequence[int], image: str) -> list[str]:
    """Write some rows, ascending, to a new file of the same format.

    Returns the paths in the column `image` of rows that hold no image themselves. Raises DataError
    if the file cannot be read; row groups and batches without any of the rows are passed over.
    """
    target.parent.mkdir(parents=True, exist_ok=True)
    copy = _copy_parquet if _is_parquet(path) else _copy_arrow
    try:
        return copy(path, target, rows, image)
    except BROKEN as error:
        raise DataError(
            f"rows of {path} cannot be copied: {reason(error)}. Write the file anew without what "
            "is damaged."
        ) from error


def _copy_parquet(path: Path, target: Path, rows: Sequence[int], image: str) -> list[str]:
    with pq.ParquetFile(path, buffer_size=1 << 20, pre_buffer=False) as file:
        schema = file.schema_arrow
        with pq.ParquetWriter(target, schema) as writer:
            return _write(writer, _parquet_pieces(file, rows), rows, image)


def _copy_arrow(path: Path, target: Path, rows: Sequence[int], image: str) -> list[str]:
    with pa.memory_map(str(path)) as file:
        is_stream = file.read(6) != b"ARROW1"
        file.seek(0)
        reader = (ipc.open_stream if is_stream else ipc.open_file)(file)
        batches = reader if is_stream else _batches(reader)
        new = ipc.new_stream if is_stream else ipc.new_file
        with new(str(target), reader.schema) as writer:
            return _write(writer, _arrow_pieces(batches, rows), rows, image)


def _is_parquet(path: Path) -> bool:
    with path.open("rb") as file:
        return file.read(4) == b"PAR1"


def _batches(reader: Any) -> Iterator[Any]:
    return map(reader.get_batch, range(reader.num_record_batches))


def _parquet_pieces(file: Any, rows: Sequence[int]) -> Iterator[Piece]:
    first = 0
    for group in range(file.metadata.num_row_groups):
        after = first + file.metadata.row_group(group).num_rows
        if _any_between(rows, first, after):
            start = first
            for batch in file.iter_batches(BATCH_ROWS, row_groups=[group], use_threads=False):
                yield Piece(start, batch)
                start += batch.num_rows
        first = after


def _arrow_pieces(batches: Iterator[Any], rows: Sequence[int]) -> Iterator[Piece]:
    first = 0
    for batch in batches:
        after = first + batch.num_rows
        if _any_between(rows, first, after):
            batch.validate(full=True)  # Arrow trusts offsets: damaged ones crash the process
            yield Piece(first, batch)
        first = after
        if first > rows[-1]:
            return


def _write(writer: Any, pieces: Iterator[Piece], rows: Sequence[int], image: str) -> list[str]:
    """Write the chosen rows of pieces, many together; give the paths in them."""
    paths: list[str] = []
    kept: list[Any] = []
    size = 0
    for piece in pieces:
        runs = list(_runs(piece, rows))
        kept += runs
        size += sum(run.nbytes for run in runs)
        if size >= CHUNK:
            paths += _flush(writer, kept, image)
            kept, size = [], 0
    return paths + _flush(writer, kept, image) if kept else paths


def _flush(writer: Any, kept: list[Any], image: str) -> list[str]:
    table = pa.Table.from_batches(kept).combine_chunks()
    writer.write_table(table)
    return _paths(table.column(image))


def _runs(piece: Piece, rows: Sequence[int]) -> Iterator[Any]:
    """The chosen rows of a piece as slices, which are there for types that take no filter."""
    chosen = rows[bisect_left(rows, piece.first) :]
    end = piece.first + piece.batch.num_rows
    start = length = 0
    for row in chosen:
        if row >= end:
            break
        if length and row - piece.first == start + length:
            length += 1
            continue
        if length:
            yield piece.batch.slice(start, length)
        start, length = row - piece.first, 1
    if length:
        yield piece.batch.slice(start, length)


def _paths(column: Any) -> list[str]:
    """The paths in a column of images: where it is text, or structs without bytes."""
    kind = column.type
    if pa.types.is_struct(kind):
        if kind.get_field_index("path") < 0:
            return []
        without = pc.is_null(pc.struct_field(column, "bytes"))
        cells = pc.struct_field(column, "path").filter(without).to_pylist()
    elif pa.types.is_binary(kind) or pa.types.is_large_binary(kind) or kind == pa.binary_view():
        return []
    else:
        cells = column.to_pylist()
    return [cell for cell in cells if isinstance(cell, str)]


def _any_between(rows: Sequence[int], first: int, after: int) -> bool:
    at = bisect_left(rows, first)
    return at < len(rows) and rows[at] < after
