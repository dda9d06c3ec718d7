"""The summary in words: what a reviewer reads first."""

from __future__ import annotations

import textwrap

from memaudit.config import ExecutionConfig
from memaudit.report import plain
from memaudit.report.covering import Covering, covering
from memaudit.report.figure import upper
from memaudit.report.inference import inference_said
from memaudit.report.remarks import boxes_told, captions_told, noisy_rows, reference_rows
from memaudit.report.tables import attack_table, claim_table, level_table, threshold_table
from memaudit.report.weights_told import weights_told
from memaudit.run.record import Record
from memaudit.similarity.quality import Quality
from memaudit.statistics.detectable import Detectable
from memaudit.statistics.effects import chance_above
from memaudit.statistics.effort import Effort
from memaudit.statistics.exchangeability.check import Exchangeability
from memaudit.statistics.facts import small
from memaudit.statistics.power import Power
from memaudit.statistics.roc import RocPoint
from memaudit.statistics.summary import DatasetLevel, Summary
from memaudit.statistics.verdict import Outcome
from memaudit.text import shown

COLUMNS = 100
WIDTH = 16
LIMITS = {
    Outcome.EVIDENCE: (
        "Read it so: this model treats images that are said to be training images otherwise than "
        "images that are said to be held out, as training would have it. 'reproduction' means that "
        "{copy}; 'membership' only that the model knows the image better than the controls. It "
        "does not say that the model makes such images unasked. "
        f"{upper(plain.INNOCENT)}."
    ),
    Outcome.NONE: (
        "Read it so: under this attack no clear difference was found between images that are said "
        "to be training images and images that are said to be held out. A smaller effect, another "
        "attack, other levels or images may still show memorization."
    ),
    Outcome.INCONCLUSIVE: "Read it so: " + plain.NOTHING_SAID + ".",
}


def describe(record: Record) -> str:
    """Describe a finished scan for people."""
    summary, verdict, config = record.summary, record.verdict, record.config
    conduct = summary.conduct
    lines = [
        shown(f"{config.target.spec} on {config.data.dataset}"),
        f"Verdict: {verdict.sentence}",
        "",
        *_counts(summary),
        *(row("weights", text) for text in weights_told(record)),
        row("captions", captions_told(record)),
        *(row(*pair) for pair in boxes_told(record)),
        *_flagged(summary),
        *_dataset(summary.dataset, summary.counts.control_groups, covering(record)),
        *map(row, ("inference", ""), inference_said(summary)),
        *_power(conduct.power, conduct.detectable),
        *_exchangeability(summary.exchangeability),
        *_effort(conduct.effort, summary.flagged.screened),
        *(row(*pair) for pair in noisy_rows(conduct.noisy) + reference_rows(conduct.reference)),
        *_quality(record.quality),
        "",
        *claim_table(summary),
        *level_table(summary),
        *attack_table(summary),
        "",
        *threshold_table(summary),
        "",
        *textwrap.wrap(LIMITS[verdict.outcome].format(copy=covering(record).copy), COLUMNS),
        *_places(config.execution),
    ]
    if verdict.outcome is Outcome.EVIDENCE:
        lines.insert(2, f"         {'; '.join(verdict.reasons)}")
    return "\n".join(lines)


def _places(execution: ExecutionConfig) -> list[str]:
    """Where the findings are, and the report if there is one."""
    report = [f"Report: {execution.out}/report.html"] if execution.report else []
    return [shown(one) for one in (f"Findings: {execution.out}/findings.csv", *report)]


def row(name: str, text: str) -> str:
    """One line of a summary: a name and what is said of it."""
    return f"  {name:{WIDTH}}{shown(text)}"


def _counts(summary: Summary) -> list[str]:
    counts = summary.counts
    rows = [
        row("images", f"{counts.members} members, {counts.controls} controls"),
        row(
            "calibrated",
            f"{counts.member_groups} members, {counts.control_groups} controls: one of each group "
            f"of duplicates (left out: {counts.duplicates})",
        ),
    ]
    if counts.clustered:
        rows.append(
            row("clusters", f"{counts.member_units} of members, {counts.control_units} of controls")
        )
    if counts.spanning_groups:
        rows.append(
            row(
                "on both sides",
                f"duplicate groups: {counts.spanning_groups}, each counted once, on the side of "
                "the image that stands for it",
            )
        )
    if counts.left_out:
        rows.append(row("left out", f"{counts.left_out} groups that the reference model saw"))
    if counts.unreadable or counts.unscored:
        rows.append(
            row(
                "not scanned",
                plain.not_scanned(counts),
            )
        )
    return rows


def _flagged(summary: Summary) -> list[str]:
    flagged, members = summary.flagged, summary.counts.member_groups
    fewest = (
        f"{flagged.smallest_count} memorized images or more can be flagged, not fewer"
        if flagged.smallest_count
        else "no single image can be flagged"
    )
    claims = plain.claims(flagged)
    found = f"{flagged.groups} of {members} members at q <= {flagged.q:g}{claims}"
    return [
        row("flagged", f"{found} ({flagged.raw} by the raw score)"),
        row(
            "smallest count",
            f"{fewest}; a single one takes {flagged.controls_for_one} controls"
            + (
                f" ({flagged.scores} scores share the level, so every p is multiplied by "
                f"{flagged.scores})"
                if flagged.scores > 1
                else ""
            ),
        ),
    ]


