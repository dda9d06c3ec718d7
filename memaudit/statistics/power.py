"""Could the scan have seen anything? What the perfect memorizer of the same images shows in it."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy import stats

from memaudit.statistics.combine import closeness, level_means, query_scores
from memaudit.statistics.conformal import rounded
from memaudit.statistics.effects import share_above, upper_quantile
from memaudit.statistics.levels import Level
from memaudit.statistics.queries import column_of, names_in, of_copies, of_images

FALSE = 0.01  # false positives at which images count as found
ENOUGH = 0.5  # least share of a perfect memorizer's images that a scan must find


@dataclass(frozen=True)
class LevelPower:
    """One noise level: the share of the memorizer's images found at 1 % false positives.

    `controls_own_similarity` is the median of held-out images under the memorizer;
    `reconstruction` tells noisy copies from clean images.
    """

    sigma: float
    share: float
    controls_own_similarity: float
    reconstruction: str = ""


@dataclass(frozen=True)
class Power:
    """What a perfect memorizer of the members shows, all levels combined, at 1 % false positives.

    `share` of its images found, with a 95 % interval (Clopper and Pearson 1934); `members` and
    `controls` are the queries, `candidates` the images memorized: fewer than `of` where memory did
    not hold them all, which overstates power.
    """

    share: float
    low: float
    high: float
    members: int
    controls: int
    candidates: int
    of: int
    levels: tuple[LevelPower, ...]


def measure_power(
    scores: pd.DataFrame, members: NDArray[np.bool_], column: str, memorized: tuple[int, int]
) -> Power:
    """Calibrate the memorizer's scores; `members` says which example ids, ascending, are members.

    `memorized` are the candidates, and members in all.
    """
    reconstruction = of_images(str(scores["reconstruction"].iloc[0]))
    by_query = query_scores(scores, column, reconstruction).to_numpy(np.float64)
    found, count = _share_found(by_query, members), int(members.sum())
    interval = stats.binomtest(round(found * count), count).proportion_ci(method="exact")
    return Power(
        share=found,
        low=float(interval.low),
        high=float(interval.high),
        members=count,
        controls=len(members) - count,
        candidates=memorized[0],
        of=memorized[1],
        levels=tuple(
            level
            for name in names_in(scores, reconstruction).values()
            for level in _by_level(scores, members, column_of(name, column), name)
        ),
    )


def _share_found(by_query: NDArray[np.float64], members: NDArray[np.bool_]) -> float:
    """Share of members found under any of the queries, [example, query], which share the 1 %."""
    threshold = upper_quantile(rounded(by_query[~members]), 1 - FALSE / by_query.shape[1])
    return float(np.mean((rounded(by_query[members]) > threshold).any(axis=1)))


def _by_level(
    scores: pd.DataFrame, members: NDArray[np.bool_], column: str, reconstruction: str
) -> list[LevelPower]:
    closer = closeness(scores, column, reconstruction)
    own = level_means(scores, "own_similarity", reconstruction)[~members].median()
    return [
        LevelPower(
            sigma=float(sigma),
            share=share_above(values[members], values[~members]),
            controls_own_similarity=float(own[sigma]),
            reconstruction=reconstruction,
        )
        for sigma, values in zip(closer.columns, closer.to_numpy(dtype=np.float64).T, strict=True)
    ]


def graded(
    levels: tuple[Level, ...], reconstruction: str, power: Power, copy_threshold: float | None
) -> tuple[Level, ...]:
    """Give each level of a reconstruction its power, and say what it is worth.

    "no power": even the perfect memorizer is found for fewer than half of its images. "too easy":
    half of the held-out images come back as copies from the model under audit, so that coming back
    shows nothing; noisy copies, whose noise no other model can return, are never too easy. Else
    "informative".
    """
    shares = {(level.reconstruction, level.sigma): level.share for level in power.levels}
    thresholds = {reconstruction: copy_threshold, of_copies(reconstruction): None}
    return tuple(
        _graded(level, shares[place], thresholds[level.reconstruction])
        if (place := (level.reconstruction, level.sigma)) in shares
        and level.reconstruction in thresholds
        else level
        for level in levels
    )


def _graded(level: Level, share: float, copy_threshold: float | None) -> Level:
    held_out = level.own_similarity_controls
    if share < ENOUGH:
        return replace(level, power=share, grade="no power")
    easy = held_out is not None and copy_threshold is not None and held_out >= copy_threshold
    return replace(level, power=share, grade="too easy" if easy else "informative")
