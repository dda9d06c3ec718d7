"""Parquet and Arrow files, read forward a few rows at a time, in bounded memory."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Callable, Iterator, Sequence
from functools import cached_property
from itertools import accumulate, pairwise
from pathlib import Path
from typing import Any, Protocol

import pyarrow as pa
import pyarrow.parquet as pq
from pyarrow import ipc

from memaudit.data.bounds import (
    NESTED,
    ROWS,
    Chunk,
    Pages,
    check_messages,
    expect_rows,
    measure_pages,
    row_groups,
)
from memaudit.data.files import IMAGE_BYTES
from memaudit.errors import ForeignFileError
from memaudit.foreign import open_regular

BATCH_ROWS = 16
BATCH_BYTES = 64 << 20  # where one page holds more, fewer rows are taken at a time
CELL = 1 << 20  # bytes of a cell that is no image
FILE_MARK, STREAM_AT = b"ARROW1", 8  # an Arrow file is a stream behind its mark, and an index


Wanted = Callable[[int, int], bool]  # whether a row from the first number up to the second is


class Table(Protocol):
    """One file of rows. What its methods raise for a damaged file is of nearly any kind."""

    schema: Any  # pyarrow.Schema

    def num_rows(self) -> int:
        """Count the rows."""

    def batches(self, columns: Sequence[str], row: int = 0) -> tuple[int, Iterator[Any]]:
        """Give (first row, record batches of some columns), starting at or before `row`."""

    def whole(self, wanted: Wanted) -> Iterator[tuple[int, Any]]:
        """Give first rows and batches of all columns, passing over rows that nobody wants."""

    def writer(self, path: Path) -> Any:
        """Open a new file of the same format and schema."""


class ParquetTable:
    """A Parquet file.

    Reads through a buffer instead of by row group: pandas writes up to 2**20 rows into one group,
    which is the whole file.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._file = pq.ParquetFile(path, buffer_size=1 << 20, pre_buffer=False)
        self.schema = self._file.schema_arrow
        meta = self._file.metadata
        sizes: list[int] = [meta.row_group(i).num_rows for i in range(meta.num_row_groups)]
        expect_rows(sum(sizes), path.stat().st_size)
        self._starts = list(accumulate(sizes, initial=0))

    def num_rows(self) -> int:
        """Count the rows."""
        return self._starts[-1]

    def batches(self, columns: Sequence[str], row: int = 0) -> tuple[int, Iterator[Any]]:
        """Start with the row group that holds `row`."""
        group = bisect_right(self._starts, row) - 1
        return self._starts[group], self._from_group(group, columns)

    def _from_group(self, first: int, columns: Sequence[str]) -> Iterator[Any]:
        # One group at a time: a batch across two would lose the rows of both to damage in one.
        for group in range(first, len(self._starts) - 1):
            yield from self._batches(group, columns)

    def whole(self, wanted: Wanted) -> Iterator[tuple[int, Any]]:
        """Pass over row groups."""
        for group, (row, after) in enumerate(pairwise(self._starts)):
            batches = self._batches(group, None) if wanted(row, after) else iter(())
            first = row
            for batch in batches:
                yield first, batch
                first += batch.num_rows

    def writer(self, path: Path) -> Any:
        """Open a new Parquet file."""
        return pq.ParquetWriter(path, self.schema)

    def _batches(self, group: int, columns: Sequence[str] | None) -> Iterator[Any]:
        rows = rows_at_a_time(self._measure(group, columns))
        names = None if columns is None else list(columns)
        return iter(self._file.iter_batches(rows, [group], names, use_threads=False))

    def _measure(self, group: int, columns: Sequence[str] | None) -> Pages:
        """Measure the pages of columns, None for all; refuse those that are too large."""
        rows = self._starts[group + 1] - self._starts[group]
        found = [
            measure_pages(self._path, chunk)
            for path, chunk in zip(self._paths, self._groups[group], strict=True)
            if _is_of(path, columns)
        ]
        pages = Pages(
            max((one.largest for one in found), default=0),
            max((one.values for one in found), default=0),
        )
        if pages.values > max(ROWS, NESTED * rows):
            raise ForeignFileError(f"{pages.values} values in {rows} rows")
        return pages

    @cached_property
    def _groups(self) -> list[list[Chunk]]:
        return row_groups(self._path)

    @cached_property
    def _paths(self) -> list[str]:
        """The columns, by the schema: what a chunk says of itself decides nothing for a reader."""
        schema = self._file.schema
        return [schema.column(number).path for number in range(len(schema))]


