"""The embedding pass: every image decoded once, embedded, and put into the index.

Its results depend on the data and the embedder alone, so they are kept apart from the run and the
next scan of the same data finds them.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import cast

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
from filelock import FileLock

from memaudit.audit.listing import Listing
from memaudit.config import AlphaPolicy, DataOptions, ResizePolicy, digest
from memaudit.data import PROPERTIES, Decoded, Properties, decode, image_id, properties, resize
from memaudit.errors import DataError, IndexMismatchError, UnreadableImageError
from memaudit.progress import Progress
from memaudit.records import Image, Vectors
from memaudit.similarity.embed import Embedder
from memaudit.similarity.search import Index, IndexMeta, build_index, load_index
from memaudit.similarity.search.storage import SIDECAR

SHARD = 64  # entries a part; a part is what an interruption can cost
BATCH_BYTES = 128 << 20  # of pixels that are embedded together
OWN_SIZE = "own size"
LOCK = ".index.lock"  # not the name of a run directory's: one folder may be both
KEY = b"memaudit.index"  # of a part's schema: which embedding pass it belongs to
DAMAGED = (OSError, ValueError, pa.ArrowException)  # what reading a damaged part raises
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


Described = tuple[dict[str, object], Image | None]  # a row, and the image that it is of


@dataclass(frozen=True)
class View:
    """How images are decoded and brought to size; None keeps their own size."""

    resolution: tuple[int, int] | None
    resize: ResizePolicy
    alpha: AlphaPolicy = "white"

    def decode(self, data: bytes) -> Decoded:
        """Decode one image; raises UnreadableImageError."""
        return decode(data, self.alpha)

    def apply(self, image: Image) -> Image:
        """Bring one image to size."""
        if self.resolution is None:
            return image
        return resize(image, self.resolution, self.resize)

    @property
    def size(self) -> str:
        """The resolution in words."""
        return OWN_SIZE if self.resolution is None else "{}x{}".format(*self.resolution)

    @classmethod
    def of_data(cls, resolution: tuple[int, int] | None, data: DataOptions) -> View:
        """Images of a size, as the options of the data say."""
        return cls(resolution, data.resize, data.alpha)

    @classmethod
    def square(cls, side: int | None, data: DataOptions) -> View:
        """Squares of a side, or images of their own size."""
        return cls.of_data(None if side is None else (side, side), data)

    @classmethod
    def of(cls, meta: IndexMeta) -> View:
        """The view an index was made with."""
        how = cast(ResizePolicy, meta.resize), cast(AlphaPolicy, meta.alpha)
        if meta.resolution == OWN_SIZE:
            return cls(None, *how)
        height, width = meta.resolution.split("x")
        return cls((int(height), int(width)), *how)


@dataclass(frozen=True, eq=False)
class Embedded:
    """All readable images: a table, the index of their distinct pixels, and what failed.

    `table` has one row a readable entry, with COLUMNS but for error. `errors`: split, source,
    error.
    """

    table: pd.DataFrame
    errors: pd.DataFrame
    index: Index
    directory: Path
    reused: bool


def embedding_key(listing: Listing, embedder: Embedder, view: View) -> str:
    """What an embedding pass depends on: equal keys, equal index."""
    made_of = [listing.fingerprint, embedder.digest, view.size, view.resize, view.alpha]
    return digest([*made_of, IndexMeta.version])


def embed_listing(
    listing: Listing,
    embedder: Embedder,
    view: View,
    directory: Path,
    progress: Progress,
    device: str = "cpu",
) -> Embedded:
    """Embed what no earlier pass embedded, and open the index on a device.

    One process at a time builds an index; another one that wants the same waits for it. Raises
    DataError if no image can be read and IndexMismatchError if `directory` holds other data,
    finished or not.
    """
    directory.mkdir(parents=True, exist_ok=True)
    made_of = (embedder.name, embedder.digest, listing.fingerprint)
    meta = IndexMeta(*made_of, resolution=view.size, resize=view.resize, alpha=view.alpha)
    with FileLock(directory / LOCK):
        reused = (directory / SIDECAR).is_file()
        if reused:
            index = load_index(directory, meta, device)
        else:
            _write_parts(listing, embedder, view, directory, progress)
            index = _merge(directory, meta, len(listing.rows), device)
    rows = _all_rows(directory, index)
    failed = rows["error"] != ""
    return Embedded(
        table=rows[~failed].drop(columns="error").reset_index(drop=True),
        errors=rows.loc[failed, ["split", "source", "error"]].reset_index(drop=True),
        index=index,
        directory=directory,
        reused=reused,
    )


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
    rows = _all_rows(directory, index)
    return rows[rows["error"] == ""]


def _write_parts(
    listing: Listing, embedder: Embedder, view: View, directory: Path, progress: Progress
) -> None:
    key = embedding_key(listing, embedder, view).encode()
    (directory / "parts").mkdir(exist_ok=True)
    for number, rows in enumerate(listing.shards(SHARD)):
        path = directory / "parts" / f"part-{number:05d}.parquet"
        if not _is_done(path, key):
            table = _embed_shard(listing, rows, embedder, view)
            temporary = path.with_suffix(".tmp")
            pq.write_table(table.replace_schema_metadata({KEY: key}), temporary)
            temporary.replace(path)
        progress("embed", rows.stop, len(listing.rows))


def _is_done(path: Path, key: bytes) -> bool:
    """Whether a part is there and whole; raises IndexMismatchError if it is another pass's."""
    try:
        found = pq.read_schema(path).metadata or {}
    except DAMAGED:
        return False
    if found.get(KEY) != key:
        raise IndexMismatchError(
            f"{path.parents[1]} holds the unfinished index of other data, or of another embedder, "
            "size or version; give another directory, or remove it"
        )
    return True


