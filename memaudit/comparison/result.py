"""What a comparison gives back."""

from __future__ import annotations

import textwrap
from dataclasses import asdict, dataclass
from typing import Any

import pandas as pd

from memaudit.comparison.finished import FinishedRun
from memaudit.comparison.judgement import judge
from memaudit.comparison.modes import ModeEvidence
from memaudit.comparison.quality import of_quality
from memaudit.comparison.records import Difference
from memaudit.comparison.shares import Distribution
from memaudit.comparison.words import (
    WIDTH,
    between_modes,
    describe_runs,
    how_to_read,
    lay_out,
    wrap,
)
from memaudit.config import CompareConfig
from memaudit.report.brief import Brief, Line


@dataclass(frozen=True, eq=False)
class Comparison:
    """One run against the base: a Difference for each probe and level, and remarks."""

    base: FinishedRun
    run: FinishedRun
    differences: tuple[Difference, ...]
    changed: pd.DataFrame
    remarks: tuple[str, ...]


@dataclass(frozen=True, eq=False)
class ComparisonResult:
    """Finished runs compared with the first of them.

    `table` has one row a pair of runs, probe and level, `shares` one row a distribution of
    own similarity, `changed` one row a member that is flagged in one run of a pair only. `modes`
    says what each probe of each run shows by itself.
    """

    config: CompareConfig
    runs: tuple[FinishedRun, ...]
    comparisons: tuple[Comparison, ...]
    modes: tuple[ModeEvidence, ...]
    distributions: tuple[Distribution, ...]
    table: pd.DataFrame
    shares: pd.DataFrame
    changed: pd.DataFrame

    @property
    def sentences(self) -> tuple[str, ...]:
        """Which run memorizes less, a sentence a pair of runs and input."""
        return tuple(said for one in self.comparisons for said in self._judge(one))

    @property
    def text(self) -> str:
        """All of it in words."""
        lines = ["Compared, the first is the base:", *describe_runs(self.runs)]
        for one in self.comparisons:
            lines += wrap("", self._judge(one))[1:]
            lines += lay_out(one.differences)
            lines += wrap("What to know of it:", one.remarks)
        lines += wrap("One step and full sampling:", self._between_modes)
        lines += wrap("Quality of the models' own images:", of_quality(self.runs))
        lines += ["", *textwrap.wrap(how_to_read(self._differences), WIDTH)]
        if self.config.out is not None:
            lines.append(f"Tables and plots: {self.config.out}")
        return "\n".join(lines)

    @property
    def brief(self) -> Brief:
        """The sentences, and where more stands."""
        count = len({said for one in self.comparisons for said in one.remarks})
        more = f"Remarks ({count}), numbers and tables"
        where = "--verbose" if self.config.out is None else f"{self.config.out}/comparison.txt"
        return Brief(self.sentences, (), (Line(more, where),))

    def _judge(self, one: Comparison) -> list[str]:
        return judge(one.differences, self.runs, self.modes)

    @property
    def _between_modes(self) -> list[str]:
        return between_modes(self.modes, self._differences)

    @property
    def _differences(self) -> list[Difference]:
        return [row for one in self.comparisons for row in one.differences]

    def report(self) -> dict[str, Any]:
        """What comparison.json holds."""
        return {
            "runs": [_run(one) for one in self.runs],
            "sentences": list(self.sentences),
            "remarks": [said for one in self.comparisons for said in one.remarks],
            "one_step_and_full_sampling": self._between_modes,
            "quality": of_quality(self.runs),
            "differences": [
                asdict(row) | {"direction": row.direction} for row in self._differences
            ],
            "modes": [asdict(one) | {"evidence": one.evidence} for one in self.modes],
            "shares": self.shares.to_dict("records"),
        }


def _run(run: FinishedRun) -> dict[str, Any]:
    quality = run.record.quality
    return {
        "run": run.name,
        "path": run.path,
        "model": run.model,
        "outcome": str(run.record.verdict.outcome),
        "reasons": list(run.record.verdict.reasons),
        "excess": None if run.excess is None else asdict(run.excess),
        "quality": None if quality is None else asdict(quality),
    }
