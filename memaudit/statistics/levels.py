"""What each noise level shows by itself."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from memaudit.statistics.adaptive import screened
from memaudit.statistics.combine import closeness, level_means
from memaudit.statistics.effects import auc, share_above
from memaudit.statistics.entities import Sides, calibrating
from memaudit.statistics.queries import column_of

Grade = Literal["informative", "too easy", "no power", ""]


@dataclass(frozen=True)
class Level:
    """Members against controls at one noise level; None where a side is empty.

    `auc` and `share_above` (share of members above the controls' 99th percentile) are of the pooled
    score column; `own_similarity_*` are medians; `rank1_*` are shares of draws whose nearest image
    is the source. `power` is the share of a perfect memorizer's images found here at 1 % false
    positives, and `grade` what the level is worth (see `power.graded`); only the pooled
    reconstruction has them.
    """

    reconstruction: str
    sigma: float
    snr_db: float
    members: int
    controls: int
    own_similarity_members: float | None
    own_similarity_controls: float | None
    auc: float | None
    share_above: float | None
    rank1_members: float | None
    rank1_controls: float | None
    power: float | None = None
    grade: Grade = ""


@dataclass(frozen=True)
class _Compared:
    members: NDArray[np.float64]
    controls: NDArray[np.float64]


def per_level(
    scores: pd.DataFrame, pool: pd.DataFrame, column: str = "margin"
) -> tuple[Level, ...]:
    """Describe each reconstruction and sigma, over calibrating representatives, draws averaged.

    Of an adaptive scan the full passes are described over the images that they were run on.
    `pandas.DataFrame(per_level(...))` is the table.
    """
    sides = calibrating(pool, pd.Index(scores["example_id"].unique()))
    names = sorted(scores["reconstruction"].unique())
    adaptive = bool(screened(scores).any())
    levels: list[Level] = []
    for name in names:
        rows = scores[scores["reconstruction"] == name] if adaptive else scores
        scanned = sides.among(pd.Index(rows["example_id"].unique())) if adaptive else sides
        levels += _of_reconstruction(rows, scanned, column, name)
    return tuple(levels)


def _of_reconstruction(
    scores: pd.DataFrame, sides: Sides, column: str, reconstruction: str
) -> list[Level]:
    ranked = scores.assign(first=(scores["own_rank"] == 1).astype(np.float64))
    own = level_means(scores, "own_similarity", reconstruction)
    score = closeness(scores, column_of(reconstruction, column), reconstruction)
    first = level_means(ranked, "first", reconstruction)
    sigmas = own.columns.to_numpy(dtype=np.float64)
    snr_db = scores.groupby("sigma")["snr_db"].first().loc[own.columns]
    tables = (_compare(table, sides) for table in (own, score, first))
    return [
        _level((reconstruction, float(sigma), float(snr)), *compared)
        for sigma, snr, *compared in zip(sigmas, snr_db, *tables, strict=True)
    ]


def _compare(table: pd.DataFrame, sides: Sides) -> list[_Compared]:
    """Split each level, a column of the table, by side."""
    members = table.loc[list(sides.members)].to_numpy(dtype=np.float64).T
    controls = table.loc[list(sides.controls)].to_numpy(dtype=np.float64).T
    return [_Compared(*level) for level in zip(members, controls, strict=True)]


def _level(
    place: tuple[str, float, float], own: _Compared, score: _Compared, first: _Compared
) -> Level:
    both = len(score.members) > 0 and len(score.controls) > 0
    return Level(
        *place,
        members=len(score.members),
        controls=len(score.controls),
        own_similarity_members=_median(own.members),
        own_similarity_controls=_median(own.controls),
        auc=auc(score.members, score.controls) if both else None,
        share_above=share_above(score.members, score.controls) if both else None,
        rank1_members=_mean(first.members),
        rank1_controls=_mean(first.controls),
    )


def _median(values: NDArray[np.float64]) -> float | None:
    return float(np.median(values)) if len(values) else None


def _mean(values: NDArray[np.float64]) -> float | None:
    return float(np.mean(values)) if len(values) else None