def _embed_shard(listing: Listing, rows: range, embedder: Embedder, view: View) -> pa.Table:
    records: list[dict[str, object]] = []
    for few in _batches(_describe(listing, row, view) for row in rows):
        readable = [image for _, image in few if image is not None]
        vectors = iter(embedder.embed(readable) if readable else ())
        records += [
            record | {"vector": None if image is None else next(vectors)} for record, image in few
        ]
    vector = pa.field("vector", pa.list_(pa.float32(), embedder.dim))
    schema = pa.schema([*ROW_SCHEMA, vector])
    return pa.Table.from_pylist(records, schema=schema)


ARROW = {"str": pa.string(), "int": pa.int64(), "float": pa.float64()}
KINDS = {"row": "int"} | {field.name: str(field.type) for field in fields(Properties)}
ROW_SCHEMA = pa.schema([(name, ARROW[KINDS.get(name, "str")]) for name, _ in COLUMNS])


def _batches(described: Iterator[Described]) -> Iterator[list[Described]]:
    """Cut into runs of images that take no more than BATCH_BYTES, or one alone."""
    few: list[Described] = []
    size = 0
    for one in described:
        few.append(one)
        size += 0 if one[1] is None else one[1].nbytes
        if size > BATCH_BYTES:
            yield few
            few, size = [], 0
    yield few


def _describe(listing: Listing, row: int, view: View) -> Described:
    listed = listing.rows[row]
    record: dict[str, object] = {
        "row": row,
        "split": listed.split,
        "source": listed.entry.source,
        "prompt": listed.entry.prompt,
        "changed": "",
        "lost": listed.entry.lost,
        "error": "",
    }
    try:
        data = listing.read(row)
        decoded = view.decode(data)
    except UnreadableImageError as error:
        return record | {"error": str(error)}, None
    record |= {"example_id": image_id(decoded.image), "changed": decoded.changed}
    record |= asdict(properties(decoded, len(data)))
    return record, view.apply(decoded.image)


def _merge(directory: Path, meta: IndexMeta, entries: int, device: str) -> Index:
    """Put the first vector of every distinct image into the index, in listing order."""
    ids: dict[str, int] = {}
    firsts = {path: _first_of_id(path, ids) for path in _parts(directory)}
    if not ids:
        first = _read_rows(next(iter(firsts)))["error"].iloc[0]
        raise DataError(f"none of the {entries} images can be read; the first: {first}")
    chunks = (_read_vectors(path, rows) for path, rows in firsts.items())
    filled = (chunk for chunk in chunks if len(chunk))
    return build_index(directory, list(ids), filled, meta, device)


def _first_of_id(path: Path, ids: dict[str, int]) -> list[int]:
    """Rows of a part whose pixels no earlier row had; adds them to `ids`."""
    rows = []
    for row, example_id in enumerate(_read_rows(path)["example_id"]):
        if isinstance(example_id, str) and example_id not in ids:
            ids[example_id] = len(ids)
            rows.append(row)
    return rows


def _parts(directory: Path) -> list[Path]:
    return sorted((directory / "parts").glob("part-*.parquet"))


def _all_rows(directory: Path, index: Index) -> pd.DataFrame:
    """Read the rows of all parts; raises IndexMismatchError if they are not the index's."""
    try:
        rows = pd.concat([_read_rows(path) for path in _parts(directory)], ignore_index=True)
        whole = rows["example_id"].dropna().unique().tolist() == index.ids
    except DAMAGED:
        whole = False
    if not whole:
        raise IndexMismatchError(
            f"the index in {directory} is damaged: its parts are missing or are not of "
            "the images it lists; remove that directory, it is built again"
        )
    return rows


def _read_rows(path: Path) -> pd.DataFrame:
    rows: pd.DataFrame = pq.read_table(path, columns=ROW_SCHEMA.names).to_pandas()
    return rows


def _read_vectors(path: Path, rows: list[int]) -> Vectors:
    table = pq.read_table(path, columns=["vector"])
    taken = table.column("vector").take(pa.array(rows, pa.int64()))
    arrays: Iterator[pa.Array] = iter(taken.chunks)
    flat = [array.flatten().to_numpy(zero_copy_only=False) for array in arrays]
    size = table.schema.field("vector").type.list_size
    vectors: Vectors = np.concatenate([*flat, np.empty(0, np.float32)]).reshape(-1, size)
    return vectors
