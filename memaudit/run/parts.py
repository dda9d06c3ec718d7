"""Parts of a run's work: numbered tables that are written whole, sealed, and never again."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Literal

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from memaudit.errors import RunDirectoryError
from memaudit.files import to_parquet
from memaudit.progress import remark
from memaudit.run.columns import OF_SCORES, expect_columns
from memaudit.run.manifest import MANIFEST, Sealed, some
from memaudit.run.store import Store

# The scores that are calibrated; an adaptive scan's first pass; the power check; and embeddings of
# the model's own images.
Work = Literal["scores", "screen", "power", "generated"]
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
    """The parts of one kind of work in a store, each under seal."""

    store: Store
    work: Work

    @property
    def sealed(self) -> Sealed:
        """The tables of the store."""
        return Sealed(self.store)

    def name(self, number: int) -> str:
        """What a part is called in the store."""
        return f"{self.work}/part-{number:05d}.parquet"

    def done(self) -> dict[str, int]:
        """The names of parts that are whole, and their rows; others are named and removed."""
        return self.sealed.mend(self.work) if self.store.names(self.work) else {}

    def write(self, number: int, part: Part) -> None:
        """Keep a part."""
        content = to_parquet(part.table, {ERRORS.decode(): json.dumps(part.failed)})
        self.sealed.put(self.name(number), content, len(part.table))

    def read(self, number: int) -> Part:
        """Read a part; raises RunDirectoryError unless it is what was written."""
        return self._read([self.name(number)])[0]

    def read_all(self, count: int | None = None) -> Part:
        """Read the first `count` parts, or all that were written; others are named and left out."""
        if count is not None:
            return Part.joined(self._read([self.name(number) for number in range(count)]))
        strays = self.sealed.strays(self.work)
        if strays:
            place = self.store.place
            remark(f"{place}: {some(strays)} not listed in {MANIFEST}: left out")
        return Part.joined(self._read(self.sealed.rows(self.work)))

    def _read(self, names: Iterable[str]) -> list[Part]:
        try:
            names = list(names)
            read = zip(names, self.sealed.each(names), strict=True)
            return [self._part(name, content) for name, content in read]
        except RunDirectoryError as error:
            raise RunDirectoryError(
                f"{error}; run its scan again with the same arguments: only the images of that "
                "part are scored anew"
            ) from error

    def _part(self, name: str, content: bytes) -> Part:
        table = pq.read_table(pa.BufferReader(content))
        if table.num_rows and self.work != "generated":  # which holds vectors
            expect_columns(table, OF_SCORES, self.sealed.place(name))
        return Part(table.to_pandas(), json.loads(table.schema.metadata[ERRORS]))
