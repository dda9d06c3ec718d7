"""What a gate reads of a finished scan."""

from __future__ import annotations

import hashlib
import math
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from memaudit.comparison.intervals import Interval
from memaudit.errors import ForeignFileError, RunDirectoryError
from memaudit.foreign import read_file
from memaudit.run.directory import SCAN, RunDirectory
from memaudit.run.manifest import MANIFEST
from memaudit.run.record import Record, read_record
from memaudit.run.store import RUN

SCAN_BYTES = 64 << 20


@dataclass(frozen=True, eq=False)
class Observed:
    """A finished scan: its record, and its findings, None where scan.json is all there is.

    `increase` is known of a baseline alone: that of the excess above controls from it to the run,
    over the images of both; None where they could not be paired.
    """

    record: Record
    findings: pd.DataFrame | None
    increase: Interval | None = None

    @property
    def attack(self) -> str:
        """The attack that its claim of reproduction rests on."""
        return self.record.summary.attack

    def asked_with(self, other: Observed, attack: str) -> bool:
        """Whether both asked by an attack, at one level or more."""
        return bool(self._levels_of(attack) & other._levels_of(attack))

    def _levels_of(self, attack: str) -> set[float]:
        return {one.level for one in self.record.summary.levels if one.attack == attack}

    @classmethod
    def at(cls, run: Path) -> Observed:
        """Read a run directory, or a scan.json alone; raises RunDirectoryError.

        One that still stands in its run directory is held to its seal.
        """
        beside = RunDirectory.at(run.parent)
        if run.name == SCAN and beside.store.has(RUN) and beside.store.has(MANIFEST):
            return cls(beside.record(), None)
        if run.is_dir():
            directory = RunDirectory.at(run)
            return cls(directory.record(), directory.findings())
        if run.name != SCAN and run.suffix != ".json":
            raise RunDirectoryError(
                f"{run} is no run directory and no scan.json; give the --out of a finished scan"
            )
        try:
            content = read_file(run, SCAN_BYTES)
        except ForeignFileError as error:
            raise RunDirectoryError(
                f"{run} {error}; give the --out of a finished scan, or its scan.json"
            ) from error
        return cls(read_record(content, str(run)), None)


@dataclass(frozen=True)
class Finding:
    """A flagged image: what it is called, what it claims, and how it stands out.

    `fingerprint` stays the same from scan to scan of the same picture and claim; `q` is the larger
    of the q-values by the score and by the raw score, for both must agree. `snr_db` is that of the
    strongest corruption from which it comes back as a copy, None where it does not.
    """

    fingerprint: str
    example_id: str
    source: str
    claim: str
    q: float
    snr_db: float | None


def flagged_at(findings: pd.DataFrame, level: float) -> list[Finding]:
    """Images whose q-values are at most `level`, one a duplicate group, strongest first."""
    rows = findings[findings["representative"] & (findings["split"] == "member")]
    q = np.maximum(rows["q_value"], rows["q_raw"])  # NaN stays NaN and is no finding
    rows = rows.assign(q=q)[q <= level].sort_values(["q", "score", "example_id"])
    claims = rows["claim"].replace("", "membership")
    columns = (rows["example_id"], claims, rows["source"], rows["q"], rows["recovered_from_snr_db"])
    return [
        Finding(
            fingerprint=fingerprint(example_id, claim),
            example_id=example_id,
            source=source,
            claim=claim,
            q=q_value,
            snr_db=None if math.isnan(decibels) else decibels,
        )
        for example_id, claim, source, q_value, decibels in zip(
            *(column.tolist() for column in columns), strict=True
        )
    ]


def fingerprint(example_id: str, claim: str) -> str:
    """Sixteen hexadecimal digits of a picture (its id is the hash of its pixels) and a claim."""
    return hashlib.sha256(f"memaudit {example_id} {claim}".encode()).hexdigest()[:16]
