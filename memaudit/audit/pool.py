"""The pool: members and controls with their duplicate groups, and access to their pixels."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
import pandas as pd

from memaudit.audit.embedding import Embedded, View
from memaudit.audit.listing import Listing, Place
from memaudit.audit.representatives import looks, representatives
from memaudit.data import image_id
from memaudit.errors import DataError, UnreadableImageError
from memaudit.records import Example, Images, Split
from memaudit.similarity.duplicates import group_duplicates
from memaudit.similarity.embed import Embedder
from memaudit.similarity.search import Index

UNREAD = ["split", "source", "error"]  # columns of what could not be read


@dataclass(frozen=True, eq=False)
class Read:
    """Examples that could be read, and for the ids that could not, why."""

    examples: list[Example] = field(default_factory=list)
    failed: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True, eq=False)
class Candidates:
    """What may be asked about, and access to its pixels; nothing tells who is a member.

    `places` are where images are read, by id; `ids` are those to scan, both sides mixed. `index`
    is the folder of the index that they were found in.
    """

    ids: tuple[str, ...]
    places: dict[str, Place]
    view: View
    index: Path

    def read(self, ids: Iterable[str]) -> Read:
        """Read images again, at the model's size.

        They are read in listing order, because a row of a table is cheap after the one before it,
        and returned in the order of their ids, so that batches of a shard mix both sides.
        """
        read = Read()
        for example_id in sorted(ids, key=self._row):
            try:
                read.examples.append(self._example(example_id))
            except UnreadableImageError as error:
                read.failed[example_id] = str(error)
        read.examples.sort(key=lambda example: example.id)
        return read

    def smallest_ids(self, n: int) -> list[Example]:
        """A random sample: ids are hashes, so the smallest n are random.

        Raises DataError if none of them can be read again.
        """
        read = self.read(sorted(self.ids)[:n])
        if not read.examples:
            raise DataError(
                f"none of {len(read.failed)} images can be read as they were when they were "
                f"indexed in {self.index} (the first: {next(iter(read.failed.values()))}); give "
                "the data that was indexed, or another --index"
            )
        return read.examples

    def _row(self, example_id: str) -> int:
        return self.places[example_id].row

    def _example(self, example_id: str) -> Example:
        image = self.view.decode(self.places[example_id].read()).image
        if image_id(image) != example_id:
            raise UnreadableImageError(
                "its pixels are not those that were indexed; touch the file, so that it is "
                "embedded again, and scan with another --out"
            )
        return Example(example_id, self.view.apply(image))


@dataclass(frozen=True, eq=False)
class Pool:
    """Everything that can be scanned, and on which side it stands.

    `table` has one row a readable entry, with example_id, split, source, prompt, group,
    representative (one row a group), spans (the group has rows on both sides), cluster (text, ""
    where none are asked for), left_out (why its group is no part of the comparison, else ""), file
    properties and the looks of its embedding. Only representatives
    are scanned. `errors`: split, source, error.
    """

    table: pd.DataFrame
    errors: pd.DataFrame
    index: Index
    candidates: Candidates

    @property
    def representatives(self) -> pd.DataFrame:
        """The rows to scan, one an id, in listing order."""
        return self.table[self.table["representative"]].reset_index(drop=True)

    def one_sided(self, split: Split) -> pd.DataFrame:
        """Representatives of a side that calibrate, of groups that keep to it, by id."""
        rows = self.representatives
        chosen = rows[(rows["split"] == split) & ~rows["spans"] & (rows["left_out"] == "")]
        return chosen.sort_values("example_id")

    def ids(self, split: Split) -> list[str]:
        """Ids of all representatives of a side, in listing order."""
        rows = self.representatives
        return [str(name) for name in rows.loc[rows["split"] == split, "example_id"]]

    def leaving_out(self, ids: set[str], why: str) -> Pool:
        """Make the groups of which some images have these ids no part of the comparison."""
        groups = self.table.loc[self.table["example_id"].isin(list(ids)), "group"]
        table = self.table.assign(
            left_out=self.table["left_out"].mask(self.table["group"].isin(groups), why)
        )
        return replace(self, table=table)

    @property
    def rows(self) -> pd.DataFrame:
        """All entries, as pool.parquet keeps them: those that failed say why under `error`.

        They stand in no group, -1, so that columns of numbers and of truths stay such.
        """
        failed = self.errors.assign(
            group=-1, representative=False, spans=False, cluster="", left_out="", lost=""
        )
        both = [self.table.assign(error=""), failed]
        return pd.concat([one for one in both if len(one)], ignore_index=True)


def make_pool(embedded: Embedded, listing: Listing, view: View, threshold: float) -> Pool:
    """Group duplicates across members and controls, and choose the representatives.

    Raises DataError if there is only one group: a score compares an image with the others.
    """
    index = embedded.index.with_groups(group_duplicates(embedded.index, threshold))
    table = embedded.table.copy()
    if len(set(index.groups.tolist())) < 2:
        raise DataError(
            f"found {len(table)} readable images, all copies of one; expected at least two "
            "different images, because each is compared with the others"
        )
    table["left_out"] = ""
    table["cluster"] = [listing.rows[row].entry.cluster for row in table["row"]]
    table["group"] = index.groups[[index.positions[i] for i in table["example_id"]]]
    table["representative"] = representatives(table, index)
    table["spans"] = table.groupby("group")["split"].transform("nunique") > 1
    chosen = table.loc[table["representative"], "example_id"]
    table = table.join(looks(index, chosen), on="example_id")
    candidates = Candidates(*_stripped(table, listing), view, embedded.directory)
    return Pool(table, embedded.errors, index, candidates)


def threshold_of(asked: float | None, embedder: Embedder) -> float:
    """The cosine from which images are near copies: the one asked for, or the embedder's."""
    return embedder.duplicate_threshold if asked is None else asked


def read_pool(
    rows: pd.DataFrame, index: Index, listing: Listing, view: View, directory: Path
) -> Pool:
    """Make a pool of what pool.parquet keeps, and of the index in a directory, as it was made."""
    readable = rows["error"] == ""
    table = rows[readable].drop(columns="error").reset_index(drop=True)
    errors = rows.loc[~readable, UNREAD].reset_index(drop=True)
    groups = np.zeros(len(index.ids), np.int64)
    groups[[index.positions[name] for name in table["example_id"]]] = table["group"]
    candidates = Candidates(*_stripped(table, listing), view, directory)
    return Pool(table, errors, index.with_groups(groups), candidates)


def _stripped(table: pd.DataFrame, listing: Listing) -> tuple[tuple[str, ...], dict[str, Place]]:
    """Strip a pool's table of all but the ids to scan and the places of all.

    Both sides are gone through at the same pace, each in listing order: a shard that holds one side
    only would let what a batch does to its images tell the sides apart.
    """
    order = table.sort_values("representative", ascending=False, kind="stable")
    first = order.drop_duplicates("example_id")
    places = {
        str(name): listing.place(int(row))
        for name, row in zip(first["example_id"], first["row"], strict=True)
    }
    chosen = first[first["representative"]]
    sides = chosen.groupby("split")["example_id"]
    pace = (sides.cumcount() + 0.5) / sides.transform("size")
    mixed = chosen.assign(pace=pace).sort_values(["pace", "example_id"], kind="stable")
    return tuple(mixed["example_id"].astype(str)), places


def stack(examples: list[Example]) -> Images:
    """Pixels of equally large examples, [N, H, W, 3] uint8."""
    return np.stack([example.image for example in examples])
