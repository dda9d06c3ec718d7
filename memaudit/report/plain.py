"""Page one in words, for a reader who never heard of the tool."""

from __future__ import annotations

import math
from collections.abc import Iterator

from memaudit.attacks.passes import steps_of
from memaudit.records import CLEAN, COPY
from memaudit.report.covering import HIDDEN, NOISE, Covering, covering
from memaudit.report.figure import upper
from memaudit.report.remarks import remarks
from memaudit.run.record import Record
from memaudit.statistics.claims import ClaimFound
from memaudit.statistics.counts import Counts, Flagged
from memaudit.statistics.doubts import LEVEL
from memaudit.statistics.effects import Auc
from memaudit.statistics.levels import Level
from memaudit.statistics.power import Power
from memaudit.statistics.summary import DatasetLevel
from memaudit.statistics.verdict import Outcome

# What the last lines of a scan say, too (`report.brief`).
NOTHING_SAID = "this scan says nothing for or against the model"
INNOCENT = "of 100 scans of models that memorized nothing, at most 5 end in evidence"
UNASKED = "whether the model makes such images unasked"
LOOK = "look at the pictures"
CHECK = "check that controls were set aside at random"
ALIKE = "is what came back a copy to the eye, too?"
UNLIKE = (
    "none is called a copy. A picture that does not look alike does not mean that the model was "
    "not trained on the image."
)
NEXT = {
    Outcome.EVIDENCE: f"{LOOK}; {CHECK}",
    Outcome.NONE: "say 'nothing was found under this attack', never 'nothing is memorized'",
    Outcome.INCONCLUSIVE: "mend what the verdict names and scan again",
}
_CHANCE = ": it is no larger than chance makes, which proves nothing either way"
_CHOSEN = "; badly chosen controls can bring it, too"
HEADLINES = {
    Outcome.NONE: "No evidence found, which does not clear the model",
    Outcome.INCONCLUSIVE: f"Inconclusive: {NOTHING_SAID}",
}


def headline(record: Record) -> str:
    """The outcome in a few words."""
    verdict = record.verdict
    if verdict.outcome is Outcome.EVIDENCE:
        return f"Evidence of {verdict.claim}"
    return HEADLINES[verdict.outcome]


def sure(record: Record) -> Iterator[str]:
    """How sure what was found is, and whether anything could have been."""
    summary, verdict = record.summary, record.verdict
    if verdict.outcome is Outcome.INCONCLUSIVE:
        yield "Not at all, because:"
        yield from verdict.reasons
        return
    if verdict.outcome is Outcome.EVIDENCE:
        yield (
            f"{upper(INNOCENT)}: so seldom is the alarm false. It does not make this one 95 % "
            "sure: how likely it is that this model memorized nothing, no scan can tell."
        )
    else:
        yield "Nothing found is not nothing there: a count of 0 says that this scan found none."
    if summary.dataset is not None:
        yield from _dataset(summary.dataset, summary.claims)
    flagged = summary.flagged
    if flagged.groups:
        yield (
            f"Flagged are {flags(record)}. If the model memorized something, {_false(flagged)} of "
            f"these {flagged.groups} may be flagged wrongly, and nobody can say which "
            f"({false_flags(flagged.q)}); if it memorized nothing, all are. Do not accuse anyone "
            "over a single picture."
        )
    noisy = summary.conduct.noisy
    if flagged.groups and noisy is not None and noisy.of_copies is not None:
        yield (
            f"Of the flagged, {noisy.flagged_by(CLEAN)} were recognised by testing the clean image "
            f"and {noisy.flagged_by(COPY)} by testing the noisy version"
            f"{'' if flagged.reproductions else '; no copy came back'}."
        )
    yield from _power(record)
    check = summary.exchangeability
    if check is not None and check.p_value is not None and not check.alarm:
        yield (
            "Are members and controls alike as pictures? Without the model, nothing was found "
            "that would let one side come back better than the other. This finds gross "
            "differences, and does not prove that the two were divided at random."
        )


def flags(record: Record) -> str:
    """How many members are flagged, and what that claims."""
    flagged, members = record.summary.flagged, record.summary.counts.member_groups
    return f"{flagged.groups} of {members} members{claims(flagged)}"


def claims(flagged: Flagged) -> str:
    """What the flags of a scan claim, after their number."""
    if flagged.reproductions or flagged.memberships:
        return f": {flagged.reproductions} reproduction, {flagged.memberships} membership only"
    return ", which claims nothing: the scan as a whole is no evidence" if flagged.groups else ""


def not_scanned(counts: Counts) -> str:
    """How many images say nothing."""
    return f"{counts.unreadable} unreadable, {counts.unscored} not scored: errors.csv"


def false_flags(q: float) -> str:
    """What a list of flags is worth."""
    return f"at most {100 * q:.3g}% of the flags are false on average"


def _false(flagged: Flagged) -> str:
    count = math.ceil(flagged.q * flagged.groups)
    return "none or 1" if count == 1 else f"up to about {count}"


def finds(power: Power) -> str:
    """How much of what could be there the scan finds."""
    return (
        f"tried on a program that only repeats its pictures, the scan finds {power.share:.0%} of "
        "them; of those that a real model memorized, expect fewer"
    )


def often(p_value: float) -> str:
    """A probability as a count of scans, rounded up."""
    for scans in (100, 1_000, 10_000):
        count = math.ceil(round(p_value * scans, 6))  # 3.0000001 are 3
        if count > 1:
            break
    return f"in about {count} of {scans:,} scans"


