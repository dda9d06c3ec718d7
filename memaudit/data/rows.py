"""Rows of Parquet and Arrow files, copied whole: all columns, types and notes of the file."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import starmap
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from memaudit.data.columns import open_table
from memaudit.errors import DataError
from memaudit.foreign import refusing

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
    why = f"rows of {path} cannot be copied; write the file anew without what is damaged"
    with refusing(DataError, why):
        table = open_table(path)
        pieces = starmap(Piece, table.whole(partial(_any_between, rows)))
        with table.writer(target) as writer:
            return _write(writer, pieces, rows, image)


def write_runs(writer: Any, runs: Iterable[Any]) -> None:
    """Write record batches, many together."""
    kept: list[Any] = []
    for run in runs:
        kept.append(run)
        if sum(one.nbytes for one in kept) >= CHUNK:
            writer.write_table(pa.Table.from_batches(kept).combine_chunks())
            kept = []
    if kept:
        writer.write_table(pa.Table.from_batches(kept).combine_chunks())


def _write(writer: Any, pieces: Iterator[Piece], rows: Sequence[int], image: str) -> list[str]:
    """Write the chosen rows of pieces; give the paths in them."""
    paths: list[str] = []

    def chosen() -> Iterator[Any]:
        for piece in pieces:
            for run in _runs(piece, rows):
                paths.extend(_paths(run.column(image)))
                yield run

    write_runs(writer, chosen())
    return paths


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
