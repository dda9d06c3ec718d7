"""What a scan gives back."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import pandas as pd

from memaudit.config import ScanConfig
from memaudit.run.record import Prepared, Record, content
from memaudit.similarity.quality import Quality
from memaudit.statistics.summary import Summary


@dataclass(frozen=True, eq=False)
class ScanResult:
    """A finished scan.

    `findings` has one row a readable image, `scores` one row an example, attack, input, phase,
    level and draw, `errors` one row an image that could not be read or scored; `record` is what
    scan.json holds; `digest` is that of the run directory (sha256 of its manifest, hex).
    """

    config: ScanConfig
    record: Record
    scores: pd.DataFrame
    findings: pd.DataFrame
    errors: pd.DataFrame
    digest: str = ""

    @property
    def summary(self) -> Summary:
        """What was found."""
        return self.record.summary

    @property
    def prepared(self) -> Prepared:
        """What was settled before the first score: data, model, levels, checks."""
        return self.record.prepared

    @property
    def quality(self) -> Quality | None:
        """Quality of generated images; None if none were asked for."""
        return self.record.quality

    @property
    def exit_code(self) -> int:
        """0 for evidence and for none alike, 4 when inconclusive."""
        return self.summary.verdict.exit_code

    def report(self) -> dict[str, Any]:
        """What scan.json holds, as plain values."""
        return content(self.record)
