"""The pool: members and controls with their duplicate groups, and access to their pixels."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd

from memaudit.audit.embedding import Embedded, View
from memaudit.audit.listing import Listing
from memaudit.data import decode, image_id
from memaudit.errors import DataError, UnreadableImageError
from memaudit.records import Example, Images, Split
from memaudit.similarity.duplicates import group_duplicates
from memaudit.similarity.search import Index


@dataclass(frozen=True, eq=False)
class Pool:
    """Everything that can be scanned.

    `table` has one row a readable entry, with example_id, split, source, prompt, group,
    representative (one row a group and split: its smallest id) and spans (the group has rows on
    both sides). Only representatives are scanned.
    """

    table: pd.DataFrame
    index: Index
    embedded: Embedded
    listing: Listing
    view: View

    @property
    def representatives(self) -> pd.DataFrame:
        """The rows to scan, one an id, in listing order."""
        rows = self.table[self.table["representative"]]
        return rows.drop_duplicates("example_id").reset_index(drop=True)

    def example(self, row: int, example_id: str, split: Split, source: str) -> Example:
        """Read one image again, at the model's size.

        Raises UnreadableImageError if it cannot be read or is not what was indexed.
        """
        image = decode(self.listing.read(row)).image
        if image_id(image) != example_id:
            raise UnreadableImageError(
                "its pixels are not those that were indexed; touch the file, so that it is "
                "embedded again, and scan with another --out"
            )
        return Example(example_id, self.view.apply(image), split, source)


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
    table["group"] = index.groups[[index.positions[i] for i in table["example_id"]]]
    order = table.sort_values(["example_id", "source"], kind="stable")
    table["representative"] = ~order.duplicated(["group", "split"]).reindex(table.index)
    table["spans"] = table.groupby("group")["split"].transform("nunique") > 1
    return Pool(table, index, embedded, listing, view)


def read_examples(pool: Pool, rows: pd.DataFrame) -> tuple[list[Example], dict[str, str]]:
    """Read rows of the pool again -> examples, and for the ids that failed, why.

    They are read and returned in listing order: a row of a table is cheap after the one before it.
    """
    examples, failed = [], {}
    columns = rows.sort_values("row")[["row", "example_id", "split", "source"]]
    for row, example_id, split, source in columns.itertuples(index=False):
        try:
            examples.append(pool.example(row, example_id, split, source))
        except UnreadableImageError as error:
            failed[example_id] = str(error)
    return examples, failed


def smallest_ids(pool: Pool, n: int) -> list[Example]:
    """A random, label-blind sample of the pool: ids are hashes, so the smallest n are random.

    Raises DataError if none of them can be read again.
    """
    rows = pool.representatives.sort_values("example_id").head(n)
    examples, failed = read_examples(pool, rows)
    if not examples:
        raise DataError(
            f"none of {len(rows)} images can be read as they were when they were indexed in "
            f"{pool.embedded.directory} (the first: {next(iter(failed.values()))}); give the data "
            "that was indexed, or remove that directory"
        )
    return sorted(examples, key=lambda example: example.id)


def stack(examples: list[Example]) -> Images:
    """Pixels of equally large examples, [N, H, W, 3] uint8."""
    return np.stack([example.image for example in examples])
