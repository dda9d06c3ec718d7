"""Set controls aside before a training: a random split that parts no cluster and no near copies."""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from os.path import realpath
from pathlib import Path

import pandas as pd

from memaudit.audit.cache import index_directory
from memaudit.audit.drawing import draw, join
from memaudit.audit.embedding import View, embed_listing, embedding_key
from memaudit.audit.listing import Listing, list_data
from memaudit.audit.pool import Pool, make_pool, threshold_of
from memaudit.config import SplitConfig, digest
from memaudit.data import whole_of
from memaudit.errors import RunDirectoryError
from memaudit.files import write_json
from memaudit.foreign import read_json, refusing
from memaudit.models.device import resolve_device
from memaudit.progress import Progress, silent
from memaudit.similarity.embed import Embedder, load_embedder

RECORD = "memaudit-split.json"  # beside the images: what was asked, and what is there


@dataclass(frozen=True)
class Unread:
    """One image that could not be read, and is on neither side."""

    source: str
    error: str


@dataclass(frozen=True)
class Side:
    """One data set that was written; `path` is what training and scan are given.

    `units` are what was drawn: clusters and groups of near copies, joined where they share an
    image. `clusters` is None where none are told.
    """

    path: str
    images: int
    groups: int
    clusters: int | None
    units: int
    largest: int  # images of the largest unit


@dataclass(frozen=True)
class Parted:
    """Both sides, and what is on neither."""

    members: Side
    controls: Side
    unreadable: tuple[Unread, ...]


@dataclass(frozen=True, eq=False)
class _Drawn:
    """What is to be written: the rows of each side, and the digest of all that decided it."""

    config: SplitConfig
    listing: Listing
    rows: Mapping[str, pd.DataFrame]
    unreadable: tuple[Unread, ...]
    key: str


def split(config: SplitConfig, progress: Progress = silent) -> Parted:
    """Draw controls and write two data sets; called again after an interruption it continues.

    Each is written whole or not at all. Raises RunDirectoryError for a directory that holds other
    things, and DataError for data that cannot be split.
    """
    listing = list_data(config.data, config.seed)
    embedder = load_embedder(config.embedder, str(resolve_device(config.device)))
    key = digest([config.digest, listing.fingerprint, listing.clusters, embedder.digest])
    for out in (config.members, config.controls):
        _written(Path(out), key)  # refuses what is foreign before the work begins
    pool = _pool(config, listing, embedder, progress)
    errors = zip(pool.errors["source"], pool.errors["error"], strict=True)
    unreadable = tuple(Unread(str(source), str(error)) for source, error in errors)
    drawn = _Drawn(config, listing, _sides(config, listing, pool.table), unreadable, key)
    controls = _write(drawn, "controls", Path(config.controls))
    return Parted(_write(drawn, "members", Path(config.members)), controls, unreadable)


def _pool(config: SplitConfig, listing: Listing, embedder: Embedder, progress: Progress) -> Pool:
    """Embed the images, as a scan does, and group near copies."""
    view = View.square(config.resolution, config.data)
    directory = index_directory(None, embedding_key(listing, embedder, view))
    embedded = embed_listing(listing, embedder, view, directory, progress)
    threshold = threshold_of(config.duplicate_threshold, embedder)
    return make_pool(embedded, listing, view, threshold)


def _sides(config: SplitConfig, listing: Listing, table: pd.DataFrame) -> dict[str, pd.DataFrame]:
    """The rows of each side, with the unit that each belongs to."""
    table = table.assign(whole=[whole_of(listing.rows[row].entry) for row in table["row"]])
    columns = ["group", "whole"] + ["cluster"] * (config.cluster_column is not None)
    units = join(table, columns)
    count = config.count
    if count is None:
        found = len(set(units.tolist()))
        count = max(1, min(found - 1, round(float(config.share or 0) * found)))
    held_out = draw(units, table["example_id"], count, config.seed)
    table = table.assign(unit=units)
    return {"members": table[~held_out], "controls": table[held_out]}


def _write(drawn: _Drawn, name: str, out: Path) -> Side:
    """Write one side under another name, then rename it; or find it written."""
    side = _written(out, drawn.key)
    if side is not None:
        return side
    target = Path(realpath(out))
    partial = target.with_name(f".{target.name}.partial")  # hidden: no listing takes it for data
    shutil.rmtree(partial, ignore_errors=True)
    try:
        partial.mkdir(parents=True)
        side = _fill(drawn, name, partial)
        partial.replace(target)
    except BaseException:
        shutil.rmtree(partial, ignore_errors=True)
        raise
    return _at(out, side)


def _fill(drawn: _Drawn, name: str, folder: Path) -> Side:
    """Write the images of a side into a folder, then its record."""
    rows, told = drawn.rows[name], drawn.config.cluster_column is not None
    entries = [drawn.listing.rows[row].entry for row in rows["row"]]
    side = Side(
        path=drawn.listing.sources["member"].extract(entries, folder),
        images=len(rows),
        groups=int(rows["group"].nunique()),
        clusters=int(rows["cluster"].nunique()) if told else None,
        units=int(rows["unit"].nunique()),
        largest=int(rows["unit"].value_counts().max()),
    )
    content = {
        "digest": drawn.key,
        "side": name,
        "written": asdict(side),
        "unreadable": [asdict(one) for one in drawn.unreadable],
        "asked": asdict(drawn.config),
    }
    write_json(folder / RECORD, content)
    return side


def _written(out: Path, key: str) -> Side | None:
    """The side that a split of this key wrote before; None where there is nothing.

    Raises RunDirectoryError for a file, and for a directory that holds anything else.
    """
    if not out.exists() or (out.is_dir() and not any(out.iterdir())):
        return None
    try:
        with refusing(RunDirectoryError, "the record of a split"):
            content = read_json(out / RECORD)
            if content["digest"] == key:
                return _at(out, Side(**content["written"]))
    except RunDirectoryError:
        content = None
    what = "other things" if content is None else "the split of other images or other arguments"
    raise RunDirectoryError(
        f"{out} holds {what}; nothing there is overwritten: give a new or empty directory, or "
        "remove it"
    )


def _at(out: Path, side: Side) -> Side:
    return replace(side, path=str(out / side.path))
