"""Parquet and Arrow files with a column of images."""

from __future__ import annotations

import posixpath
from collections import defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import replace
from functools import partial
from itertools import repeat
from pathlib import Path
from typing import Any

import pyarrow as pa

from memaudit.data.captions import (
    CAPTION_NAMES,
    FIELDS,
    Kept,
    Told,
    caption,
    caption_name,
    cluster,
    cluster_name,
)
from memaudit.data.columns import CELL, Cursor, Table, open_table, value_of
from memaudit.data.files import Listing, is_outside, named_in, place_file, read_named, stamp
from memaudit.data.rows import copy_rows
from memaudit.data.source import (
    Columns,
    Damage,
    Entry,
    Row,
    listed,
    ordered,
    refusal,
)
from memaudit.errors import DataError, ForeignFileError, UnreadableImageError
from memaudit.foreign import refusing
from memaudit.text import encodable

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
        self._asked = columns.caption
        self._caption_in(schema, name)  # raises where it is not there
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
        with refusing(UnreadableImageError, "the row cannot be read"):
            value = self._cursor_in(key.file).cell(key.number)
        items = (value.get("bytes"), value.get("path")) if isinstance(value, dict) else (value,)
        for item in items:
            if isinstance(item, bytes):
                return item
            if isinstance(item, str):
                return read_named(self.root, self._named(key.file, item))
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
            linked |= {path if posixpath.isabs(path) else self._named(name, path) for path in paths}
        self._refuse_outside(linked, rows)
        for path in sorted(linked):
            place_file(self.root / path, folder / path)
        return next(iter(rows)) if linked else ""  # beside images a table is opened by its name

    def _named(self, table: str, path: str) -> str:
        return named_in(self.root, posixpath.dirname(table), path)

    def _refuse_outside(self, linked: set[str], tables: Iterable[str]) -> None:
        outside = sorted(filter(is_outside, linked))
        if outside:
            raise DataError(
                f"rows of {self.root} name images outside of it (the first: {outside[0]}) or by "
                "their whole paths, so that they cannot be copied whole; move them below the "
                "folder of the table and name them from there, or put the images themselves into "
                "its column"
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
                with refusing(UnreadableImageError, "it is damaged"):
                    return open_table(self.root / name).schema, encodable(name)
            except UnreadableImageError as error:
                why = str(error)
        raise DataError(
            f"no Parquet or Arrow file of {self.root} can be opened (last reason: {why}). "
            "Check that they were copied whole."
        )

    def _rows(self, name: str) -> list[Entry]:
        path = self.root / name
        mark = stamp(path)
        source = encodable(name)
        try:
            with refusing(UnreadableImageError, "the file cannot be read"):
                rows = list(self._told(open_table(path)))
        except UnreadableImageError as error:
            return [Entry(source, Damage(str(error)), mark)]
        digits = len(str(len(rows) - 1))
        return [
            Entry(
                f"{source}#{row:0{digits}}",
                Row(name, row),
                mark,
                told.prompt,
                told.cluster,
                told.lost,
            )
            for row, told in enumerate(rows)
        ]

    def _told(self, table: Table) -> Iterator[Told]:
        """What the columns tell of each row; a cell that cannot be read costs its row alone."""
        names = table.schema.names
        if not _holds_images(table.schema, self._image):
            raise ForeignFileError(f"no image column {self._image!r} as in the other files")
        spoken = self._asked
        if spoken is None:
            usual = {name.lower(): name for name in names}
            spoken = next((usual[name] for name in CAPTION_NAMES if name in usual), None)
            spoken = spoken or _json_name(table.schema)
        spoken, grouped = (_once(name, names) for name in (spoken, self._cluster))
        if spoken is None and grouped is None:
            yield from repeat(Told(), table.num_rows())
            return
        keep = Kept()
        wanted = list(dict.fromkeys(name for name in (spoken, grouped) if name is not None))
        for batch in table.batches(wanted)[1]:
            for row in range(batch.num_rows):
                told = Told() if spoken is None else caption(partial(_cell, batch, spoken, row))
                group = "" if grouped is None else cluster(partial(_cell, batch, grouped, row))
                yield keep(replace(told, cluster=group))

    def _caption_in(self, schema: Any, where: str) -> str | None:
        return caption_name(schema.names, self._asked, where) or _json_name(schema)

    def _cursor_in(self, name: str) -> Cursor:
        if self._cursor is None or self._cursor[0] != name:
            self._cursor = (name, Cursor(open_table(self.root / name), self._image))
        return self._cursor[1]


def _once(name: str | None, names: list[str]) -> str | None:
    """A column where a table has it; raises ForeignFileError where it has two of the name."""
    if names.count(str(name)) > 1:
        raise ForeignFileError(f"two columns of the name {name!r}")
    return name if name in names else None


def _cell(batch: Any, column: str, row: int) -> object:
    return value_of(batch.column(column).slice(row, 1), CELL)


def _json_name(schema: Any) -> str | None:
    """The column of the .json files of an archive, as datasets makes it, if it holds captions."""
    for field in schema:
        if (
            field.name.lower() == FIELDS
            and pa.types.is_struct(field.type)
            and any(field.type.get_field_index(name) >= 0 for name in CAPTION_NAMES)
        ):
            return str(field.name)
    return None


def _image_name(schema: Any, wanted: str | None, where: str) -> str:
    """Take the wanted column, else the only one of bytes, else the one with a usual name."""
    if wanted is not None:
        candidates = [wanted] if _holds_images(schema, wanted) else []
    else:
        candidates = [field.name for field in schema if _is_bytes(field.type)]
        if len(candidates) != 1:
            usual = [name for name in schema.names if name.lower() in _USUAL_NAMES]
            candidates = [name for name in usual if _holds_images(schema, name)]
    if not candidates and (lists := _lists_in(schema, wanted)):
        raise DataError(
            f"{where}: column {listed(lists)}, expected one image a row. Write a row for each "
            "image, as explode of pandas does."
        )
    if len(candidates) != 1:
        columns = listed(f"{field.name} ({field.type})" for field in schema)
        missing = "single image column" if wanted is None else f"image column {wanted!r}"
        raise DataError(
            f"{where} has no {missing}; its columns are {columns}. Name one that holds encoded "
            "images or paths with --image-column."
        )
    return candidates[0]


def _lists_in(schema: Any, wanted: str | None) -> list[str]:
    """Columns whose cells are lists: the one that is wanted, else those of images."""
    tests = (pa.types.is_list, pa.types.is_large_list, pa.types.is_fixed_size_list)
    lists = [field for field in schema if any(test(field.type) for test in tests)]
    usual = {*_USUAL_NAMES, *(f"{name}s" for name in _USUAL_NAMES)}
    return [
        f"{one.name} holds lists ({one.type})"
        for one in lists
        if one.name == wanted
        or (wanted is None and (one.name.lower() in usual or _is_bytes(one.type.value_type)))
    ]


def holds_bytes(schema: Any) -> bool:
    """Tell whether a column could hold encoded images."""
    return any(_is_bytes(field.type) for field in schema)


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
