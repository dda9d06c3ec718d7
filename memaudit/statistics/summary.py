"""What a whole scan found, in one record that JSON can hold."""

from __future__ import annotations

from dataclasses import dataclass, field, replace

import pandas as pd

from memaudit.statistics.claims import ClaimFound, claims_found
from memaudit.statistics.conduct import Calibrated, ReferenceUse
from memaudit.statistics.copies import (
    NoisyTraining,
    Tests,
    joint_test,
    rests_on,
    score_tests,
    with_inputs,
)
from memaudit.statistics.counts import Counts, Flagged, Unread, count, flagged, side_facts, smallest
from memaudit.statistics.dataset import DatasetTest
from memaudit.statistics.detectable import Detectable
from memaudit.statistics.effects import (
    FEWEST_CONTROLS,
    Auc,
    Excess,
    auc_interval,
    excess_interval,
    share_above,
)
from memaudit.statistics.effort import Effort
from memaudit.statistics.exchangeability.check import LEVEL, Exchangeability, can_be_tested
from memaudit.statistics.explored import Explored, explore
from memaudit.statistics.facts import Facts, Found, small
from memaudit.statistics.findings import calibrates
from memaudit.statistics.inference import Inference, infer
from memaudit.statistics.joint import InputTail
from memaudit.statistics.levels import Level, per_level
from memaudit.statistics.literature import LiteratureLevel, literature_levels
from memaudit.statistics.options import Options
from memaudit.statistics.power import Power, graded, worth
from memaudit.statistics.probes import Probe, scores_by
from memaudit.statistics.roc import RocPoint, roc_points
from memaudit.statistics.verdict import Outcome, Verdict, decide, tolerated


@dataclass(frozen=True)
class Conduct:
    """How the scan went: entries that could not be read, and whether the model was checked.

    Also the power check and the fewest memorized images that the scan finds, None where not run,
    and the effort; what is special about a model of noisy data, and the reference model.
    """

    self_checked: bool
    unread: Unread = field(default_factory=Unread)
    power: Power | None = None
    detectable: Detectable | None = None
    effort: Effort | None = None
    noisy: NoisyTraining | None = None
    reference: ReferenceUse | None = None

    @property
    def adaptive(self) -> bool:
        """Whether a first pass chose what was scanned in full."""
        return self.effort is not None and self.effort.adaptive


@dataclass(frozen=True)
class Extrapolated:
    """Model-based: member groups that p-values beyond the controls' ranks would flag."""

    groups: int
    tails: tuple[InputTail, ...]


@dataclass(frozen=True)
class DatasetLevel:
    """The member side as a whole against the controls.

    `raw` is the test of the scores by themselves, `test` that of the scores less what pictures
    predict of them, as all else; both are of all claims. The rest is of reconstruction:
    `share_above` is the share of member groups above the controls' 99th percentile; `excess` needs
    two controls; `roc` holds the false-positive rates that the controls suffice for.
    """

    test: DatasetTest
    raw: DatasetTest
    auc: Auc
    share_above: float
    excess: Excess | None
    roc: tuple[RocPoint, ...]
    extrapolated: Extrapolated


@dataclass(frozen=True)
class Summary:
    """What a scan found; None is what could not be computed.

    `attack` is the one that the claim of reproduction rests on, `columns` are those pooled into its
    score; `claims` are what each claim rests on, and `conduct` is how the scan went. `inference` is
    of all attacks together, `explored` are the further ones by themselves; both are no part of the
    verdict.
    """

    attack: str
    columns: tuple[str, ...]
    counts: Counts
    flagged: Flagged
    claims: tuple[ClaimFound, ...]
    dataset: DatasetLevel | None
    exchangeability: Exchangeability | None
    levels: tuple[Level, ...]
    literature: tuple[LiteratureLevel, ...]
    conduct: Conduct
    verdict: Verdict
    inference: Inference | None = None
    explored: tuple[Explored, ...] = ()


