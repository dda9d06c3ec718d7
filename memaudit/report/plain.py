"""Page one in words, for a reader who never heard of the tool."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass

from memaudit.records import CLEAN, COPY, Claim
from memaudit.report.figure import upper
from memaudit.report.noise import left
from memaudit.report.remarks import remarks
from memaudit.run.record import Record
from memaudit.statistics.counts import Counts, Flagged
from memaudit.statistics.power import Power
from memaudit.statistics.summary import DatasetLevel
from memaudit.statistics.verdict import FEWEST_FOR_EVIDENCE, LEVEL, Outcome, small

KINDS: dict[Claim, tuple[str, str]] = {
    "membership": (
        "Membership only",
        "The model brings the image, or its noisy copy, back better than it does controls: "
        "evidence that it was trained on the image. No copy came back. It tells that an image was "
        "used, not that the model hands out copies of it.",
    ),
    "reproduction": (
        "Recovered from a noised copy",
        "The image was covered with so much noise that at most 1 in 100 controls come back as a "
        "copy, and a copy came back, by the measure that compared the pictures: evidence that the "
        "model can reproduce it, and that it was trained on, too.",
    ),
    "generation": (
        "Generated without the image",
        "Whether the model makes the image although it is shown none of it.",
    ),
}
NOT_ASKED, NOT_SAID = "not tested", "no statement"
# What the last lines of a scan say, too (`report.brief`).
NOTHING_SAID = "this scan says nothing for or against the model"
INNOCENT = "of 100 scans of models that memorized nothing, at most 5 end in evidence"
UNASKED = "whether the model makes such images unasked"
LOOK, CHECK = "look at the pictures", "check that controls were set aside at random"
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
HEADLINES = {
    Outcome.NONE: "No evidence beyond the controls",
    Outcome.INCONCLUSIVE: f"Inconclusive: {NOTHING_SAID}",
}


@dataclass(frozen=True)
class Kind:
    """A kind of finding: how many images, or that it was not tested, and what it means."""

    name: str
    count: str
    meaning: str


def headline(record: Record) -> str:
    """The outcome in a few words."""
    verdict = record.verdict
    if verdict.outcome is Outcome.EVIDENCE:
        return f"Evidence of {verdict.claim}"
    return HEADLINES[verdict.outcome]


def asked(record: Record) -> Iterator[str]:
    """What was done, to which model and which images."""
    counts, data, levels = record.summary.counts, record.config.data, record.prepared.levels
    yield (
        f"The question: did the model '{record.config.target.spec}' memorize images that it was "
        f"trained on? Asked about {counts.members} images that it is said to be trained on, the "
        f"members ('{data.dataset}')."
    )
    strengths = "one strength" if len(levels.sigmas) == 1 else f"{len(levels.sigmas)} strengths"
    yield (
        f"Each image was covered with strong noise, at {strengths}, and the model was asked to "
        "bring it back. A model that has memorized an image brings it back from noise that hides "
        "it from others."
    )
    noisy = record.summary.conduct.noisy
    if noisy is not None and noisy.of_copies is not None:
        yield (
            "The model was trained on noisy copies of its images. It was asked about these too: "
            "whether it gives back the noise that each copy was made with."
        )
    if counts.controls:
        yield (
            f"The same was done with {counts.controls} images that the model is said never to "
            f"have seen, the controls ('{data.controls}'). Only what comes back better than "
            "those counts."
        )
    else:
        yield "No images that the model never saw were given, so there is nothing to compare with."


def kinds(record: Record) -> tuple[Kind, ...]:
    """The kinds of finding, apart from each other."""
    flagged, silent = record.summary.flagged, record.verdict.outcome is Outcome.INCONCLUSIVE
    found: dict[Claim, str] = {
        "membership": NOT_SAID if silent else str(flagged.memberships),
        "reproduction": NOT_SAID if silent else str(flagged.reproductions),
        "generation": NOT_ASKED,
    }
    return tuple(Kind(*_named(KINDS[claim], count)) for claim, count in found.items())


def _named(words: tuple[str, str], count: str) -> tuple[str, str, str]:
    return words[0], count, words[1]


def sure(record: Record) -> Iterator[str]:
    """How sure what was found is, and whether anything could have been."""
    summary, verdict = record.summary, record.verdict
    if verdict.outcome is Outcome.INCONCLUSIVE:
        yield "Not at all, because:"
        yield from verdict.reasons
        return
    if verdict.outcome is Outcome.EVIDENCE:
        yield (
            f"{upper(INNOCENT)}. That is not the probability that this model memorized nothing, "
            "which no scan can tell."
        )
    else:
        yield "Nothing found is not nothing there: a count of 0 says that this scan found none."
    if summary.dataset is not None:
        yield from _dataset(summary.dataset)
    flagged = summary.flagged
    if flagged.groups:
        yield (
            f"Flagged are {flags(record)}. Expect {_false(flagged)} of these {flagged.groups} to "
            f"be flagged wrongly: over many such scans, {false_flags(flagged.q)}. Where nothing is "
            "memorized, every flag is false. Do not accuse anyone over a single picture."
        )
    noisy = summary.conduct.noisy
    if flagged.groups and noisy is not None and noisy.of_copies is not None:
        by = {one.input: one.flagged for one in noisy.by_input}
        yield f"Given away by their clean image: {by[CLEAN]}; by their noisy copy: {by[COPY]}."
    yield from _power(record)
    check = summary.exchangeability
    if check is not None and check.p_value is not None and not check.alarm:
        yield (
            "Are members and controls alike as pictures? Without the model, nothing was found "
            "that would let one side come back better than the other (p "
            f"{small(check.p_value)}; a p near 0 would be a warning). This finds gross "
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
        f"of the images of a program that only repeats what it was trained on, the scan finds "
        f"{power.share:.0%}; of a real model's it may find fewer"
    )


def often(p_value: float) -> str:
    """A probability as a count of scans, rounded up."""
    for scans in (100, 1_000, 10_000):
        count = math.ceil(round(p_value * scans, 6))  # 3.0000001 are 3
        if count > 1:
            break
    return f"in about {count} of {scans:,} scans"


def _dataset(level: DatasetLevel) -> Iterator[str]:
    p = level.test.p_value
    yield (
        "Could the difference between members and controls be luck? Luck alone brings one as "
        f"large as this {often(p)} of a model that treats both alike"
        f"{', which is often enough to explain it' if p > LEVEL else ''}. How likely it is that "
        "this model treats both alike, no scan can tell."
    )
    yield (
        f"Of pairs of a member and a control, the member comes back better in "
        f"{level.auc.estimate:.1%} (95 % interval {level.auc.low:.1%} to {level.auc.high:.1%}); "
        "50 % would be no difference."
    )


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
            "scans would end in evidence; fewer may stay hidden."
        )


def untested(record: Record) -> Iterator[str]:
    """What this scan does not say anything about."""
    prepared, asked_for, counts = record.prepared, record.config.attack, record.summary.counts
    levels = [one for one in record.summary.levels if one.attack == record.summary.attack]
    yield (f"{upper(UNASKED)}: every reconstruction here began with a noised copy of the image.")
    if levels:
        snr = sorted({one.snr_db for one in levels})
        yield (
            "Other attacks, noise levels and measures. In technical terms, this scan rests on "
            f"{record.summary.attack} ({asked_for.sampler}, {asked_for.steps} steps) at "
            f"{_range(snr)}, and on the embedder {prepared.embedder.name}, which compared images."
        )
    yield (
        "Whether the members were trained on and the controls were not: that is taken as it was "
        "said. All else rests on it."
    )
    lost = counts.unreadable + counts.unscored
    if lost:
        yield f"{lost} images that could not be read or scored; errors.csv names them."
    if record.config.data.sample is not None:
        yield "Images beyond the random sample that was taken (--sample)."
    screened = record.summary.conduct.effort
    if screened is not None and screened.screen:
        yield (
            f"Most images in full: a cheap first pass chose the {screened.promoted} that were "
            "scanned so."
        )
    if all(one.input == CLEAN for one in levels) and record.summary.conduct.noisy is not None:
        yield "The noisy copies that the model was trained on."
    yield from map(upper, remarks(record))
    yield "Law: this is evidence, neither a certificate nor legal advice."


def _range(snr: list[float]) -> str:
    """The noise levels of a scan, by the strongest and the weakest."""
    if len(snr) == 1:
        return f"one noise level ({left(snr[0])})"
    return (
        f"{len(snr)} noise levels, from the strongest ({left(snr[0])}) to the weakest "
        f"({left(snr[-1])})"
    )


def to_do(record: Record) -> Iterator[str]:
    """What a reader may do next."""
    outcome = record.verdict.outcome
    if outcome is Outcome.EVIDENCE:
        copies = record.verdict.claim == "reproduction"
        yield f"{upper(LOOK)}: {ALIKE if copies else UNLIKE}"
        yield (
            f"{upper(CHECK)}: a random part of the same images, before the training. The claim "
            "stands and falls with that."
        )
        yield (
            "Ask whoever trained the model about the flagged images. Scan again with other noise, "
            "another seed or more controls if the claim must bear more weight."
        )
    elif outcome is Outcome.NONE:
        yield (
            f"{upper(NEXT[outcome])}. Another attack or more images may find what this one did not."
        )
    else:
        yield (
            f"{upper(NEXT[outcome])}. Do not count this scan for the model or against it. A "
            f"verdict takes at least {FEWEST_FOR_EVIDENCE} controls."
        )
