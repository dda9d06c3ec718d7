"""What a whole scan found, in one record that JSON can hold."""

from __future__ import annotations

from dataclasses import dataclass
from operator import attrgetter

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from memaudit.records import Split
from memaudit.statistics.adaptive import screened
from memaudit.statistics.combine import ONE_STEP, pooled_reconstruction
from memaudit.statistics.conduct import Conduct, NoisyTraining, ReferenceUse
from memaudit.statistics.conformal import controls_needed, reach
from memaudit.statistics.dataset import DatasetTest, dataset_test
from memaudit.statistics.effects import (
    FEWEST_CONTROLS,
    Auc,
    Excess,
    bootstrap_auc,
    excess_interval,
    share_above,
)
from memaudit.statistics.effort import Effort
from memaudit.statistics.entities import calibrating
from memaudit.statistics.exchangeability import Fairness
from memaudit.statistics.findings import SPANS, calibrates
from memaudit.statistics.levels import Level, per_level
from memaudit.statistics.literature import LiteratureLevel, literature_levels
from memaudit.statistics.noisy import joint_test, rests_on, with_queries
from memaudit.statistics.options import Options
from memaudit.statistics.power import Power, graded
from memaudit.statistics.roc import RocPoint, roc_points
from memaudit.statistics.tail import Tail, extrapolated_p
from memaudit.statistics.verdict import Facts, Verdict, decide


@dataclass(frozen=True)
class Counts:
    """Rows of the data set, and the duplicate groups (`*_groups`) that calibrate."""

    members: int
    controls: int
    member_groups: int
    control_groups: int
    spanning_groups: int
    duplicates: int
    unscored: int
    unreadable: int


@dataclass(frozen=True)
class Flagged:
    """Member groups flagged at false discovery rate `q`, and what more controls would show.

    `reach` is the fewest groups that can be flagged together, None if none can; `controls_for_one`
    is the number of controls with which a single one can. `screened` groups are flagged though an
    adaptive scan did not promote them: more stand out than it scanned in full.
    """

    q: float
    groups: int
    rows: int
    reproductions: int
    influences: int
    screened: int
    min_q: float | None
    reach: int | None
    controls_for_one: int


@dataclass(frozen=True)
class Extrapolated:
    """Model-based: member groups that p-values beyond the controls' ranks would flag."""

    groups: int
    tail: Tail


@dataclass(frozen=True)
class DatasetLevel:
    """The member side as a whole against the controls.

    `share_above` is the share of member groups above the controls' 99th percentile; `excess` needs
    two controls; `roc` holds the false-positive rates that the controls suffice for.
    """

    test: DatasetTest
    auc: Auc
    share_above: float
    excess: Excess | None
    roc: tuple[RocPoint, ...]
    extrapolated: Extrapolated


@dataclass(frozen=True)
class Summary:
    """What a scan found; `dataclasses.asdict` of it is JSON, None is what could not be computed."""

    column: str
    reconstruction: str
    counts: Counts
    flagged: Flagged
    dataset: DatasetLevel | None
    levels: tuple[Level, ...]
    literature: tuple[LiteratureLevel, ...]
    fairness: Fairness | None
    power: Power | None
    effort: Effort | None
    noisy: NoisyTraining | None
    reference: ReferenceUse | None
    verdict: Verdict


def summarise(
    findings: pd.DataFrame,
    scores: pd.DataFrame,
    pool: pd.DataFrame,
    options: Options,
    conduct: Conduct,
) -> Summary:
    """Summarise the findings of `scores` over `pool`, made with the same options."""
    counts = _counts(findings, conduct)
    reconstruction = pooled_reconstruction(scores[~screened(scores)], options.reconstruction)
    levels = per_level(scores, pool, options.column)
    if conduct.power is not None:
        levels = graded(levels, reconstruction, conduct.power, options.copy_threshold)
    noisy = conduct.noisy
    if noisy is not None:
        noisy = with_queries(noisy, findings, scores, pool, options)
    queries = 1 if noisy is None else max(1, len(noisy.by_query))
    flagged = _flagged(findings, counts, options, queries)
    dataset = _dataset(findings, options, joint_test(noisy))
    facts = Facts(
        members=counts.member_groups,
        controls=counts.control_groups,
        min_q=1.0 if flagged.min_q is None else flagged.min_q,
        dataset_p=1.0 if dataset is None else dataset.test.p_value,
        flagged=flagged.groups,
        unreadable=counts.unreadable + counts.unscored,
        entries=len(findings) + counts.unreadable,
        self_checked=conduct.self_checked,
        spanning=counts.spanning_groups,
        power=None if conduct.power is None else conduct.power.share,
        informative=sum(level.grade == "informative" for level in levels),
        shift=_shift(conduct.fairness),
        by_query="" if noisy is None else rests_on(noisy),
        one_step_of_noisy=noisy is not None and reconstruction == ONE_STEP,
        unasked="" if noisy is None else noisy.unasked,
    )
    return Summary(
        column=options.column,
        reconstruction=reconstruction,
        counts=counts,
        flagged=flagged,
        dataset=dataset,
        levels=levels,
        literature=_literature(scores, pool, reconstruction, options),
        fairness=conduct.fairness,
        power=conduct.power,
        effort=conduct.effort,
        noisy=noisy,
        reference=conduct.reference,
        verdict=decide(facts),
    )


