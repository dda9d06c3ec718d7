"""Whole distributions of own similarity: means fall while tails grow, so no mean alone decides."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from memaudit.comparison.finished import clean_first
from memaudit.comparison.pairing import SIMILARITY
from memaudit.records import Input
from memaudit.statistics.combine import level_means
from memaudit.statistics.entities import Sides
from memaudit.statistics.probes import Probe

THRESHOLDS = (0.5, 0.75, 0.9, 0.95, 0.99)
SHARE_COLUMNS = (
    ("run", "the run"),
    ("attack", "reconstruction-ode, reconstruction-sample or reconstruction-one-step"),
    ("input", "what was corrupted: clean image or noisy copy"),
    ("level", "sigma of the noise, or share hidden; all: the levels averaged"),
    ("split", "member or control"),
    ("images", "images, one a duplicate group"),
    ("mean", "mean own similarity, or correlation with a copy's noise, draws averaged"),
    *((f"above_{t:g}", f"share of them with {t:g} or more of it") for t in THRESHOLDS),
)


@dataclass(frozen=True, eq=False)
class Distribution:
    """Own similarities of one side of one run, draws averaged, at one level or over all."""

    run: str
    attack: str
    input: Input
    level: str
    split: str
    values: NDArray[np.float64]

    @property
    def probe(self) -> Probe:
        """What the model was asked."""
        return Probe(self.attack, self.input)


def distributions(run: str, scores: pd.DataFrame, sides: Sides) -> Iterator[Distribution]:
    """Both sides of each probe at each level, all levels averaged first; clean images first."""
    for probe in clean_first(scores):
        own = level_means(probe.rows(scores), SIMILARITY[probe.input], probe)
        among = sides.among(own.index)
        levels = {"all": own.mean(axis=1)} | {f"{s:.4g}": own[s] for s in own.columns}
        for level, values in levels.items():
            for split, ids in (("member", among.members), ("control", among.controls)):
                side = np.asarray(values[list(ids)], np.float64)
                yield Distribution(run, probe.attack, probe.input, level, split, side)


def shares(found: list[Distribution]) -> pd.DataFrame:
    """Share of each distribution at or above THRESHOLDS, with SHARE_COLUMNS."""
    rows = [
        [one.run, one.attack, one.input, one.level, one.split, len(one.values), one.values.mean()]
        + [float((np.round(one.values, 5) >= threshold).mean()) for threshold in THRESHOLDS]
        for one in found
        if len(one.values)
    ]
    return pd.DataFrame(rows, columns=[name for name, _ in SHARE_COLUMNS])
