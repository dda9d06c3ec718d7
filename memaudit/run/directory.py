"""The run directory: what a scan was asked, what is done, and what it found.

run.json comes first (what was asked, with its digest), then prepared.json and pool.parquet, then
scores/part-*.parquet as shards finish, then what was found, the manifest of all of it and the
report, and scan.json last: its presence says the scan is complete.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any, get_args

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from memaudit.config import digest
from memaudit.errors import RunDirectoryError
from memaudit.files import to_csv, to_json, to_parquet
from memaudit.run.columns import OF_FINDINGS, OF_POOL, expect_columns
from memaudit.run.differences import differences
from memaudit.run.manifest import MANIFEST, Sealed
from memaudit.run.parts import Parts, Work
from memaudit.run.record import (
    FORMAT,
    Prepared,
    Question,
    Record,
    read_prepared,
    read_question,
    read_record,
    write,
)
from memaudit.run.store import RUN, Folder, Store
from memaudit.run.sums import SUMS, Sums, sha256, write_sums

PREPARED, POOL, SCAN = "prepared.json", "pool.parquet", "scan.json"
FINDINGS, ERRORS, SUMMARY, REPORT = "findings", "errors.csv", "summary.txt", "report.html"
STRIPS, PREFIX = "images", 12  # a strip is named after so many digits of the example_id
READ = (RUN, PREPARED, f"{FINDINGS}.csv", ERRORS, SUMMARY)  # are sealed beside tables and strips


@dataclass(frozen=True)
class RunDirectory:
    """One scan's files in a store."""

    store: Store

    @classmethod
    def at(cls, path: str | Path) -> RunDirectory:
        """A run directory on this machine, to be read."""
        return cls(Folder(Path(path)))

    @property
    def place(self) -> str:
        """Where it is, for messages."""
        return self.store.place

    def start(self, asked: dict[str, Any]) -> None:
        """Write run.json, or check that it was written for the same question.

        Raises RunDirectoryError, naming the differences, if it was not, or for a directory of
        another version.
        """
        question = json.loads(to_json(asked))
        now = Question(FORMAT, digest(question), question)
        if not self.store.has(RUN):
            self.store.put(RUN, write(now))
        content = self.content(RUN)
        earlier = read_question(content, f"{self.place}/{RUN}").asked
        if earlier != question:
            changed = "; ".join(dict.fromkeys(differences(earlier, question)))
            raise RunDirectoryError(
                f"{self.place} holds the scan of other arguments or other data ({changed}); give "
                "another --out, or the same arguments to continue it"
            )
        if content != write(now):  # what was added to it is no part of the question
            self.store.put(RUN, write(now))
        if self.sealed.begin(now.digest, get_args(Work)):
            self.store.remove(SCAN)  # whatever it says, its scores are not there

    @property
    def sealed(self) -> Sealed:
        """The tables, and what vouches for them."""
        return Sealed(self.store)

    def parts(self, work: Work) -> Parts:
        """The parts of some work."""
        return Parts(self.store, work)

    def keep_prepared(self, prepared: Prepared, pool: pd.DataFrame) -> None:
        """Write what is settled before the first score; the pool first."""
        self.sealed.put(POOL, to_parquet(pool), len(pool))
        self.store.put(PREPARED, write(prepared))

    @property
    def is_prepared(self) -> bool:
        """Whether that is done."""
        return self.store.has(PREPARED) and self.store.has(POOL)

    def prepared(self) -> Prepared:
        """Read it back, of a finished run as it was sealed; raises RunDirectoryError."""
        content = self.content(PREPARED)
        prepared = read_prepared(content, f"{self.place}/{PREPARED}")
        if self.digest:
            self.sealed.vouch(PREPARED, content)
        return prepared

    def pool(self) -> pd.DataFrame:
        """Read all rows of the data sets, with what could not be read."""
        return self._table(POOL, OF_POOL)

    def findings(self) -> pd.DataFrame:
        """Read the findings."""
        return self._table(f"{FINDINGS}.parquet", OF_FINDINGS)

    def record(self) -> Record:
        """Read what a finished scan found, as it was sealed; raises RunDirectoryError."""
        self.expect_finished()
        content = self.content(SCAN)
        record = read_record(content, f"{self.place}/{SCAN}")
        self.sealed.vouch(SCAN, content)
        return record

    def expect_kept(self) -> None:
        """Raise RunDirectoryError if a file that new findings leave as it is was changed."""
        for name in (RUN, PREPARED, *self.store.names(STRIPS)):
            self.sealed.vouch(name, self.content(name))

    def expect_finished(self) -> None:
        """Raise RunDirectoryError unless the scan is complete."""
        if self.store.has(SCAN):
            return
        if self.store.has(RUN):
            raise RunDirectoryError(
                f"{self.place} holds a scan that is not finished: {RUN} is there, {SCAN} is not; "
                "run the same scan command again, it continues"
            )
        raise RunDirectoryError(
            f"{self.place} is no run directory: found no {SCAN} there; give the --out of a "
            "finished scan"
        )

    def keep_findings(self, findings: pd.DataFrame, errors: pd.DataFrame, summary: str) -> None:
        """Write what people read."""
        self.sealed.put(f"{FINDINGS}.parquet", to_parquet(findings), len(findings))
        self.store.put(f"{FINDINGS}.csv", to_csv(findings))
        self.store.put(ERRORS, to_csv(errors))
        self.store.put(SUMMARY, f"{summary}\n".encode())

    def keep_report(self, report: str | None) -> None:
        """Write the report, or remove that of an earlier calibration."""
        if report is None:
            self.store.remove(REPORT)
        else:
            self.store.put(REPORT, report.encode())

    def seal(self, record: Record) -> None:
        """Seal all that is there and the record to come; reports, made of it, come after."""
        names = (*(name for name in READ if self.store.has(name)), *self.strips().values())
        sums = {name: sha256(self.store.get(name)) for name in names}
        self.sealed.close({**sums, SCAN: sha256(write(record))})

    @property
    def digest(self) -> str:
        """The sha256 of the manifest of a finished run, hex; "" of one that was never sealed."""
        return self.sealed.digest()

    def finish(self, record: Record) -> None:
        """Write checksums for all to check, and scan.json, which says that the scan is complete."""
        also = (name for name in (MANIFEST, REPORT) if self.store.has(name))
        sums = {name: sha256(self.store.get(name)) for name in also}
        self.store.put(SUMS, write_sums(Sums({**self.sealed.manifest().sums, **sums})))
        self.store.put(SCAN, write(record))

    def keep_strip(self, rank: int, example_id: str, png: bytes) -> None:
        """Write the picture strip of an image."""
        self.store.put(f"{STRIPS}/{rank:04d}-{example_id[:PREFIX]}.png", png)

    def strips(self) -> dict[str, str]:
        """Where the strips stand, by the first PREFIX digits of the example_id, by rank."""
        names = self.store.names(STRIPS)
        return {name.removesuffix(".png").rpartition("-")[2]: name for name in names}

    def strip(self, name: str) -> bytes:
        """Read a strip as it was sealed; raises RunDirectoryError."""
        content = self.content(name)
        self.sealed.vouch(name, content)
        return content

    def drop_strips(self) -> None:
        """Remove all strips."""
        for name in self.store.names(STRIPS):
            self.store.remove(name)

    def content(self, name: str) -> bytes:
        """A file as it is; raises RunDirectoryError if it cannot be read."""
        try:
            return self.store.get(name)
        except OSError as error:
            raise RunDirectoryError(
                f"{self.place}/{name} cannot be read ({error.strerror}); check its permissions, or "
                "run its scan again with the same arguments"
            ) from error

    def _table(self, name: str, needed: tuple[str, ...]) -> pd.DataFrame:
        try:
            [content] = self.sealed.each([name])
            found = pq.read_table(pa.BufferReader(content))
            expect_columns(found, needed, f"{self.place}/{name}")
        except RunDirectoryError as error:
            raise RunDirectoryError(
                f"{error}; run its scan again with the same arguments, it is written anew"
            ) from error
        table: pd.DataFrame = found.to_pandas()
        return table
