"""How many images there are, how many calibrate, and how many are flagged."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import pandas as pd

from memaudit.records import Split
from memaudit.statistics.conduct import Calibrated
from memaudit.statistics.conformal import controls_needed, smallest_count
from memaudit.statistics.doubts import fewest_controls
from memaudit.statistics.facts import SideFacts
from memaudit.statistics.findings import calibrates
from memaudit.statistics.options import Options


@dataclass(frozen=True)
class Unread:
    """Entries of either side that could not be read."""

    members: int = 0
    controls: int = 0


@dataclass(frozen=True)
class Counts:
    """Rows of the data set, and what calibrates.

    `*_groups` are duplicate groups, each counted on the side of the image that stands for it;
    `*_units` the same, or clusters where those were asked for. `spanning_groups` have images on
    both sides, `split_clusters` images of both. `left_out` groups are no part of the comparison.
    """

    members: int
    controls: int
    member_groups: int
    control_groups: int
    member_units: int
    control_units: int
    spanning_groups: int
    split_clusters: int
    left_out: int
    duplicates: int
    unscored: int
    unread: Unread

    @property
    def unreadable(self) -> int:
        """Entries of both sides that could not be read."""
        return self.unread.members + self.unread.controls

    @property
    def clustered(self) -> bool:
        """Whether clusters count, and not images."""
        groups = (self.member_groups, self.control_groups)
        return groups != (self.member_units, self.control_units)


@dataclass(frozen=True)
class Flagged:
    """Member groups flagged at false discovery rate `q`, and what more controls would show.

    `by_membership` and `by_reproduction` groups are flagged by the score of that claim. `scores`
    share the rate and the level of the verdict: one a claim and input. `smallest_count` is the
    fewest groups that can be flagged together, None if none can; `controls_for_one` is the number
    of controls with which a single one can, `fewest_controls` the number that a verdict takes.
    `screened` groups are flagged for reproduction though an adaptive scan did not promote them:
    more stand out than it scanned in full. `raw` counts what the scores by themselves flag.
    """

    q: float
    groups: int
    rows: int
    reproductions: int
    memberships: int
    by_membership: int
    by_reproduction: int
    screened: int
    min_q: float | None
    reproduction_min_q: float | None
    scores: int
    smallest_count: int | None
    controls_for_one: int
    fewest_controls: int
    raw: int


def count(data: Calibrated, unread: Unread) -> Counts:
    """Count rows, groups and clusters."""
    table = data.findings
    member, entity = table["split"] == "member", calibrates(table)
    named = table[table["cluster"] != ""]
    sides = data.sides
    return Counts(
        members=int(member.sum()),
        controls=int((~member).sum()),
        member_groups=int((entity & member).sum()),
        control_groups=int((entity & ~member).sum()),
        member_units=_units(sides.members, sides.clusters),
        control_units=_units(sides.controls, sides.clusters),
        spanning_groups=int((table.groupby("group")["split"].nunique() > 1).sum()),
        split_clusters=int((named.groupby("cluster")["split"].nunique() > 1).sum()),
        left_out=int(data.pool.loc[data.pool["left_out"] != "", "group"].nunique()),
        duplicates=int((~table["representative"]).sum()),
        unscored=int(table["score"].isna().sum()),
        unread=unread,
    )


def _units(ids: tuple[str, ...], clusters: Mapping[str, str]) -> int:
    return len({clusters.get(one) or one for one in ids})


def side_facts(data: Calibrated, counts: Counts, side: Split) -> SideFacts:
    """What calibrates of a side, and what was lost of it."""
    table = data.findings
    rows = table[table["split"] == side]
    groups = table.groupby("group")["split"].nunique()
    unread = counts.unread.members if side == "member" else counts.unread.controls
    return SideFacts(
        units=counts.member_units if side == "member" else counts.control_units,
        groups=int(rows["group"].nunique()),
        spanning=int((groups.loc[rows["group"].unique()] > 1).sum()),
        lost=int(rows["score"].isna().sum()) + unread,
        entries=len(rows) + unread,
    )


def flagged(data: Calibrated, counts: Counts, options: Options) -> Flagged:
    """Count what is flagged."""
    table = data.findings
    rows = table[table["flagged"]]
    groups = rows[rows["representative"]]
    each = options.q / data.raw.shape[1]  # the scores share the rate
    images, units = counts.member_groups, counts.control_units
    fewest = smallest_count(images, units, each)
    alone = table["representative"] & (table["q_raw"] <= options.q)
    return Flagged(
        q=options.q,
        groups=len(groups),
        rows=len(rows),
        reproductions=int((groups["claim"] == "reproduction").sum()),
        memberships=int((groups["claim"] == "membership").sum()),
        by_membership=int(groups["membership_flagged"].sum()),
        by_reproduction=int(groups["reproduction_flagged"].sum()),
        screened=int((groups["reproduction_flagged"] & (groups["stage"] == "screen")).sum()),
        min_q=smallest(table["q_value"]),
        reproduction_min_q=smallest(table["reproduction_q"]),
        scores=data.raw.shape[1],
        smallest_count=fewest if 0 < fewest <= images else None,
        controls_for_one=controls_needed(images, 1, each),
        fewest_controls=fewest_controls(len(options.claims)),
        raw=int(alone.sum()),
    )


def smallest(q_values: pd.Series[float]) -> float | None:
    """The smallest of some q-values; None if all are blank."""
    told = q_values.dropna()
    return None if told.empty else float(told.min())
