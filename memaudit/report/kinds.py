"""Page one: the kinds of finding, apart from each other, and what each of them means."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from memaudit.records import Claim
from memaudit.report.covering import covering
from memaudit.run.record import Record
from memaudit.statistics.verdict import Outcome

GENERATED = "Generated without the image"
MEMBERSHIP = (
    "the model knows {known} better than it knows controls, which is "
    "evidence that it was trained on the image, without a copy coming back. It says that an image "
    "was used, not that the model hands out copies of it."
)
GENERATION = "Whether the model makes the image although it is shown none of it."
NOT_ASKED, NOT_SAID = "not tested", "no statement"


def names(record: Record) -> dict[str, str]:
    """What findings are called, by their claim."""
    return {"membership": "Membership only", "reproduction": covering(record).finding}


def known(record: Record, what: str) -> str:
    """What of an image a model may know: itself, and its noisy version where there are such."""
    return f"the {what}" + ", or its noisy version," * (record.prepared.copies is not None)


@dataclass(frozen=True)
class Kind:
    """A kind of finding: how many images, or that it was not tested, and what it means."""

    name: str
    count: str
    meaning: str


def kinds(record: Record) -> tuple[Kind, ...]:
    """The kinds of finding: membership, reproduction, generation."""
    return tuple(_kinds(record))


def _kinds(record: Record) -> Iterator[Kind]:
    flagged, silent = record.summary.flagged, record.verdict.outcome is Outcome.INCONCLUSIVE
    copies = 0 if silent else flagged.reproductions
    found: list[tuple[Claim, int, str]] = [
        ("membership", flagged.memberships, MEMBERSHIP.format(known=known(record, "image"))),
        ("reproduction", flagged.reproductions, covering(record).means),
    ]
    beside = f" The {copies} in the next box are evidence of training as well." if copies else ""
    for claim, count, meaning in found:
        also = beside if claim == "membership" else ""
        is_found = count and not silent
        said = f"This means: {meaning}" if is_found else f"It would mean: {meaning}{also}"
        yield Kind(names(record)[claim], NOT_SAID if silent else str(count), said)
    yield Kind(GENERATED, NOT_ASKED, GENERATION)