class ArrowTable:
    """An Arrow file, in the file format (Feather 2) or the stream format.

    It is mapped into memory, so that passing over rows costs little if it is not compressed.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        with open_regular(path) as file:
            self._start = STREAM_AT if file.read(len(FILE_MARK)) == FILE_MARK else 0
        with self._mapped() as file:
            self.schema = ipc.open_stream(file).schema
        check_messages(path, self._start)

    def num_rows(self) -> int:
        """Count the rows."""
        return sum(batch.num_rows for batch in self._from_start([0]))

    def batches(self, columns: Sequence[str], row: int = 0) -> tuple[int, Iterator[Any]]:  # noqa: ARG002
        """Start with row 0."""
        return 0, self._from_start([self.schema.get_field_index(name) for name in columns])

    def whole(self, wanted: Wanted) -> Iterator[tuple[int, Any]]:
        """Pass over batches."""
        first = 0
        for batch in ipc.open_stream(self._mapped()):
            if wanted(first, first + batch.num_rows):
                batch.validate(full=True)
                yield first, batch
            first += batch.num_rows

    def writer(self, path: Path) -> Any:
        """Open a new file of the same of both formats."""
        return (ipc.new_file if self._start else ipc.new_stream)(str(path), self.schema)

    def _mapped(self) -> Any:
        file = pa.memory_map(str(self._path))
        file.seek(self._start)
        return file

    def _from_start(self, fields: list[int]) -> Iterator[Any]:
        options = ipc.IpcReadOptions(included_fields=sorted(set(fields)), use_threads=False)
        for batch in ipc.open_stream(self._mapped(), options=options):
            batch.validate(full=True)  # Arrow trusts offsets: damaged ones crash the process
            yield batch


def rows_at_a_time(pages: Pages) -> int:
    """Rows of a batch: as few as a page is large, for one page may hold one value many times."""
    return max(1, min(BATCH_ROWS, BATCH_BYTES // max(1, pages.largest)))


def _is_of(path: str, columns: Sequence[str] | None) -> bool:
    return columns is None or path in columns or path.partition(".")[0] in columns


def is_parquet(path: Path) -> bool:
    """Tell a Parquet file from others by its mark."""
    with open_regular(path) as file:
        return file.read(4) == b"PAR1"


def open_table(path: Path) -> Table:
    """Open a file by its content; what it raises for a damaged one is of nearly any kind."""
    table = ParquetTable(path) if is_parquet(path) else ArrowTable(path)
    if not table.schema.names:  # raises here, and not later, for names that are not UTF-8
        raise ValueError("the file has no columns")
    return table


def value_of(cell: Any, limit: int) -> object:
    """Turn a cell (an array of one row) into Python's own; raises if it is too large for that."""
    if isinstance(cell, pa.DictionaryArray):
        index = cell.indices[0].as_py()
        cell = cell.slice(0, 0) if index is None else cell.dictionary.slice(index, 1)
    if not len(cell):
        return None
    is_view = pa.types.is_binary_view(cell.type) or pa.types.is_string_view(cell.type)
    buffer = cell[0].as_buffer() if is_view else cell  # a view has all buffers of its batch
    size = 0 if buffer is None else buffer.size if is_view else buffer.nbytes
    if size > limit:
        raise ForeignFileError(f"a cell of {size} bytes: the limit is {limit}")
    value: object = cell[0].as_py()
    return value


class Cursor:
    """A place in one column of a table: reading on is cheap, going back starts anew."""

    def __init__(self, table: Table, column: str) -> None:
        self._table = table
        self._column = column
        self._batch: Any = None
        self._batches: Iterator[Any] = iter(())
        self._first = self._end = 0  # the rows that the batch holds

    def cell(self, row: int) -> object:
        """Give the value of one row; raises nearly anything for a damaged file."""
        if not self._first <= row < self._end:
            self._seek(row)
        return value_of(self._batch.column(self._column).slice(row - self._first, 1), IMAGE_BYTES)

    def _seek(self, row: int) -> None:
        start, batches = self._table.batches([self._column], row)
        if row < self._end or start >= self._end:
            self._first = self._end = start
            self._batches = batches
        while row >= self._end:
            batch = next(self._batches, None)
            if batch is None:
                raise OSError(f"the file ends before row {row}")
            self._batch, self._first = batch, self._end
            self._end += batch.num_rows
