"""Page one: what was asked of the model, for a reader who never heard of the tool."""

from __future__ import annotations

from collections.abc import Iterator

from memaudit.config import MEMBERSHIP
from memaudit.report.covering import covering
from memaudit.report.figure import clean_levels, upper
from memaudit.run.record import Record

BY_ATTACK = {
    MEMBERSHIP: (
        "It was asked, too, under weak noise, whether it knows the image better than the same "
        "image upside down: what makes a picture easy or hard is in both, and it was trained on "
        "one of them at most."
    )
}
OTHER = "It was asked, too, by an attack that shows whether it was trained on the image."
OF_COPIES = (
    "By its own record, the model was trained on noisy versions of its training images. It was "
    "asked about these, too: does it remember the very noise that covered an image? A model that "
    "never saw that version can only guess it."
)
ALONE = "No images that the model never saw were given, so there is nothing to compare with."


def asked(record: Record) -> Iterator[str]:
    """What was done, to which model and which images."""
    counts, data = record.summary.counts, record.config.data
    yield (
        f"The question: did the model '{record.config.target.spec}' memorize images that it was "
        f"trained on? Asked about {counts.members} images that it is said to be trained on, the "
        f"members ('{data.dataset}')."
    )
    yield _reconstructed(record)
    membership, noisy = record.prepared.membership, record.summary.conduct.noisy
    if membership is not None:
        yield BY_ATTACK.get(membership.attack, OTHER)
    if noisy is not None and noisy.of_copies is not None:
        yield OF_COPIES
    if not counts.controls:
        yield ALONE
        return
    yield (
        f"The same was done with {counts.controls} images that the model is said never to have "
        f"seen, the controls ('{data.controls}'). Only what the model does better with members "
        "than with controls is counted. If either list is wrong, or the controls are not of the "
        "same kind by a random choice, the result is worth nothing."
    )


def _reconstructed(record: Record) -> str:
    """Which images were corrupted, and what coming back shows."""
    way = covering(record)
    levels, effort = clean_levels(record), record.summary.conduct.effort
    strengths = _strengths(levels, hides=way.hides)
    if effort is None or not effort.adaptive:
        return (
            f"Each image was {way.done}, {strengths}, and the model was asked to bring it back. "
            f"{way.tells}"
        )
    return (
        f"Every image was first looked at cheaply. {upper(way.done)}, {strengths}, were the "
        f"{effort.promoted} that rank highest there and {effort.sampled} at random, and the model "
        f"was asked to bring them back. {way.tells}"
    )


def _strengths(levels: list[float], *, hides: bool) -> str:
    """How much of an image was hidden each time, or how often noise was of another strength."""
    if hides:
        shares = [f"{share:.0%}" for share in levels]
        *first, last = shares
        return f"{', '.join(first)} and {last} of it in turn" if first else f"{last} of it"
    return "at one strength" if len(levels) == 1 else f"at {len(levels)} strengths"
