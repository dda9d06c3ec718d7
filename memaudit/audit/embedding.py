"""The embedding pass: every image decoded once, embedded, and put into the index.

Its results depend on the data and the embedder alone, so they are kept apart from the run and the
next scan of the same data finds them.
"""

from __future__ import annotations

import errno
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
from filelock import FileLock

from memaudit.audit.embedded import (
    PARTS,
    ROW_SCHEMA,
    Finished,
    all_rows,
    finished,
    read_rows,
    read_vectors,
    sealed_parts,
)
from memaudit.audit.listing import Listing
from memaudit.config import AlphaPolicy, DataOptions, ResizePolicy, digest
from memaudit.data import Decoded, decode, image_id, properties, resize
from memaudit.errors import ConfigError, DataError, UnreadableImageError
from memaudit.progress import Progress
from memaudit.records import Image
from memaudit.similarity.embed import Embedder
from memaudit.similarity.search import Index, IndexMeta, build_index
from memaudit.similarity.search.index import OWN_SIZE

SHARD = 64  # entries a part; a part is what an interruption can cost
BATCH_BYTES = 128 << 20  # of pixels that are embedded together
LOCK = ".index.lock"  # not the name of a run directory's: one folder may be both


Described = tuple[dict[str, object], Image | None]  # a row, and the image that it is of


@dataclass(frozen=True)
class View:
    """How images are decoded and brought to size; None keeps their own size."""

    resolution: tuple[int, int] | None
    resize: ResizePolicy
    alpha: AlphaPolicy = "white"

    def decode(self, data: bytes, name: str = "") -> Decoded:
        """Decode one image; raises UnreadableImageError."""
        return decode(data, self.alpha, name)

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
        how = meta.resize, meta.alpha
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

    One process at a time builds an index; another one that wants the same waits for it. What is
    damaged is said and made anew. Raises DataError if no image can be read and IndexMismatchError
    if `directory` holds other data, finished or not.
    """
    made_of = (embedder.name, embedder.digest, listing.fingerprint)
    meta = IndexMeta(*made_of, resolution=view.size, resize=view.resize, alpha=view.alpha)
    with _held(directory):
        found = finished(directory, meta, embedding_key(listing, embedder, view), device)
        whole = found
        if whole is None:
            _write_parts(listing, embedder, view, directory, progress)
            index = _merge(directory, meta, listing, device)
            whole = Finished(index, all_rows(directory, index))
    rows = whole.rows
    failed = rows["error"] != ""
    return Embedded(
        table=rows[~failed].drop(columns="error").reset_index(drop=True),
        errors=rows.loc[failed, ["split", "source", "error"]].reset_index(drop=True),
        index=whole.index,
        directory=directory,
        reused=found is not None,
    )


@contextmanager
def _held(directory: Path) -> Iterator[None]:
    """Hold the folder of an index, waiting for it; raises ConfigError if it cannot be written."""
    lock = FileLock(directory / LOCK)
    try:
        directory.mkdir(parents=True, exist_ok=True)
        lock.acquire()
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            raise
        raise ConfigError(
            f"{directory}, where the index of the images is kept, cannot be written: "
            f"{error.strerror}; name a folder of your own with --index, or one for all indexes in "
            "the variable MEMAUDIT_CACHE"
        ) from error
    try:
        yield
    finally:
        lock.release()


def _write_parts(
    listing: Listing, embedder: Embedder, view: View, directory: Path, progress: Progress
) -> None:
    sealed = sealed_parts(directory)
    whole = sealed.mend(PARTS)
    for name, rows in _shards(listing).items():
        if name not in whole:
            table = _embed_shard(listing, rows, embedder, view)
            buffer = pa.BufferOutputStream()
            pq.write_table(table, buffer)
            sealed.put(name, buffer.getvalue().to_pybytes(), len(table))
        progress("embed", rows.stop, len(listing.rows))


def _shards(listing: Listing) -> dict[str, range]:
    """The names of the parts, and the rows of the listing that each is of."""
    shards = enumerate(listing.shards(SHARD))
    return {f"{PARTS}/part-{number:05d}.parquet": rows for number, rows in shards}


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
        decoded = view.decode(data, listed.entry.source)
    except UnreadableImageError as error:
        return record | {"error": str(error)}, None
    record |= {"example_id": image_id(decoded.image), "changed": decoded.changed}
    record |= asdict(properties(decoded, len(data)))
    return record, view.apply(decoded.image)


def _merge(directory: Path, meta: IndexMeta, listing: Listing, device: str) -> Index:
    """Put the first vector of every distinct image into the index, in listing order."""
    ids: dict[str, int] = {}
    paths = [directory / name for name in _shards(listing)]
    firsts = {path: _first_of_id(path, ids) for path in paths}
    if not ids:
        first = read_rows(paths[0])["error"].iloc[0]
        raise DataError(f"none of the {len(listing.rows)} images can be read; the first: {first}")
    chunks = (read_vectors(path, rows) for path, rows in firsts.items())
    filled = (chunk for chunk in chunks if len(chunk))
    return build_index(directory, list(ids), filled, meta, device)


def _first_of_id(path: Path, ids: dict[str, int]) -> list[int]:
    """Rows of a part whose pixels no earlier row had; adds them to `ids`."""
    rows = []
    for row, example_id in enumerate(read_rows(path)["example_id"]):
        if isinstance(example_id, str) and example_id not in ids:
            ids[example_id] = len(ids)
            rows.append(row)
    return rows
