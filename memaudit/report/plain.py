"""Page one in words, for a reader who never heard of the tool."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from memaudit.records import CLEAN, Claim
from memaudit.report.figure import upper
from memaudit.report.noise import left
from memaudit.report.remarks import remarks
from memaudit.run.record import Record
from memaudit.statistics.summary import DatasetLevel
from memaudit.statistics.verdict import FEWEST_FOR_EVIDENCE, Outcome, small

KINDS: dict[Claim, tuple[str, str]] = {
    "membership": (
        "Membership",
        "The image, or a noisy copy of it, comes back more faithfully than held-out images do: "
        "evidence that it was trained on. No copy of the clean image came back.",
    ),
    "reproduction": (
        "Recovered from a noised copy",
        "What came back is called a copy by the embedder, from noise from which at most 1 in 100 "
        "held-out images come back as one.",
    ),
    "generation": (
        "Generated without the image",
        "The model makes the image although it is not shown any of it.",
    ),
}
HEADLINES = {
    Outcome.NONE: "No evidence beyond the controls",
    Outcome.INCONCLUSIVE: "Inconclusive: this scan says nothing for or against the model",
}
NOT_ASKED, NOT_SAID = "not tested", "no statement"


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
        yield "Of scans of models that memorized nothing, at most 5 in 100 end in evidence."
    if summary.dataset is not None:
        yield from _dataset(summary.dataset)
    flagged = summary.flagged
    if flagged.groups:
        yield (
            f"{flagged.groups} of {summary.counts.member_groups} members are flagged, by a rule "
            f"under which about {flagged.q:.0%} of the flags are false on average over many "
            "scans. A flag is a statement about a list, not a proof about one image."
        )
    noisy = summary.conduct.noisy
    if flagged.groups and noisy is not None and noisy.of_copies is not None:
        by = " and ".join(f"{one.flagged} by their {one.input}" for one in noisy.by_input)
        yield f"What tells of the flagged: {by}."
    yield from _power(record)
    check = summary.exchangeability
    if check is not None and check.p_value is not None and not check.alarm:
        yield (
            "Without the model, by what the pictures show, members and controls do not differ in "
            f"the score to be expected (p {small(check.p_value)})."
        )


def _dataset(level: DatasetLevel) -> Iterator[str]:
    yield (
        "If the model treated members like controls, a difference as large as this one between "
        f"the two as a whole would come up with a probability of {small(level.test.p_value)}."
    )
    yield (
        f"A member scores above a control in {level.auc.estimate:.1%} of pairs (95 % interval "
        f"{level.auc.low:.1%} to {level.auc.high:.1%}); 50 % would be no difference."
    )


def _power(record: Record) -> Iterator[str]:
    conduct = record.summary.conduct
    power, least = conduct.power, conduct.detectable
    if power is None:
        yield "Whether the scan could have found memorization was not measured."
        return
    yield (
        f"The scan can see memorization: of the images of a perfect memorizer it finds "
        f"{power.share:.0%} (95 % interval {power.low:.0%} to {power.high:.0%}). A real model "
        "shows less."
    )
    if least is not None and least.count is not None:
        yield (
            f"It would find {least.count} or more perfectly memorized images among "
            f"{least.members}, in 4 of 5 scans; fewer may stay hidden."
        )


def untested(record: Record) -> Iterator[str]:
    """What this scan does not say anything about."""
    prepared, asked_for, counts = record.prepared, record.config.attack, record.summary.counts
    levels = [one for one in record.summary.levels if one.attack == record.summary.attack]
    yield (
        "Whether the model makes these images when it is not shown them: every reconstruction "
        "here began with a noised copy of the image."
    )
    if levels:
        snr = sorted({one.snr_db for one in levels})
        yield (
            f"Other attacks, noise levels and measures. This scan rests on {record.summary.attack} "
            f"({asked_for.sampler}, {asked_for.steps} steps), at {' and '.join(_ends(snr))}, as "
            f"compared by the embedder {prepared.embedder.name}."
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


def _ends(snr: list[float]) -> list[str]:
    return [left(one) for one in dict.fromkeys((snr[0], snr[-1]))]


def to_do(record: Record) -> Iterator[str]:
    """What a reader may do next."""
    outcome = record.verdict.outcome
    if outcome is Outcome.EVIDENCE:
        yield "Look at the pictures: is what came back a copy to the eye, too?"
        yield (
            "Check that the controls are a random part of the same images, set aside before the "
            "training. The claim stands and falls with that."
        )
        yield (
            "Ask whoever trained the model about the flagged images. Scan again with other noise, "
            "another seed or more controls if the claim must bear more weight."
        )
    elif outcome is Outcome.NONE:
        yield (
            "Say 'nothing was found under this attack', never 'nothing is memorized'. Another "
            "attack or more images may find what this one did not."
        )
    else:
        yield (
            "Mend what is named above and scan again. Do not count this scan for the model or "
            f"against it. A verdict takes at least {FEWEST_FOR_EVIDENCE} controls."
        )