def _shift(fairness: Fairness | None) -> str:
    """What separates the sides, in words; empty without an alarm."""
    if fairness is None or not fairness.alarm:
        return ""
    by = [
        f"{one.what} ({one.members} against {one.controls}, AUC {one.auc:.2f})"
        for one in fairness.separates[:3]
    ]
    if min(fairness.baselines, key=attrgetter("p_value")).features == "captions":
        by = ["captions", *by]
    return f"p {fairness.p_value:.3g}" + (f"; what differs: {', '.join(by)}" if by else "")


def _literature(
    scores: pd.DataFrame, pool: pd.DataFrame, reconstruction: str, options: Options
) -> tuple[LiteratureLevel, ...]:
    full = scores[scores["reconstruction"] == reconstruction]
    if full.empty:
        return ()
    sides = calibrating(pool, pd.Index(full["example_id"].unique()))
    return literature_levels(full, sides, reconstruction, options.embedder)


def _counts(findings: pd.DataFrame, conduct: Conduct) -> Counts:
    member = findings["split"] == "member"
    entity = calibrates(findings)
    return Counts(
        members=int(member.sum()),
        controls=int((~member).sum()),
        member_groups=int((entity & member).sum()),
        control_groups=int((entity & ~member).sum()),
        spanning_groups=int(findings.loc[findings["reason"] == SPANS, "group"].nunique()),
        duplicates=int((~findings["representative"]).sum()),
        unscored=int(findings["score"].isna().sum()),
        unreadable=conduct.unreadable,
    )


def _flagged(findings: pd.DataFrame, counts: Counts, options: Options, queries: int) -> Flagged:
    rows = findings[findings["flagged"]]
    groups = rows[rows["representative"]]
    each = options.q / queries  # the queries share the rate
    fewest = reach(counts.member_groups, counts.control_groups, each)
    q = findings["q_value"].dropna()
    return Flagged(
        q=options.q,
        groups=len(groups),
        rows=len(rows),
        reproductions=int((groups["severity"] == "reproduction").sum()),
        influences=int((groups["severity"] == "influence").sum()),
        screened=int((groups["stage"] == "screen").sum()),
        min_q=None if q.empty else float(q.min()),
        reach=fewest if 0 < fewest <= counts.member_groups else None,
        controls_for_one=controls_needed(counts.member_groups, 1, each),
    )


def _dataset(
    findings: pd.DataFrame, options: Options, joint: DatasetTest | None
) -> DatasetLevel | None:
    members, controls = _side(findings, "member"), _side(findings, "control")
    if not (len(members) and len(controls)):
        return None
    enough = len(controls) >= FEWEST_CONTROLS
    return DatasetLevel(
        test=joint or dataset_test(members, controls, options.rounds, options.seed),
        auc=bootstrap_auc(members, controls, seed=options.seed),
        share_above=share_above(members, controls),
        excess=excess_interval(members, controls, seed=options.seed) if enough else None,
        roc=roc_points(members, controls, seed=options.seed),
        extrapolated=Extrapolated(
            groups=int((findings["flagged_extrapolated"] & calibrates(findings)).sum()),
            tail=extrapolated_p(members, controls, options.seed)[1],
        ),
    )


def _side(findings: pd.DataFrame, split: Split) -> NDArray[np.float64]:
    rows = findings[calibrates(findings) & (findings["split"] == split)]
    return rows["score"].to_numpy(dtype=np.float64)
