"""Who calibrates: the scored representative of each duplicate group, with its own label."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import pandas as pd

from memaudit.errors import InputError
from memaudit.statistics.sample import Sample

POOL_COLUMNS = (
    *("example_id", "split", "source", "prompt", "group", "representative", "spans"),
    *("cluster", "left_out"),
)


@dataclass(frozen=True, eq=False)
class Compared:
    """The scores of both sides."""

    members: Sample
    controls: Sample


@dataclass(frozen=True)
class Sides:
    """Ids that enter p, q and intervals, ascending; each stands for one duplicate group.

    `clusters` names the cluster of an id: that of a photograph, a patient or a subject. An id that
    is not there is its own.
    """

    members: tuple[str, ...]
    controls: tuple[str, ...]
    clusters: Mapping[str, str] = field(default_factory=dict)

    def among(self, ids: pd.Index[str]) -> Sides:
        """Keep those that are among some ids: of an adaptive scan, those scanned in full."""
        kept = set(ids)
        return Sides(
            members=tuple(one for one in self.members if one in kept),
            controls=tuple(one for one in self.controls if one in kept),
            clusters=self.clusters,
        )

    def compare(self, score: pd.Series[float]) -> Compared:
        """Split scores by side; `score` holds every id of both."""
        return Compared(self._sample(score, self.members), self._sample(score, self.controls))

    def _sample(self, score: pd.Series[float], ids: tuple[str, ...]) -> Sample:
        clusters = [self.clusters.get(one, "") for one in ids] if self.clusters else None
        return Sample.of(score[list(ids)].to_numpy(), ids, clusters)


def calibrating(pool: pd.DataFrame, scored: pd.Index[str]) -> Sides:
    """Ids of the scored representatives, each on the side of its own row.

    A group with rows on both sides counts once, on the side of the row that stands for it; to leave
    it out would depend on the labels. `pool` has one row per data-set row with POOL_COLUMNS; rows
    that say under `left_out` why they are no part of the comparison are none. `scored` are the ids
    that have scores. Raises InputError if the pool contradicts itself or lacks a scored id.
    """
    _check(pool, scored)
    is_scored = scored.get_indexer(pd.Index(pool["example_id"])) >= 0  # isin takes 20 times longer
    entities = pool[pool["representative"] & (pool["left_out"] == "") & is_scored]
    if entities["example_id"].duplicated().any():
        twice = entities.loc[entities["example_id"].duplicated(), "example_id"].iloc[0]
        raise InputError(
            f"example {twice} represents two groups, expected one; group duplicates over "
            "members and controls together"
        )
    members = entities["split"] == "member"
    return Sides(
        members=tuple(sorted(entities.loc[members, "example_id"])),
        controls=tuple(sorted(entities.loc[~members, "example_id"])),
        clusters=clusters_of(entities),
    )


def clusters_of(rows: pd.DataFrame) -> dict[str, str]:
    """Names of clusters by id, of those rows that have one."""
    told = rows[rows["cluster"] != ""]
    return dict(zip(told["example_id"], told["cluster"], strict=True))


def _check(pool: pd.DataFrame, scored: pd.Index[str]) -> None:
    missing = [name for name in POOL_COLUMNS if name not in pool]
    if missing:
        raise InputError(f"the pool lacks the columns {missing}, expected {list(POOL_COLUMNS)}")
    splits = set(pool["split"].unique()) - {"member", "control"}
    if splits:
        raise InputError(f"the pool has the splits {sorted(splits)}, expected member and control")
    if (pool.groupby("group")["representative"].sum() != 1).any():
        raise InputError("expected one representative for each duplicate group")
    strangers = scored.difference(pd.Index(pool.loc[pool["representative"], "example_id"]))
    if len(strangers):
        raise InputError(
            f"{len(strangers)} scored examples are no representatives of the pool, "
            f"for instance {strangers[0]}; the scores belong to another data set"
        )
