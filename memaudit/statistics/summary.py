"""What a whole scan found, in one record that JSON can hold."""

from __future__ import annotations

from dataclasses import dataclass, replace
from operator import attrgetter

import pandas as pd

from memaudit.statistics.conduct import Calibrated, ReferenceUse
from memaudit.statistics.conformal import controls_needed, smallest_count
from memaudit.statistics.copies import NoisyTraining, joint_test, rests_on, with_inputs
from memaudit.statistics.dataset import DatasetTest, dataset_test
from memaudit.statistics.effects import (
    FEWEST_CONTROLS,
    Auc,
    Excess,
    auc_interval,
    excess_interval,
    share_above,
)
from memaudit.statistics.effort import Effort
from memaudit.statistics.entities import calibrating
from memaudit.statistics.exchangeability import Exchangeability
from memaudit.statistics.findings import SPANS, calibrates, sides_of
from memaudit.statistics.joint import InputTail
from memaudit.statistics.levels import Level, per_level
from memaudit.statistics.literature import LiteratureLevel, literature_levels
from memaudit.statistics.options import Options
from memaudit.statistics.power import Power, graded, worth
from memaudit.statistics.probes import Probe
from memaudit.statistics.roc import RocPoint, roc_points
from memaudit.statistics.verdict import Facts, Verdict, decide


@dataclass(frozen=True)
class Conduct:
    """How the scan went: entries that could not be read, and whether the model was checked.

    Also the exchangeability check and the power check, None where not run, and the effort; what is
    special about a model of noisy data, and the reference model.
    """

    unreadable: int
    self_checked: bool
    exchangeability: Exchangeability | None = None
    power: Power | None = None
    effort: Effort | None = None
    noisy: NoisyTraining | None = None
    reference: ReferenceUse | None = None


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

    `smallest_count` is the fewest groups that can be flagged together, None if none can;
    `controls_for_one` is the number of controls with which a single one can. `screened` groups are
    flagged though an adaptive scan did not promote them: more stand out than it scanned in full.
    """

    q: float
    groups: int
    rows: int
    reproductions: int
    memberships: int
    screened: int
    min_q: float | None
    smallest_count: int | None
    controls_for_one: int


@dataclass(frozen=True)
class Extrapolated:
    """Model-based: member groups that p-values beyond the controls' ranks would flag."""

    groups: int
    tails: tuple[InputTail, ...]


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
    """What a scan found; None is what could not be computed.

    `attack` is the one that the verdict rests on, `columns` are those pooled into its score;
    `conduct` is how the scan went.
    """

    attack: str
    columns: tuple[str, ...]
    counts: Counts
    flagged: Flagged
    dataset: DatasetLevel | None
    levels: tuple[Level, ...]
    literature: tuple[LiteratureLevel, ...]
    conduct: Conduct
    verdict: Verdict


def summarise(data: Calibrated, options: Options, conduct: Conduct) -> Summary:
    """Summarise findings that were made with the same options."""
    primary = options.primary
    counts = _counts(data.findings, conduct)
    levels = per_level(data.scores, data.pool, (primary, *options.others), options.copy_threshold)
    if conduct.power is not None:
        levels = graded(levels, primary.attack, conduct.power)
    noisy = conduct.noisy
    if noisy is not None:
        noisy = with_inputs(noisy, data, options)
        conduct = replace(conduct, noisy=noisy)
    flagged = _flagged(data.findings, counts, options, _inputs(noisy))
    dataset = _dataset(data, options, joint_test(noisy))
    facts = _facts(counts, flagged, dataset, conduct)
    return Summary(
        attack=primary.attack,
        columns=tuple(column.name for column in primary.columns),
        counts=counts,
        flagged=flagged,
        dataset=dataset,
        levels=levels,
        literature=_literature(data, options),
        conduct=conduct,
        verdict=decide(replace(facts, informative=worth(levels))),
    )


def _inputs(noisy: NoisyTraining | None) -> int:
    """How many inputs share the level."""
    return 1 if noisy is None else max(1, len(noisy.by_input))


def _facts(
    counts: Counts, flagged: Flagged, dataset: DatasetLevel | None, conduct: Conduct
) -> Facts:
    noisy = conduct.noisy
    return Facts(
        members=counts.member_groups,
        controls=counts.control_groups,
        min_q=1.0 if flagged.min_q is None else flagged.min_q,
        dataset_p=1.0 if dataset is None else dataset.test.p_value,
        flagged=flagged.groups,
        unreadable=counts.unreadable + counts.unscored,
        entries=counts.members + counts.controls + counts.unreadable,
        self_checked=conduct.self_checked,
        spanning=counts.spanning_groups,
        power=None if conduct.power is None else conduct.power.share,
        shift=_shift(conduct.exchangeability),
        by_input="" if noisy is None else rests_on(noisy),
        one_step_of_noisy=noisy is not None and noisy.one_step,
        unasked="" if noisy is None else noisy.unasked,
    )


def _shift(check: Exchangeability | None) -> str:
    """What separates the sides, in words; empty without an alarm."""
    if check is None or not check.alarm:
        return ""
    by = [
        f"{one.what} ({one.members} against {one.controls}, AUC {one.auc:.2f})"
        for one in check.separates[:3]
    ]
    if min(check.baselines, key=attrgetter("p_value")).features == "captions":
        by = ["captions", *by]
    return f"p {check.p_value:.3g}" + (f"; what differs: {', '.join(by)}" if by else "")


def _literature(data: Calibrated, options: Options) -> tuple[LiteratureLevel, ...]:
    probe = Probe(options.primary.attack)
    rows = probe.rows(data.scores)
    if rows.empty or "own_similarity" not in rows:
        return ()
    sides = calibrating(data.pool, pd.Index(rows["example_id"].unique()))
    return literature_levels(rows, sides, probe, options.embedder)


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


def _flagged(findings: pd.DataFrame, counts: Counts, options: Options, inputs: int) -> Flagged:
    rows = findings[findings["flagged"]]
    groups = rows[rows["representative"]]
    each = options.q / inputs  # the inputs share the rate
    fewest = smallest_count(counts.member_groups, counts.control_groups, each)
    q = findings["q_value"].dropna()
    return Flagged(
        q=options.q,
        groups=len(groups),
        rows=len(rows),
        reproductions=int((groups["claim"] == "reproduction").sum()),
        memberships=int((groups["claim"] == "membership").sum()),
        screened=int((groups["stage"] == "screen").sum()),
        min_q=None if q.empty else float(q.min()),
        smallest_count=fewest if 0 < fewest <= counts.member_groups else None,
        controls_for_one=controls_needed(counts.member_groups, 1, each),
    )


def _dataset(data: Calibrated, options: Options, joint: DatasetTest | None) -> DatasetLevel | None:
    findings = data.findings
    sides = sides_of(findings)
    if not (sides.members and sides.controls):
        return None
    both = sides.compare(findings[findings["representative"]].set_index("example_id")["score"])
    members, controls = both.members, both.controls
    enough = controls.units >= FEWEST_CONTROLS
    return DatasetLevel(
        test=joint or dataset_test(members, controls, options.rounds, options.seed),
        auc=auc_interval(members, controls),
        share_above=share_above(members.values, controls.values),
        excess=excess_interval(members, controls, seed=options.seed) if enough else None,
        roc=roc_points(members, controls, seed=options.seed),
        extrapolated=Extrapolated(
            groups=int((findings["flagged_extrapolated"] & calibrates(findings)).sum()),
            tails=data.tails,
        ),
    )
