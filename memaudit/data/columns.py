"""Parquet and Arrow files, read forward a few rows at a time."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterator
from itertools import accumulate
from pathlib import Path
from typing import Any, Protocol

import pyarrow as pa
import pyarrow.parquet as pq
from pyarrow import ipc

BATCH_ROWS = 16
BROKEN = (pa.ArrowException, OSError, ValueError)  # what a damaged file raises


class Table(Protocol):
    """One file of rows. All methods raise BROKEN for a damaged file."""

    schema: Any  # pyarrow.Schema

    def num_rows(self) -> int:
        """Count the rows."""

    def batches(self, column: str, row: int = 0) -> tuple[int, Iterator[Any]]:
        """Give (first row, record batches of one column), starting at or before `row`."""


class ParquetTable:
    """A Parquet file.

    Reads through a buffer instead of by row group: pandas writes up to 2**20 rows into one group,
    which is the whole file.
    """

    def __init__(self, path: Path) -> None:
        self._file = pq.ParquetFile(path, buffer_size=1 << 20, pre_buffer=False)
        self.schema = self._file.schema_arrow
        meta = self._file.metadata
        sizes: list[int] = [meta.row_group(i).num_rows for i in range(meta.num_row_groups)]
        self._starts = list(accumulate(sizes, initial=0))

    def num_rows(self) -> int:
        """Count the rows."""
        return self._starts[-1]

    def batches(self, column: str, row: int = 0) -> tuple[int, Iterator[Any]]:
        """Start with the row group that holds `row`."""
        group = bisect_right(self._starts, row) - 1
        return self._starts[group], self._from_group(group, column)

    def _from_group(self, first: int, column: str) -> Iterator[Any]:
        # One group at a time: a batch across two would lose the rows of both to damage in one.
        for group in range(first, len(self._starts) - 1):
            yield from self._file.iter_batches(
                batch_size=BATCH_ROWS, row_groups=[group], columns=[column], use_threads=False
            )


class ArrowTable:
    """An Arrow file, in the file format (Feather 2) or the stream format.

    It is mapped into memory, so that passing over rows costs little if it is not compressed.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        with pa.memory_map(str(path)) as file:
            self._is_stream = file.read(6) != b"ARROW1"
            file.seek(0)
            self.schema = (ipc.open_stream if self._is_stream else ipc.open_file)(file).schema

    def num_rows(self) -> int:
        """Count the rows."""
        return sum(batch.num_rows for batch in self._from_start(0))

    def batches(self, column: str, row: int = 0) -> tuple[int, Iterator[Any]]:  # noqa: ARG002
        """Start with row 0."""
        return 0, self._from_start(self.schema.get_field_index(column))

    def _from_start(self, field: int) -> Iterator[Any]:
        options = ipc.IpcReadOptions(included_fields=[field], use_threads=False)
        file = pa.memory_map(str(self._path))
        if self._is_stream:
            batches: Iterator[Any] = iter(ipc.open_stream(file, options=options))
        else:
            reader = ipc.open_file(file, options=options)
            batches = map(reader.get_batch, range(reader.num_record_batches))
        for batch in batches:
            batch.validate(full=True)  # Arrow trusts offsets: damaged ones crash the process
            yield batch


def open_table(path: Path) -> Table:
    """Open a file by its content; raises BROKEN."""
    with path.open("rb") as file:
        is_parquet = file.read(4) == b"PAR1"
    table = ParquetTable(path) if is_parquet else ArrowTable(path)
    if not table.schema.names:  # raises here, and not later, for names that are not UTF-8
        raise ValueError("the file has no columns")
    return table


class Cursor:
    """A place in one column of a table: reading on is cheap, going back starts anew."""

    def __init__(self, table: Table, column: str) -> None:
        self._table = table
        self._column = column
        self._batch: Any = None
        self._batches: Iterator[Any] = iter(())
        self._first = self._end = 0  # the rows that the batch holds

    def cell(self, row: int) -> object:
        """Give the value of one row; raises BROKEN."""
        if not self._first <= row < self._end:
            self._seek(row)
        value: object = self._batch.column(self._column)[row - self._first].as_py()
        return value

    def _seek(self, row: int) -> None:
        start, batches = self._table.batches(self._column, row)
        if row < self._end or start >= self._end:
            self._first = self._end = start
            self._batches = batches
        while row >= self._end:
            batch = next(self._batches, None)
            if batch is None:
                raise OSError(f"the file ends before row {row}")
            self._batch, self._first = batch, self._end
            self._end += batch.num_rows