def _dataset(level: DatasetLevel, claims: tuple[ClaimFound, ...]) -> Iterator[str]:
    p = level.test.p_value
    yield (
        "Could the difference between members and controls be luck? Luck alone brings one as "
        f"large as this {often(p)} of a model that treats both alike"
        f"{_CHANCE if p > LEVEL else _CHOSEN}. How likely it is that this model treats both alike, "
        "no scan can tell."
    )
    yield (
        "Put a member beside a control, in all possible pairs: what came back, a copy or not, was "
        "nearer for the member in "
        f"{_interval(level.auc)}; 50 % would be no difference."
    )
    for one in claims:
        if one.claim == "membership" and one.auc is not None:
            yield (
                "Under weak noise, the model knows the member better in "
                f"{_interval(one.auc)} of these pairs."
            )


def _interval(auc: Auc) -> str:
    return f"{auc.estimate:.1%} (95 % interval {auc.low:.1%} to {auc.high:.1%})"


def _power(record: Record) -> Iterator[str]:
    power, least = record.summary.conduct.power, record.summary.conduct.detectable
    if power is None:
        yield "Whether the scan could have found memorization was not measured."
        return
    yield (
        f"Could the scan see memorization? {upper(finds(power))} (95 % interval {power.low:.0%} to "
        f"{power.high:.0%} for that program)."
    )
    if least is not None and least.count is not None:
        yield (
            f"If {least.count} or more of {least.members} were memorized perfectly, 4 of 5 such "
            "scans would end in evidence, and 1 of 5 would miss them; fewer may stay hidden."
        )


def untested(record: Record) -> Iterator[str]:
    """What this scan does not say anything about."""
    counts, conduct = record.summary.counts, record.summary.conduct
    levels = [one for one in record.summary.levels if one.attack == record.summary.attack]
    yield _begins(record)
    if levels:
        yield _resting(record, levels)
    yield (
        "Whether the members were trained on and the controls were not: that is taken as it was "
        "said. All else rests on it."
    )
    lost = counts.unreadable + counts.unscored
    if lost:
        yield f"{lost} images that could not be read or scored; errors.csv names them."
    if record.config.data.sample is not None:
        yield "Images beyond the random sample that was taken (--sample)."
    effort = conduct.effort
    if effort is not None and effort.adaptive:
        yield (
            "Whether most images come back as copies: the model was asked to bring back only the "
            f"{effort.promoted} that rank highest in a cheap first pass over all images, and "
            f"{effort.sampled} at random."
        )
    if all(one.input == CLEAN for one in levels) and record.summary.conduct.noisy is not None:
        yield "The noisy copies that the model was trained on."
    yield from map(upper, remarks(record))
    yield "Law: this is evidence, neither a certificate nor legal advice."


def _begins(record: Record) -> str:
    """What the model was handed in every query."""
    asked, way = record.config.attack, covering(record)
    made, begins = way.made, way.begins
    if asked.hidings and asked.with_noise:
        made, begins = (
            f"{one} or {other}"
            for one, other in ((NOISE.made, HIDDEN.made), (NOISE.begins, HIDDEN.begins))
        )
    return f"{upper(UNASKED)}: every {made} here began with {begins}."


def _resting(record: Record, levels: list[Level]) -> str:
    """By what attack, levels and embedder the scan says what it says."""
    way, attack = covering(record), record.config.attack
    done = attack.done(adaptive=record.summary.conduct.adaptive)
    sampler = _filling(record) if way.hides else done.sampler
    snr = sorted({one.snr_db for one in levels})
    return (
        "Other attacks, levels and measures. In technical terms, this scan rests on "
        f"{record.summary.attack} ({sampler}, {steps_of(done)} steps) at {_range(snr, way)}, and "
        f"on the embedder {record.prepared.embedder.name}, which compared images{_also(record)}."
    )


def _filling(record: Record) -> str:
    """How what was hidden was filled in."""
    told = "Inpaint" in str(record.prepared.model.details.get("class"))
    return "as the pipeline for inpainting that it is" if told else "posterior sampling"


def _also(record: Record) -> str:
    membership, weak = record.prepared.membership, record.prepared.levels.weak
    if membership is None:
        return ""
    return f"; for membership on {membership.attack} at {len(weak)} weak noise levels"


def _range(snr: list[float], way: Covering) -> str:
    """The levels of a scan, by the strongest and the weakest."""
    if len(snr) == 1:
        return f"one level ({way.left(snr[0])})"
    return (
        f"{len(snr)} levels, from the strongest ({way.left(snr[0])}) to the weakest "
        f"({way.left(snr[-1])})"
    )


def to_do(record: Record) -> Iterator[str]:
    """What a reader may do next."""
    outcome = record.verdict.outcome
    if outcome is Outcome.EVIDENCE:
        copies = record.verdict.claim == "reproduction"
        yield f"{upper(LOOK)}: {ALIKE if copies else UNLIKE}"
        yield (
            "Check how the controls were chosen: before the training, lots must have decided which "
            "images were used and which never were. Who trained the model can say so. The claim "
            "stands and falls with that."
        )
        yield (
            "Ask whoever trained the model about the flagged images. Scan again at other levels, "
            "another seed or more controls if the claim must bear more weight."
        )
    elif outcome is Outcome.NONE:
        yield (
            f"{upper(NEXT[outcome])}. Another attack or more images may find what this one did not."
        )
    else:
        yield (
            f"{upper(NEXT[outcome])}. Do not count this scan for the model or against it. A "
            f"verdict takes at least {record.summary.flagged.fewest_controls} controls."
        )
