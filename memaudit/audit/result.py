"""What a scan gives back."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

import pandas as pd

from memaudit.config import ScanConfig
from memaudit.similarity.quality import Quality
from memaudit.statistics import Summary


@dataclass(frozen=True, eq=False)
class ScanResult:
    """A finished scan.

    `findings` has one row a readable image, `scores` one row an example, reconstruction, level and
    draw, `errors` one row an image that could not be read or scored. `quality` is that of
    generated images, None if none were asked for.
    """

    config: ScanConfig
    provenance: dict[str, Any]
    scores: pd.DataFrame
    findings: pd.DataFrame
    errors: pd.DataFrame
    summary: Summary
    quality: Quality | None = None

    @property
    def exit_code(self) -> int:
        """0 for evidence and for none alike, 4 when inconclusive."""
        return self.summary.verdict.exit_code

    def report(self) -> dict[str, Any]:
        """What scan.json holds."""
        return {
            "verdict": {
                "outcome": str(self.summary.verdict.outcome),
                "sentence": self.summary.verdict.sentence,
                "reasons": list(self.summary.verdict.reasons),
                "exit_code": self.exit_code,
            },
            "summary": asdict(self.summary),
            "quality": None if self.quality is None else asdict(self.quality),
            "provenance": self.provenance,
        }
