"""Parts of a run's work: numbered tables that are written whole, and never again."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import Literal

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from memaudit.errors import RunDirectoryError
from memaudit.files import to_parquet
from memaudit.run.store import Store

# The scores that are calibrated; an adaptive scan's sample and first pass; the power check; and
# embeddings of the model's own images.
Work = Literal["scores", "sample", "screen", "power", "generated"]
ERRORS = b"memaudit.errors"  # of a part's schema: id -> why it could not be scored


@dataclass(frozen=True, eq=False)
class Part:
    """A table of rows, and for the ids that have none, why."""

    table: pd.DataFrame = field(default_factory=pd.DataFrame)
    failed: dict[str, str] = field(default_factory=dict)

    @classmethod
    def joined(cls, parts: list[Part]) -> Part:
        """The rows and failures of several parts, in their order."""
        tables = [part.table for part in parts if len(part.table)]
        failed = {name: why for part in parts for name, why in part.failed.items()}
        return cls(pd.concat(tables, ignore_index=True) if tables else pd.DataFrame(), failed)


@dataclass(frozen=True)
class Parts:
    """The parts of one kind of work in a store."""

    store: Store
    work: Work

    def name(self, number: int) -> str:
        """What a part is called in the store."""
        return f"{self.work}/part-{number:05d}.parquet"

    def has(self, number: int) -> bool:
        """Whether a part is done."""
        return self.store.has(self.name(number))

    def write(self, number: int, part: Part) -> None:
        """Keep a part."""
        content = to_parquet(part.table, {ERRORS.decode(): json.dumps(part.failed)})
        self.store.put(self.name(number), content)

    def read(self, number: int) -> Part:
        """Read a part; raises RunDirectoryError if it is damaged."""
        name = self.name(number)
        place = f"{self.store.place}/{name}"
        try:
            table = pq.read_table(pa.BufferReader(self.store.get(name)))
        except (OSError, pa.ArrowException) as error:
            raise RunDirectoryError(
                f"{place} is damaged ({error}); remove that file and run the same command again: "
                "only its images are scored anew"
            ) from error
        if ERRORS not in (table.schema.metadata or {}):
            raise RunDirectoryError(
                f"{place} was not written by a scan; remove that file and run the same command "
                "again"
            )
        return Part(table.to_pandas(), json.loads(table.schema.metadata[ERRORS]))

    def read_all(self, count: int | None = None) -> Part:
        """Read the first `count` parts, or all there are."""
        total = len(self.store.names(self.work)) if count is None else count
        return Part.joined([self.read(number) for number in range(total)])
