"""What each reconstruction of a run shows by itself: one step may acquit what sampling convicts."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd

from memaudit.statistics import (
    HALF_LEVEL,
    Sides,
    auc,
    benjamini_hochberg,
    column_of,
    combine,
    conformal_p,
    dataset_test,
)


@dataclass(frozen=True)
class ModeEvidence:
    """Members against controls under one reconstruction, all levels together."""

    run: str
    reconstruction: str
    members: int
    controls: int
    flagged: int
    min_q: float
    dataset_p: float
    auc: float

    @property
    def evidence(self) -> bool:
        """Whether the smallest q or the data-set p would be evidence."""
        return min(self.min_q, self.dataset_p) <= HALF_LEVEL


def mode_evidence(
    run: str, scores: pd.DataFrame, sides: Sides, column: str, q: float
) -> list[ModeEvidence]:
    """Describe each reconstruction in `scores`, in the order of their names."""
    found = []
    for name, rows in scores.groupby("reconstruction", sort=True):
        score = combine(rows, column_of(str(name), column), str(name))
        among = sides.among(score.index)
        if not (among.members and among.controls):
            continue
        members, controls = (
            np.asarray(score[list(ids)], np.float64) for ids in (among.members, among.controls)
        )
        q_values = benjamini_hochberg(conformal_p(members, controls))
        found.append(
            ModeEvidence(
                run=run,
                reconstruction=str(name),
                members=len(members),
                controls=len(controls),
                flagged=int((q_values <= q).sum()),
                min_q=float(q_values.min()),
                dataset_p=dataset_test(members, controls).p_value,
                auc=auc(members, controls),
            )
        )
    return found
