"""Parquet and Arrow files with a column of images."""

from __future__ import annotations

import posixpath
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa

from memaudit.data.columns import BROKEN, Cursor, Table, open_table
from memaudit.data.files import Listing, place_file, read_file, reason, stamp
from memaudit.data.rows import copy_rows
from memaudit.data.source import (
    Columns,
    Damage,
    Entry,
    Row,
    caption_name,
    cluster_name,
    cluster_of,
    ordered,
    prompt_of,
    refusal,
    shown,
)
from memaudit.errors import DataError, UnreadableImageError

_USUAL_NAMES = frozenset(["image", "img", "jpg", "jpeg", "png", "webp"])


class TableSource:
    """The rows of Parquet, Arrow or Feather files.

    The image column holds structs {bytes, path} as Hugging Face data sets do, encoded bytes, or
    paths relative to the file's folder. A file that is damaged or lacks that column becomes one
    entry whose read fails. Row numbers are padded with zeros, so that sorted order is file order.
    """

    def __init__(self, listing: Listing, columns: Columns) -> None:
        """Pick the columns from the first file that can be opened; raises DataError."""
        self.root = listing.root
        self._listing = listing
        schema, name = self._first_schema()
        self._image = _image_name(schema, columns.image, name)
        self._caption = caption_name(schema.names, columns.caption, name)
        # Rows lie in no folder, so that any name is that of a column here.
        self._cluster = cluster_name(schema.names, columns.cluster, name)
        self._cursor: tuple[str, Cursor] | None = None

    def entries(self) -> list[Entry]:
        """List the rows, reading captions and clusters only; see Source.entries."""
        rows = (entry for name in self._listing.files for entry in self._rows(name))
        return ordered([*rows, *self._listing.unreadable], self.root)

    def read(self, entry: Entry) -> bytes:
        """Read one row; see Source.read."""
        key = entry.key
        if not isinstance(key, Row):
            raise refusal(entry)
        try:
            value = self._cursor_in(key.file).cell(key.number)
        except BROKEN as error:
            raise UnreadableImageError(f"the row cannot be read: {reason(error)}") from error
        items = (value.get("bytes"), value.get("path")) if isinstance(value, dict) else (value,)
        for item in items:
            if isinstance(item, bytes):
                return item
            if isinstance(item, str):
                return read_file((self.root / key.file).parent / item)
        raise UnreadableImageError(f"column {self._image!r} is null in this row")

    def extract(self, entries: Iterable[Entry], folder: Path) -> str:
        """Copy rows, and link the files that they name; see Source.extract."""
        rows: dict[str, list[int]] = defaultdict(list)
        for entry in entries:
            if isinstance(entry.key, Row):
                rows[entry.key.file].append(entry.key.number)
        linked: set[str] = set()
        for name, numbers in sorted(rows.items()):
            paths = copy_rows(self.root / name, folder / name, sorted(numbers), self._image)
            linked |= {
                posixpath.normpath(posixpath.join(posixpath.dirname(name), p)) for p in paths
            }
        inside = {path for path in linked if not path.startswith("/")}
        self._refuse_outside(inside, rows)
        for path in sorted(inside):
            place_file(self.root / path, folder / path)
        return next(iter(rows)) if inside else ""  # beside images a table is opened by its name

    def _refuse_outside(self, linked: set[str], tables: Iterable[str]) -> None:
        outside = sorted(path for path in linked if path.startswith("../"))
        if outside:
            raise DataError(
                f"rows of {self.root} name images outside of it (the first: {outside[0]}), so that "
                "they cannot be copied whole; move them below the folder of the table, or put the "
                "images themselves into its column"
            )
        if linked and len(list(tables)) > 1:
            raise DataError(
                f"{self.root} has several tables that name image files, and a folder of both is no "
                "data set; put the images themselves into the tables, or join these into one"
            )

    def _first_schema(self) -> tuple[Any, str]:
        why = "no file"
        for name in self._listing.files:
            try:
                return open_table(self.root / name).schema, shown(name)
            except BROKEN as error:
                why = reason(error)
        raise DataError(
            f"no Parquet or Arrow file of {self.root} can be opened (last reason: {why}). "
            "Check that they were copied whole."
        )

    def _rows(self, name: str) -> list[Entry]:
        path = self.root / name
        mark = stamp(path)
        source = shown(name)
        try:
            table = open_table(path)
            if not _holds_images(table.schema, self._image):
                raise OSError(f"no image column {self._image!r} as in the other files")
            prompts = list(_texts(table, self._caption, prompt_of))
            clusters = list(_texts(table, self._cluster, cluster_of))
        except BROKEN as error:
            why = f"the file cannot be read: {reason(error)}"
            return [Entry(source, Damage(why), mark)]
        digits = len(str(len(prompts) - 1))
        return [
            Entry(f"{source}#{row:0{digits}}", Row(name, row), mark, prompt, cluster)
            for row, (prompt, cluster) in enumerate(zip(prompts, clusters, strict=True))
        ]

    def _cursor_in(self, name: str) -> Cursor:
        if self._cursor is None or self._cursor[0] != name:
            self._cursor = (name, Cursor(open_table(self.root / name), self._image))
        return self._cursor[1]


def _texts(table: Table, column: str | None, text: Callable[[object], str]) -> Iterator[str]:
    """Give one text a row, "" where the table has no such column."""
    if column is None or column not in table.schema.names:
        yield from [""] * table.num_rows()
        return
    for batch in table.batches(column)[1]:
        yield from map(text, batch.column(column).to_pylist())


def _image_name(schema: Any, wanted: str | None, where: str) -> str:
    """Take the wanted column, else the only one of bytes, else the one with a usual name."""
    if wanted is not None:
        candidates = [wanted] if _holds_images(schema, wanted) else []
    else:
        candidates = [field.name for field in schema if _is_bytes(field.type)]
        if len(candidates) != 1:
            usual = [name for name in schema.names if name.lower() in _USUAL_NAMES]
            candidates = [name for name in usual if _holds_images(schema, name)]
    if len(candidates) != 1:
        columns = ", ".join(f"{field.name} ({field.type})" for field in schema)
        missing = "single image column" if wanted is None else f"image column {wanted!r}"
        raise DataError(
            f"{where} has no {missing}; its columns are {columns}. Name one that holds encoded "
            "images or paths with --image-column."
        )
    return candidates[0]


def _holds_images(schema: Any, name: str) -> bool:
    if schema.names.count(name) != 1:
        return False
    kind = schema.field(name).type
    kind = kind.value_type if pa.types.is_dictionary(kind) else kind
    text = (pa.types.is_string, pa.types.is_large_string, pa.types.is_string_view)
    return _is_bytes(kind) or any(test(kind) for test in text)


def _is_bytes(kind: Any) -> bool:
    if pa.types.is_struct(kind):
        return bool(kind.get_field_index("bytes") >= 0)
    tests = (pa.types.is_binary, pa.types.is_large_binary, pa.types.is_binary_view)
    return any(test(kind) for test in tests)
