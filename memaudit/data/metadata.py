"""What metadata.csv, .jsonl or .parquet, or kohya's meta_cap.json, tell of images of a folder."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any, TextIO

import pyarrow as pa
import pyarrow.parquet as pq

from memaudit.data.captions import (
    Told,
    caption,
    caption_name,
    cluster,
    cluster_name,
)
from memaudit.data.columns import Table, open_table, value_of
from memaudit.data.keyed import is_keyed, read_keyed, write_keyed
from memaudit.data.rows import write_runs
from memaudit.data.source import Columns, listed
from memaudit.errors import DataError
from memaudit.foreign import open_regular, parse_json, refusing

FILE_NAME = "file_name"
KEYED = "meta_*.json"
LINE = 16 << 20  # characters
CELL = 1 << 20  # bytes

Cell = Callable[[], object]  # raises for a value that Python has no kind for
Rename = Callable[[str], str | None]  # the new name of an image, None for one that is left out


@dataclass(frozen=True, slots=True)
class Line:
    """One row: the columns of the file, or in JSON of the row; `lost` says what was cut off."""

    columns: Sequence[str]
    cells: Mapping[str, Cell]
    lost: str = ""


def is_metadata(name: str) -> bool:
    """Tell whether a file is called as metadata are, in any case."""
    return _kind(name) in _READERS


def _kind(name: str) -> str:
    return KEYED if is_keyed(name) else name.rpartition("/")[2].lower()


def read_metadata(path: Path, columns: Columns) -> Iterator[tuple[str, Told]]:
    """Give the file name in each row, relative to the file's folder, and what is told of it.

    Where `is_keyed` holds of the file, that is a key in place of a name.
    Without a caption column all prompts are empty, and clusters likewise. Raises DataError for a
    file that cannot be parsed, or one without `file_name` or a column that is asked for.
    """
    kind = path.suffix[1:].lower()
    with refusing(DataError, f"{path} cannot be read as {kind}; correct or remove it"):
        yield from _told(path, columns, _READERS[_kind(path.name)](path, columns))


def _told(path: Path, columns: Columns, lines: Iterator[Line]) -> Iterator[tuple[str, Told]]:
    names: dict[str, None] = {}
    header: Sequence[str] = ()
    spoken = grouped = None
    for number, line in enumerate(lines, start=1):
        if line.columns is not header:
            header = line.columns
            names |= dict.fromkeys(header)
            spoken = caption_name(header, _there(columns.caption, header), path.name)
            grouped = cluster_name(header, _there(columns.cluster_field, header), path.name)
            spoken = None if columns.caption not in (None, spoken) else spoken
        cells = line.cells
        name = cells[FILE_NAME]() if FILE_NAME in cells else None
        if not isinstance(name, str):
            raise DataError(
                f"row {number} of {path} has no text in `{FILE_NAME}`; it has the columns "
                f"{listed(header)}. Each row must name its image there."
            )
        told = caption(cells[spoken]) if spoken and spoken in cells else Told()
        group = cluster(cells[grouped]) if grouped and grouped in cells else ""
        yield name, Told("", group, line.lost) if line.lost else replace(told, cluster=group)
    if names:  # a column that is asked for may be in some rows of JSON only, but not in none
        caption_name(names, columns.caption, path.name)
        cluster_name(names, columns.cluster_field, path.name)


def _there(wanted: str | None, header: Sequence[str]) -> str | None:
    return wanted if wanted in header else None


def write_metadata(path: Path, target: Path, rename: Rename) -> None:
    """Write a metadata file with the rows of some images, whole but for their file names."""
    target.parent.mkdir(parents=True, exist_ok=True)
    _WRITERS[_kind(path.name)](path, target, rename)


def _write_csv(path: Path, target: Path, rename: Rename) -> None:
    with _text(path) as file, target.open("w", encoding="utf-8", newline="") as out:
        rows, writer = csv.reader(_lines(file)), csv.writer(out, lineterminator="\n")
        header = next(rows)
        writer.writerow(header)
        column = header.index(FILE_NAME)
        for row in filter(None, rows):
            if (name := rename(row[column])) is not None:
                writer.writerow([*row[:column], name, *row[column + 1 :]])


def _write_jsonl(path: Path, target: Path, rename: Rename) -> None:
    with _text(path) as file, target.open("w", encoding="utf-8") as out:
        for line in filter(str.strip, _lines(file)):
            row = parse_json(line.encode(), LINE, lenient=True)
            name = rename(row[FILE_NAME])
            if name == row[FILE_NAME]:
                out.write(line if line.endswith("\n") else f"{line}\n")
            elif name is not None:
                out.write(json.dumps({**row, FILE_NAME: name}, ensure_ascii=False) + "\n")


def _write_parquet(path: Path, target: Path, rename: Rename) -> None:
    table = open_table(path)
    names = list(table.schema.names)
    column = names.index(FILE_NAME)

    def kept() -> Iterator[pa.RecordBatch]:
        for batch in table.batches(names)[1]:
            new = [rename(name) for name in batch.column(column).to_pylist()]
            chosen = batch.filter(pa.array([name is not None for name in new], pa.bool_()))
            cells = pa.array([name for name in new if name is not None], chosen.schema[column].type)
            yield chosen.set_column(column, chosen.schema[column], cells)

    with pq.ParquetWriter(target, table.schema) as writer:
        write_runs(writer, kept())


@contextmanager
def _text(path: Path) -> Iterator[TextIO]:
    with open_regular(path) as file, io.BufferedReader(file) as buffered:
        yield io.TextIOWrapper(buffered, encoding="utf-8-sig", newline="")


def _lines(file: TextIO) -> Iterator[str]:
    while line := file.readline(LINE):
        if len(line) == LINE:
            raise ValueError(f"a line of {LINE} characters or more")
        yield line


def _csv_rows(path: Path, _: Columns) -> Iterator[Line]:
    with _text(path) as file:
        rows = filter(None, csv.reader(_lines(file)))
        header = next(rows, [])
        _expect_one(header)
        if FILE_NAME not in header:
            raise DataError(
                f"{path} has no column `{FILE_NAME}`; its columns are {listed(header) or 'none'}. "
                "Each row must name its image there."
            )
        for row in rows:
            cells = {name: partial(_same, cell) for name, cell in zip(header, row, strict=False)}
            over = f"{len(row)} cells under {len(header)} columns: put text with commas in quotes"
            yield Line(header, cells, over if any(row[len(header) :]) else "")


def _jsonl_rows(path: Path, _: Columns) -> Iterator[Line]:
    with _text(path) as file:
        for line in filter(str.strip, _lines(file)):
            row = parse_json(line.encode(), LINE, lenient=True)
            if not isinstance(row, dict):
                raise ValueError(f"expected an object a line, found {type(row).__name__}")
            yield Line(list(row), {name: partial(_same, value) for name, value in row.items()})


def _parquet_rows(path: Path, columns: Columns) -> Iterator[Line]:
    table = open_table(path)
    header = list(table.schema.names)
    _expect_one(header)
    spoken = caption_name(header, columns.caption, path.name)
    grouped = cluster_name(header, columns.cluster_field, path.name)
    yield from _rows(table, [name for name in (FILE_NAME, spoken, grouped) if name])


def _rows(table: Table, names: Sequence[str]) -> Iterator[Line]:
    """Some columns of each row of a Parquet file, as far as it has them."""
    header = list(table.schema.names)
    wanted = [name for name in dict.fromkeys(names) if name in header]
    for batch in table.batches(wanted or header[:1])[1]:
        for row in range(batch.num_rows):
            cells = {name: partial(_value, batch.column(name), row) for name in wanted}
            yield Line(header, cells)


def _keyed_rows(path: Path, _: Columns) -> Iterator[Line]:
    for key, fields in read_keyed(path):
        row = {**fields, FILE_NAME: key}
        yield Line(list(row), {name: partial(_same, value) for name, value in row.items()})


def _expect_one(header: Sequence[str]) -> None:
    if header.count(FILE_NAME) > 1:
        raise ValueError(f"two columns of the name {FILE_NAME}")


def columns_of(path: Path, names: Sequence[str]) -> Iterator[tuple[object, object]]:
    """`file_name` of each row of a table (.csv, .jsonl, .parquet), and the first of some columns.

    Raises DataError where it has none of them; the cell of a row that lacks one is None.
    """
    there: dict[str, None] = {}
    found = None
    for line in _chosen(path, names):
        there |= dict.fromkeys(line.columns)
        found = next((name for name in names if name in there), None)
        cells = [line.cells.get(name, lambda: None) for name in (FILE_NAME, found or "")]
        yield cells[0](), cells[1]()
    if there and found is None:
        raise DataError(
            f"{path} has none of the columns {listed(names)}; its columns are {listed(there)}"
        )


def _chosen(path: Path, names: Sequence[str]) -> Iterator[Line]:
    kind = path.suffix.lower()
    if kind != ".parquet":
        yield from (_csv_rows if kind == ".csv" else _jsonl_rows)(path, Columns())
        return
    yield from _rows(open_table(path), (FILE_NAME, *names))


def _same(value: object) -> object:
    return value


def _value(column: Any, row: int) -> object:
    return value_of(column.slice(row, 1), CELL)


_READERS: dict[str, Callable[[Path, Columns], Iterator[Line]]] = {
    "metadata.csv": _csv_rows,
    "metadata.jsonl": _jsonl_rows,
    "metadata.parquet": _parquet_rows,
    KEYED: _keyed_rows,
}
_WRITERS: dict[str, Callable[[Path, Path, Rename], None]] = {
    "metadata.csv": _write_csv,
    "metadata.jsonl": _write_jsonl,
    "metadata.parquet": _write_parquet,
    KEYED: write_keyed,
}