def _dataset(level: DatasetLevel | None, controls: int, way: Covering) -> list[str]:
    if level is None:
        return []
    excess = level.excess
    rows = [
        row(
            "data set",
            f"p {small(level.test.p_value)} (rank sum and upper tail, Bonferroni; "
            f"{small(level.raw.p_value)} by the raw score)",
        ),
        row(
            "AUC",
            f"{level.auc.estimate:.3f} ({level.auc.low:.3f} .. {level.auc.high:.3f}), by "
            f"{way.made}, as all below",
        ),
        row(
            "above controls",
            f"{level.share_above:.1%} of members above the controls' 99th percentile (by "
            f"chance {chance_above(controls):.1%})",
        ),
    ]
    if excess is not None:
        rows.append(
            row(
                "excess",
                f"{excess.member_share:.1%} of members less {excess.control_share:.1%} of controls "
                f"above a threshold: {excess.estimate:.1%} ({excess.low:.1%} .. {excess.high:.1%})",
            )
        )
    rows += [row(f"TPR at {point.fpr:.1%}", _roc(point)) for point in level.roc]
    return rows + _extrapolated(level)


def _extrapolated(level: DatasetLevel) -> list[str]:
    if not any(one.tail.usable for one in level.extrapolated.tails):
        return []
    return [
        row(
            "extrapolated",
            f"{level.extrapolated.groups} members would be flagged by a tail fitted to the "
            "controls (model-based, no part of the verdict)",
        )
    ]


def _roc(point: RocPoint) -> str:
    return (
        f"{point.tpr:.1%} ({point.tpr_low:.1%} .. {point.tpr_high:.1%}) of members at a realised "
        f"false-positive rate of {point.realised_fpr:.2%}, at most {point.realised_fpr_high:.2%}"
    )


def _power(power: Power | None, least: Detectable | None) -> list[str]:
    """Could the scan have seen anything?"""
    if power is None:
        return [row("power", "not measured")]
    among = "" if power.candidates == power.of else f", overstated: {power.candidates} rivals"
    rows = [
        row(
            "power",
            f"a perfect memorizer's images are found for {power.share:.0%} of {power.members} "
            f"({power.low:.0%} .. {power.high:.0%}) at {power.false_positives:.1%} "
            f"false positives{among}",
        )
    ]
    if least is not None:
        count = "not even all" if least.count is None else f"{least.count} or more"
        rows.append(
            row(
                "finds",
                f"{count} of {least.members} members, memorized perfectly, would be evidence in 4 "
                "of 5 scans, by flags or as a data set",
            )
        )
    return rows


def _exchangeability(check: Exchangeability | None) -> list[str]:
    """Are members and controls exchangeable?"""
    if check is None or check.p_value is None:
        return [row("exchangeable", "not tested: too few images on a side, or none described")]
    said = "differ: shift" if check.alarm else "show no difference"
    rows = [
        row(
            "exchangeable",
            f"in the score that their pictures predict, the two sides {said} "
            f"(p {small(check.p_value)}, AUC {check.auc:.2f}; the pictures predict "
            f"{check.explained:.0%} of the score)",
        )
    ]
    if check.separates and not check.alarm:
        named = ", ".join(
            f"{one.what} ({one.members} against {one.controls})" for one in check.separates[:3]
        )
        rows.append(row("", f"what differs, and tells nothing of the score: {named}"))
    return rows


def _effort(effort: Effort | None, screened: int) -> list[str]:
    """What an adaptive scan took."""
    if effort is None or not (effort.adaptive or effort.reason):
        return []
    if not effort.adaptive:
        return [row("not adaptive", effort.reason)]
    rows = [
        row(
            "adaptive",
            f"{effort.evaluations} network evaluations, {effort.saved:.1f} times fewer than in "
            f"full; the model was asked to bring back the {effort.promoted} images that rank "
            f"highest in a first pass of {' and '.join(effort.screen)}, and {effort.sampled} at "
            "random",
        )
    ]
    if screened:
        left = f"{screened} flagged images do not rank among them"
        rows.append(row("", f"{left}; raise --fraction, or scan with --full"))
    return rows


def _quality(quality: Quality | None) -> list[str]:
    """How good are the model's own images?"""
    if quality is None:
        return []
    if quality.reason:
        return [row("quality", f"not measured: {quality.reason}")]
    few = "" if quality.n > quality.dimensions else ", far too high for so few images"
    return [
        row(
            "quality",
            f"Frechet distance {quality.frechet:.4g} of {quality.n} generated images and as many "
            f"controls (compare it at equal numbers only{few})",
        ),
        row(
            "",
            f"kernel distance {quality.kid:.3g} (deviation {quality.kid_std:.2g}), precision "
            f"{quality.precision:.0%}, recall {quality.recall:.0%}",
        ),
    ]