def summarise(data: Calibrated, options: Options, conduct: Conduct) -> Summary:
    """Summarise findings that were made with the same options."""
    primary = options.primary
    counts = count(data, conduct.unread)
    primaries = (*options.claims, *options.others)
    levels = per_level(data.scores, data.pool, primaries, options.copy_threshold)
    if conduct.power is not None:
        levels = graded(levels, conduct.power)
    tests = score_tests(data.adjusted, data.sides, options)
    if conduct.noisy is not None:
        conduct = replace(conduct, noisy=with_inputs(conduct.noisy, data, tests, options.claims))
    summary = Summary(
        attack=primary.attack,
        columns=tuple(column.name for column in primary.columns),
        counts=counts,
        flagged=flagged(data, counts, options),
        claims=claims_found(data, tests, options),
        dataset=_dataset(data, tests, options) if tests else None,
        exchangeability=data.exchangeability,
        levels=levels,
        literature=_literature(data, options),
        conduct=conduct,
        verdict=Verdict.inconclusive(),
        inference=infer(data, options),
        explored=explore(data, options),
    )
    verdict = decide(_facts(summary, data, options))
    if verdict.outcome is not Outcome.EVIDENCE:  # then a flag claims nothing
        none = replace(summary.flagged, reproductions=0, memberships=0)
        summary = replace(summary, flagged=none)
    return replace(summary, verdict=verdict)


def _facts(summary: Summary, data: Calibrated, options: Options) -> Facts:
    conduct, flags, counts = summary.conduct, summary.flagged, summary.counts
    noisy, found, level = conduct.noisy, conduct.detectable, summary.dataset
    return Facts(
        members=side_facts(data, counts, "member"),
        controls=side_facts(data, counts, "control"),
        found=_found(flags.min_q, None if level is None else level.test, flags.groups),
        raw=_found(
            smallest(data.findings["q_raw"]), None if level is None else level.raw, flags.raw
        ),
        self_checked=conduct.self_checked,
        claims=len(options.claims),
        reproduction_q=1.0 if flags.reproduction_min_q is None else flags.reproduction_min_q,
        reproductions=flags.reproductions,
        power=None if conduct.power is None else conduct.power.share,
        detectable=None if found is None else found.count,
        tolerated=tolerated(counts.member_units, options.tolerated_count, options.tolerated_share),
        informative=worth(summary.levels, summary.attack),
        shift=_shift(summary.exchangeability),
        untested=_untested(summary.exchangeability),
        by_input="" if noisy is None else rests_on(noisy),
        only_copies=noisy is not None and noisy.only_copies,
        one_step_of_noisy=noisy is not None and noisy.one_step,
        unasked="" if noisy is None else noisy.unasked,
        split_clusters=counts.split_clusters,
        hides=options.primary.hides,
    )


def _found(min_q: float | None, test: DatasetTest | None, groups: int) -> Found:
    return Found(
        min_q=1.0 if min_q is None else min_q,
        dataset_p=1.0 if test is None else test.p_value,
        flagged=groups,
    )


def _shift(check: Exchangeability | None) -> str:
    """How the sides differ in the score that their pictures predict; empty without an alarm."""
    if check is None or check.p_value is None or not check.alarm:
        return ""
    by = [
        f"{one.what} ({one.members} against {one.controls}, AUC {one.auc:.2f})"
        for one in check.separates[:3]
    ]
    said = f"p {small(check.p_value)}, AUC {check.auc:.2f}"
    return said + (f"; what differs: {', '.join(by)}" if by else "")


def _untested(check: Exchangeability | None) -> str:
    """Why the sides could not be compared by what their pictures predict; empty if they were."""
    if check is None or can_be_tested(check.members, check.controls):
        return ""
    return (
        f"whether {check.members} members and {check.controls} controls are alike cannot be tested "
        f"at level {LEVEL}; give more of the smaller side"
    )


def _literature(data: Calibrated, options: Options) -> tuple[LiteratureLevel, ...]:
    probe = Probe(options.primary.attack)
    rows = probe.rows(data.scores)
    if rows.empty or "own_similarity" not in rows:
        return ()
    scored = data.sides.among(pd.Index(rows["example_id"].unique()))
    return literature_levels(rows, scored, probe, options.embedder)


def _dataset(data: Calibrated, tests: Tests, options: Options) -> DatasetLevel:
    both = data.sides.compare(scores_by(data.adjusted, options.primary.attack).max(axis=1))
    members, controls = both.members, both.controls
    enough = controls.units >= FEWEST_CONTROLS
    beyond = data.findings["flagged_extrapolated"] & calibrates(data.findings)
    return DatasetLevel(
        test=joint_test(tests),
        raw=joint_test(score_tests(data.raw, data.sides, options)),
        auc=auc_interval(members, controls),
        share_above=share_above(members.values, controls.values),
        excess=excess_interval(members, controls, seed=options.seed) if enough else None,
        roc=roc_points(members, controls, seed=options.seed),
        extrapolated=Extrapolated(groups=int(beyond.sum()), tails=data.tails),
    )
