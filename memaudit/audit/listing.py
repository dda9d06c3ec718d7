"""What is to be scanned: the entries of both data sets, before anything is decoded."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from os.path import realpath
from pathlib import Path

from memaudit.config import DataConfig, digest
from memaudit.data import Entry, Source, check_clusters, fingerprint, open_source, sample
from memaudit.errors import ConfigError
from memaudit.records import Split


@dataclass(frozen=True)
class Listed:
    """One entry and the side it stands on."""

    split: Split
    entry: Entry


@dataclass(frozen=True, eq=False, slots=True)
class Place:
    """Where an image is read; `row` is its number in the listing. No side is told."""

    row: int
    source: Source
    entry: Entry

    def read(self) -> bytes:
        """Read the encoded image; raises UnreadableImageError."""
        return self.source.read(self.entry)


@dataclass(frozen=True, eq=False)
class Listing:
    """Members first, then controls, each in the order of its sources.

    `fingerprint` says which images these are; `clusters` which cluster each belongs to, "" where
    none are asked for. They are apart, so that embeddings are found whatever the clusters are.
    """

    sources: dict[Split, Source]
    rows: list[Listed]
    fingerprint: str
    clusters: str = ""

    def read(self, row: int) -> bytes:
        """Read the encoded image of a row; raises UnreadableImageError."""
        return self.place(row).read()

    def place(self, row: int) -> Place:
        """Where the image of a row is read."""
        listed = self.rows[row]
        return Place(row, self.sources[listed.split], listed.entry)

    def shards(self, size: int) -> Iterator[range]:
        """Cut the rows into consecutive ranges."""
        for start in range(0, len(self.rows), size):
            yield range(start, min(start + size, len(self.rows)))


def list_data(data: DataConfig, seed: int) -> Listing:
    """List members and controls; `--sample N` draws N from each side.

    Raises DataError for a path that holds no images or an image without its cluster, and
    ConfigError for one path given twice.
    """
    if data.controls is not None and data.split == data.controls_split:
        _keep_apart(data.dataset, data.controls)
    sources: dict[Split, Source] = {"member": _open(data.dataset, data, data.split)}
    if data.controls is not None:
        sources["control"] = _open(data.controls, data, data.controls_split)
    drawn = {
        split: sample(_entries(source, data), data.sample, seed)
        for split, source in sources.items()
    }
    rows = [Listed(split, entry) for split, entries in drawn.items() for entry in entries]
    prints = {split: fingerprint(entries) for split, entries in drawn.items()}
    clusters = digest([row.entry.cluster for row in rows]) if data.cluster_column else ""
    return Listing(sources, rows, digest([prints, data.image_column]), clusters)


def _entries(source: Source, data: DataConfig) -> list[Entry]:
    entries = source.entries()
    check_clusters(entries, data.cluster_column, source.root)
    return entries


def _keep_apart(dataset: str, controls: str) -> None:
    """Refuse controls that are members: the same data set, or one inside the other."""
    member, control = Path(realpath(dataset)), Path(realpath(controls))
    if member == control:
        raise ConfigError(
            f"members and controls are the same data set ({dataset}); controls are images that "
            "the model was not trained on. Name their splits with --split and --controls-split"
        )
    if member.is_relative_to(control) or control.is_relative_to(member):
        raise ConfigError(
            f"one of {dataset} and {controls} lies inside the other, so images would be member "
            "and control at once; give two folders side by side"
        )


def _open(path: str, options: DataConfig, split: str | None) -> Source:
    return open_source(
        path,
        image_column=options.image_column,
        caption_column=options.caption_column,
        cluster_column=options.cluster_column,
        split=split,
    )
