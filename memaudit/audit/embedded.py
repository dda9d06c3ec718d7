"""An index between scans: its sealed parts on disk, and whether all of it is what was written."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, fields
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from memaudit.data import PROPERTIES, Properties
from memaudit.errors import DamagedIndexError, IndexMismatchError, RunDirectoryError
from memaudit.progress import remark
from memaudit.records import Vectors
from memaudit.run.manifest import MANIFEST, Sealed
from memaudit.run.store import Folder
from memaudit.similarity.search import Index, IndexMeta, load_index
from memaudit.similarity.search.storage import SIDECAR

PARTS = "parts"  # their folder
COLUMNS = (  # of the rows
    ("row", "number of the entry in the listing"),
    ("split", "member or control"),
    ("source", "path of the image inside its data set"),
    ("prompt", "caption in the data set, or blank"),
    ("example_id", "sha256 of the image's mode, size and decoded pixels"),
    *PROPERTIES,
    ("changed", "what has no place in RGB of 8 bits: transparent, grey of 12 bits, ...; or blank"),
    ("lost", "why the caption that is there cannot be read, or blank"),
    ("error", "why the image cannot be read, or blank; then all from example_id on is missing"),
)

ARROW = {"str": pa.string(), "int": pa.int64(), "float": pa.float64()}
KINDS = {"row": "int"} | {field.name: str(field.type) for field in fields(Properties)}
ROW_SCHEMA = pa.schema([(name, ARROW[KINDS.get(name, "str")]) for name, _ in COLUMNS])


def sealed_parts(directory: Path) -> Sealed:
    """The parts; their manifest stands beside them, since a run's may stand above."""
    return Sealed(Folder(directory), f"{PARTS}/{MANIFEST}")


def open_index(directory: Path, device: str = "cpu") -> Index:
    """Open a finished index; raises IndexMismatchError for one of another version."""
    index = load_index(directory, device=device)
    if index.meta.version != IndexMeta.version:
        raise IndexMismatchError(
            f"the index in {directory} is of version {index.meta.version}, expected "
            f"{IndexMeta.version}; remove that directory and build it again"
        )
    return index


def readable_rows(directory: Path, index: Index) -> pd.DataFrame:
    """Rows of the entries of an index that could be read."""
    rows = all_rows(directory, index)
    return rows[rows["error"] == ""]


@dataclass(frozen=True, eq=False)
class Finished:
    """A finished index, and the rows of all entries that it was made from."""

    index: Index
    rows: pd.DataFrame


def finished(directory: Path, meta: IndexMeta, key: str, device: str) -> Finished | None:
    """Open the index of a directory; None if it is not complete. What is damaged is removed.

    Raises IndexMismatchError if it is of other data, finished or not.
    """
    sealed, sidecar = sealed_parts(directory), directory / SIDECAR
    ours, index = sealed.is_of(key), None
    if sidecar.is_file():
        try:
            index = load_index(directory, meta, device)
        except DamagedIndexError as error:
            if not ours:
                raise
            remark(f"{error} It is made anew")
    elif not ours and _holds_another(sealed):
        raise IndexMismatchError(
            f"{directory} holds the unfinished index of other data, or of another embedder, size "
            "or version; give another directory, or remove it"
        )
    begun = sealed.begin(key, [PARTS])
    whole = sealed.mend(PARTS)
    if index is not None and not begun and whole == sealed.rows(PARTS):
        try:
            return Finished(index, all_rows(directory, index))
        except DamagedIndexError as error:
            remark(f"{error} It is made anew")
    sidecar.unlink(missing_ok=True)
    return None


def _holds_another(sealed: Sealed) -> bool:
    try:
        return bool(sealed.rows(PARTS))
    except RunDirectoryError:
        return False


def all_rows(directory: Path, index: Index) -> pd.DataFrame:
    """Read the rows of all parts; raises DamagedIndexError if they are not the index's."""
    sealed = sealed_parts(directory)
    try:
        contents = sealed.each(sealed.rows(PARTS))
        tables = [read_rows(pa.BufferReader(content)) for content in contents]
    except RunDirectoryError as error:
        raise DamagedIndexError(
            f"the index in {directory} is damaged: {error}. Build it again."
        ) from error
    rows = pd.concat(tables, ignore_index=True) if tables else pd.DataFrame({"example_id": []})
    if rows["example_id"].dropna().unique().tolist() != index.ids:
        raise DamagedIndexError(
            f"the index in {directory} is damaged: its parts are not of the images it lists. "
            "Build it again."
        )
    return rows


def read_rows(source: Path | pa.BufferReader) -> pd.DataFrame:
    """The rows of a part, without their vectors."""
    rows: pd.DataFrame = pq.read_table(source, columns=ROW_SCHEMA.names).to_pandas()
    return rows


def read_vectors(path: Path, rows: list[int]) -> Vectors:
    """The vectors of some rows of a part, [N, D]."""
    table = pq.read_table(path, columns=["vector"])
    taken = table.column("vector").take(pa.array(rows, pa.int64()))
    arrays: Iterator[pa.Array] = iter(taken.chunks)
    flat = [array.flatten().to_numpy(zero_copy_only=False) for array in arrays]
    size = table.schema.field("vector").type.list_size
    vectors: Vectors = np.concatenate([*flat, np.empty(0, np.float32)]).reshape(-1, size)
    return vectors
