"""What each noise level shows by itself."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from memaudit.records import COPY, Input, Phase, Primary
from memaudit.statistics.adaptive import promoted
from memaudit.statistics.combine import closeness, level_means
from memaudit.statistics.effects import auc, share_above
from memaudit.statistics.entities import Sides, calibrating
from memaudit.statistics.probes import Probe, first_pass, probes_in

Grade = Literal["informative", "partly easy", "too easy", "no power", ""]


@dataclass(frozen=True)
class Level:
    """Members against controls at one noise level; None where a side is empty.

    `auc` and `share_above` (share of members above the controls' 99th percentile) are of the
    attack's score; `own_similarity_*` are medians; `rank1_*` are shares of draws whose nearest
    image is the source; `copies_controls` is the share of controls that come back as copies; None
    of attacks that have no such columns. `power` is the share of a perfect memorizer's images found
    here at 1 % false positives, and `grade` says in a word what the level is worth (see
    `power.graded`); only the attack that the verdict rests on has them.
    """

    attack: str
    input: Input
    phase: Phase
    level: float
    snr_db: float
    members: int
    controls: int
    own_similarity_members: float | None
    own_similarity_controls: float | None
    auc: float | None
    share_above: float | None
    rank1_members: float | None
    rank1_controls: float | None
    copies_controls: float | None = None
    power: float | None = None
    grade: Grade = ""

    @property
    def probe(self) -> Probe:
        """What was asked."""
        return Probe(self.attack, self.input, self.phase)

    @property
    def worth(self) -> float:
        """Power times the share of held-out images that do not come back as copies, 0 .. 1."""
        return (self.power or 0.0) * (1 - (self.copies_controls or 0.0))


@dataclass(frozen=True)
class _Place:
    probe: Probe
    level: float
    snr_db: float


@dataclass(frozen=True)
class _Compared:
    members: NDArray[np.float64]
    controls: NDArray[np.float64]


def per_level(
    scores: pd.DataFrame,
    pool: pd.DataFrame,
    primaries: tuple[Primary, ...],
    copy_threshold: float | None = None,
) -> tuple[Level, ...]:
    """Describe each probe and level, over calibrating representatives, draws averaged.

    `primaries` are the scores of the attacks; the first is the one that first passes stand for. Of
    an adaptive scan the full passes are described over the images that they were run on.
    `copy_threshold` is the own similarity from which two images are called copies.
    `pandas.DataFrame(per_level(...))` is the table.
    """
    sides = calibrating(pool, pd.Index(scores["example_id"].unique()))
    scored = {primary.attack: primary for primary in primaries}
    adaptive = bool(first_pass(scores).any())
    levels: list[Level] = []
    for probe in probes_in(scores):
        rows = probe.rows(scores) if adaptive else scores
        scanned = sides.among(pd.Index(rows["example_id"].unique())) if adaptive else sides
        primary = scored.get(probe.attack, primaries[0])
        levels += _of_probe(rows, scanned, primary, probe)
    if copy_threshold is None:
        return tuple(levels)
    stood_out = set(promoted(scores, primaries)) if adaptive else set()
    return tuple(_with_copies(one, scores, sides, copy_threshold, stood_out) for one in levels)


def _with_copies(
    level: Level,
    scores: pd.DataFrame,
    sides: Sides,
    copy_threshold: float,
    stood_out: set[str],
) -> Level:
    """Count the controls that come back as copies; noisy copies have a noise that none returns.

    Of an adaptive scan those that stood out count once, and those that were drawn at random for all
    that did not.
    """
    if level.own_similarity_controls is None or level.input == COPY:
        return level
    rows = scores[(scores["level"] == level.level) & level.probe.among(scores)]
    own = rows.groupby("example_id")["own_similarity"].mean()
    controls = own[own.index.isin(sides.controls)]
    copied, promoted_too = controls >= copy_threshold, controls.index.isin(stood_out)
    at_random = copied[~promoted_too]
    if not promoted_too.any() or at_random.empty:
        return replace(level, copies_controls=float(copied.mean()))
    above = int(copied[promoted_too].sum())
    rest = float(at_random.mean()) * (len(sides.controls) - int(promoted_too.sum()))
    return replace(level, copies_controls=(above + rest) / len(sides.controls))


def _of_probe(scores: pd.DataFrame, sides: Sides, primary: Primary, probe: Probe) -> list[Level]:
    score = closeness(scores, primary.of(probe.input), probe)
    levels = score.columns.to_numpy(dtype=np.float64)
    snr_db = probe.rows(scores).groupby("level")["snr_db"].first().loc[score.columns]
    blank = [None] * len(levels)
    own: list[_Compared | None] = [*blank]
    first: list[_Compared | None] = [*blank]
    if "own_similarity" in scores and probe.rows(scores)["own_similarity"].notna().all():
        ranked = scores.assign(first=(scores["own_rank"] == 1).astype(np.float64))
        own = [*_compare(level_means(scores, "own_similarity", probe), sides)]
        first = [*_compare(level_means(ranked, "first", probe), sides)]
    places = [_Place(probe, float(s), float(d)) for s, d in zip(levels, snr_db, strict=True)]
    rows = zip(places, _compare(score, sides), own, first, strict=True)
    return [_level(*row) for row in rows]


def _compare(table: pd.DataFrame, sides: Sides) -> list[_Compared]:
    """Split each level, a column of the table, by side."""
    members = table.loc[list(sides.members)].to_numpy(dtype=np.float64).T
    controls = table.loc[list(sides.controls)].to_numpy(dtype=np.float64).T
    return [_Compared(*level) for level in zip(members, controls, strict=True)]


def _level(
    place: _Place, score: _Compared, own: _Compared | None, first: _Compared | None
) -> Level:
    both = len(score.members) > 0 and len(score.controls) > 0
    return Level(
        attack=place.probe.attack,
        input=place.probe.input,
        phase=place.probe.phase,
        level=place.level,
        snr_db=place.snr_db,
        members=len(score.members),
        controls=len(score.controls),
        own_similarity_members=None if own is None else _median(own.members),
        own_similarity_controls=None if own is None else _median(own.controls),
        auc=auc(score.members, score.controls) if both else None,
        share_above=share_above(score.members, score.controls) if both else None,
        rank1_members=None if first is None else _mean(first.members),
        rank1_controls=None if first is None else _mean(first.controls),
    )


def _median(values: NDArray[np.float64]) -> float | None:
    return float(np.median(values)) if len(values) else None


def _mean(values: NDArray[np.float64]) -> float | None:
    return float(np.mean(values)) if len(values) else None
