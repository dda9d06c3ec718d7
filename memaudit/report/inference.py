"""Data-set inference in words and as a figure: was this set of images used in training?"""

from __future__ import annotations

from collections.abc import Iterator

from memaudit.records import COPY, SCREEN
from memaudit.report.charts import Bar, Bars
from memaudit.report.figure import Figure, upper
from memaudit.run.record import Record
from memaudit.statistics.facts import small
from memaudit.statistics.inference import Feature, Inference
from memaudit.statistics.summary import Summary

QUESTION = "was this set of images used in training?"


def inference_said(summary: Summary) -> list[str]:
    """What all attacks together say of the set; nothing where that was not asked."""
    found = summary.inference
    if found is None:
        return []
    return [f"{QUESTION} {upper(_answer(summary, found))}", _apart(found)]


def inference(record: Record) -> Iterator[Figure]:
    """Which features separate the sides."""
    found = record.summary.inference
    if found is None:
        return
    longest = max(1.0, *(abs(one.difference) for one in found.strongest))
    bars = tuple(
        Bar(
            _name(one),
            abs(one.difference) / longest,
            f"{one.difference:+.2f}",
            "member" if one.difference > 0 else "control",
        )
        for one in found.strongest
    )
    said = f"{upper(_answer(record.summary, found))}. {upper(_apart(found))}."
    yield Figure(
        "inference",
        upper(QUESTION),
        f"Bars. {said} " + "; ".join(f"{one.label}: {one.said}" for one in bars) + ".",
        f"{said} Bars are the features that separate the sides most: the members' mean "
        "less the controls', in standard deviations, after what pictures predict was taken off. "
        "Training puts members above 0.",
        bars=Bars(bars),
    )


def _answer(summary: Summary, found: Inference) -> str:
    check, p_value = summary.exchangeability, small(found.p_value)
    if found.shifted or (check is not None and check.alarm):
        return "no statement: by their pictures alone the two sides differ in what is expected"
    if summary.counts.split_clusters:
        return "no statement: some clusters have images on both sides"
    if not found.differs:
        return f"no sign of it: as a set, members show no difference from controls (p {p_value})"
    if not found.closer:
        return (
            f"no sign of it: members differ from controls (p {p_value}), but not to the side where "
            "training puts them"
        )
    auc = max(found.equal, found.learned, key=lambda one: -one.p_value).auc
    return (
        f"as a set, members differ from controls to the side where training puts them "
        f"(p {p_value}, AUC {auc:.3f}); {_enough(found)}"
    )


def _enough(found: Inference) -> str:
    if found.enough is None or found.enough == found.members:
        return f"that takes more than half of the {found.members}"
    return f"in 4 of 5 draws {found.enough} of them are enough"


def _apart(found: Inference) -> str:
    attacks = len(found.attacks)
    return (
        f"data-set inference over {found.features} features of {attacks} "
        f"attack{'s' if attacks > 1 else ''}: exploratory, no part of the verdict, and no "
        "statement about a single image"
    )


def _name(one: Feature) -> str:
    copies = " of copies" if one.input == COPY else ""
    first = ", first pass" if one.phase == SCREEN else ""
    return f"{one.attack}{copies}{first}: {one.column} at level {one.level:.4g}"
