"""Thresholds of the literature: labelled extras, without controls, never part of the verdict."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from memaudit.statistics.combine import level_means
from memaudit.statistics.entities import Sides
from memaudit.statistics.probes import Probe


@dataclass(frozen=True)
class Threshold:
    """A published rule on one score column; `embedder` is empty where it is about pixels."""

    label: str
    source: str
    column: str
    value: float
    at_least: bool
    embedder: str = ""

    def met(self, values: pd.DataFrame) -> pd.DataFrame:
        """Where values meet it."""
        return values >= self.value if self.at_least else values <= self.value


def _similar(label: str, source: str, value: float, embedder: str) -> Threshold:
    return Threshold(label, source, "own_similarity", value, at_least=True, embedder=embedder)


def _near(label: str, source: str, column: str, value: float) -> Threshold:
    return Threshold(label, source, column, value, at_least=False)


THRESHOLDS = (
    _similar("SSCD >= .5", "Somepalli et al. 2023", 0.5, "sscd"),
    _similar("SSCD >= .7", "Wen et al. 2024", 0.7, "sscd"),
    _similar("SSCD >= .75", "Pizzi et al. 2022", 0.75, "sscd"),
    _similar("DINOv2 >= .90", "Daras et al. 2024", 0.90, "dinov2"),
    _similar("DINOv2 >= .95", "Daras et al. 2024", 0.95, "dinov2"),
    _similar("DINOv2 >= .99", "Daras et al. 2024", 0.99, "dinov2"),
    _near("l2 <= .15", "Carlini et al. 2023", "l2", 0.15),
    _near("adaptive l2 <= 1", "Carlini et al. 2023", "adaptive_l2", 1.0),
    _near("l2 ratio <= 1/3", "Gu et al. 2023", "l2_ratio", 1 / 3),
)


@dataclass(frozen=True)
class LiteratureLevel:
    """Shares of members and controls that meet a published threshold at one noise level.

    Draws are averaged first. None where a side is empty.
    """

    label: str
    source: str
    level: float
    snr_db: float
    members: float | None
    controls: float | None


def applicable(embedder: str) -> tuple[Threshold, ...]:
    """The thresholds that are about pixels or about this embedder, told as `name:argument`.

    A student of an embedder is another: its similarities are not those that were published.
    """
    return tuple(t for t in THRESHOLDS if t.embedder in ("", embedder.partition(":")[0]))


def literature_levels(
    scores: pd.DataFrame, sides: Sides, probe: Probe, embedder: str
) -> tuple[LiteratureLevel, ...]:
    """How many images of either side meet each threshold, level by level."""
    snr_db = scores.groupby("level")["snr_db"].first()
    rows = []
    for threshold, met in _met(scores, probe, embedder):
        positions = [
            met.index.get_indexer(pd.Index(ids)) for ids in (sides.members, sides.controls)
        ]
        for level, found in zip(met.columns, met.to_numpy().T, strict=True):
            shares = (_share(found[side]) for side in positions)
            place = (threshold.label, threshold.source, float(level), float(snr_db[level]))
            rows.append(LiteratureLevel(*place, *shares))
    return tuple(rows)


def literature_of(scores: pd.DataFrame, probe: Probe, embedder: str) -> pd.Series[str]:
    """Which thresholds each example meets and from which SNR, in words, by example id."""
    snr_db = scores.groupby("level")["snr_db"].first()
    ids = pd.Index(np.unique(scores["example_id"]), name="example_id")
    words = pd.Series("", index=ids)
    for threshold, met in _met(scores, probe, embedder):
        strongest = np.where(met, snr_db[met.columns].to_numpy(), np.inf).min(axis=1)
        said = [f"{threshold.label} from {snr:.1f} dB" if snr < np.inf else "" for snr in strongest]
        words = words.str.cat(pd.Series(said, index=met.index).reindex(ids), sep=";")
    return words.str.strip(";").str.replace(r";+", "; ", regex=True)


def _met(
    scores: pd.DataFrame, probe: Probe, embedder: str
) -> Iterator[tuple[Threshold, pd.DataFrame]]:
    """Each applicable threshold, and where the level means meet it; a column is averaged once.

    None of an attack without their columns: they were published for whole images.
    """
    thresholds = applicable(embedder)
    columns = dict.fromkeys(threshold.column for threshold in thresholds)
    rows = probe.rows(scores)
    if any(name not in rows or rows[name].isna().all() for name in columns):
        return
    means = {column: level_means(scores, column, probe) for column in columns}
    for threshold in thresholds:
        yield threshold, threshold.met(means[threshold.column])


def _share(met: NDArray[np.bool_]) -> float | None:
    return float(met.mean()) if len(met) else None
