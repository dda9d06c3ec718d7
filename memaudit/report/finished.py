"""What a report is made of: the published record of a finished scan."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import pandas as pd

from memaudit.run.directory import PREFIX, RunDirectory
from memaudit.run.record import Record

SHOWN = 50  # most strips in a report


@dataclass(frozen=True, eq=False)
class Reported:
    """A finished scan: its record, its findings and its strips (PNG).

    `name` is what the run is called beside others. `strips` are by the first PREFIX digits of the
    example_id, those of the highest scores first. `redacted`: names, captions and pictures are left
    out. `digest` is that of the run, "" where an earlier memaudit sealed none.
    """

    name: str
    record: Record
    findings: pd.DataFrame
    strips: Mapping[str, bytes] = field(default_factory=dict)
    redacted: bool = False
    digest: str = ""


def reported(run: RunDirectory, record: Record, findings: pd.DataFrame) -> Reported:
    """Add the strips of flagged images to what was found; others are of an earlier calibration."""
    flagged = {str(name)[:PREFIX] for name in findings.loc[findings["flagged"], "example_id"]}
    shown = [(start, name) for start, name in run.strips().items() if start in flagged][:SHOWN]
    strips = {start: run.strip(name) for start, name in shown}
    return Reported(run.place, record, findings, strips, digest=run.digest)


def read_reported(path: str) -> Reported:
    """Read a finished run; raises RunDirectoryError."""
    run = RunDirectory.at(path)
    return reported(run, run.record(), run.findings())
