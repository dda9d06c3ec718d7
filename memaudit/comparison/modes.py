"""What each attack of a run shows by itself: one step may miss what full sampling detects."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import pandas as pd

from memaudit.comparison.finished import clean_first
from memaudit.records import Input, Primary
from memaudit.statistics.combine import combine
from memaudit.statistics.conformal import benjamini_hochberg, conformal_p
from memaudit.statistics.dataset import dataset_test
from memaudit.statistics.doubts import HALF_LEVEL
from memaudit.statistics.effects import auc_interval
from memaudit.statistics.entities import Sides


@dataclass(frozen=True)
class ModeEvidence:
    """Members against controls under one attack on one input, all levels together."""

    run: str
    attack: str
    input: Input
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
    run: str, scores: pd.DataFrame, sides: Sides, primaries: Mapping[str, Primary], q: float
) -> list[ModeEvidence]:
    """Describe each probe in `scores` that has both sides, clean images first.

    `primaries` say what is pooled of each attack.
    """
    found = []
    for probe in clean_first(scores):
        score = combine(probe.rows(scores), primaries[probe.attack])
        among = sides.among(score.index)
        if not (among.members and among.controls):
            continue
        both = among.compare(score)
        members, controls = both.members, both.controls
        p_values = conformal_p(members.values, controls.values, controls.weights)
        q_values = benjamini_hochberg(p_values)
        found.append(
            ModeEvidence(
                run=run,
                attack=probe.attack,
                input=probe.input,
                members=len(members),
                controls=len(controls),
                flagged=int((q_values <= q).sum()),
                min_q=float(q_values.min()),
                dataset_p=dataset_test(members, controls).p_value,
                auc=auc_interval(members, controls).estimate,
            )
        )
    return found
