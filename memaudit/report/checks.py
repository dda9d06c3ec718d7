"""Figures of the checks: power, exchangeability, duplicates."""

from __future__ import annotations

from collections.abc import Iterator

import pandas as pd

from memaudit.records import COPY
from memaudit.report.charts import Bar, Bars, Kind
from memaudit.report.covering import decibels
from memaudit.report.figure import Figure, levels_of, upper
from memaudit.run.record import Record
from memaudit.statistics.facts import small

SIZES = ((1, "alone"), (2, "2"), (5, "3 to 5"), (10, "6 to 10"), (10**9, "more than 10"))


def power(record: Record) -> Iterator[Figure]:
    """What a perfect memorizer shows at each level, beside this model; nothing unmeasured."""
    found = record.summary.conduct.power
    levels = [one for one in levels_of(record) if one.power is not None]
    if found is None or not levels:
        return
    bars = []
    for level in levels:
        label = f"{decibels(level.snr_db)} left{' of copies' if level.input == COPY else ''}"
        best, share = level.power or 0.0, level.share_above or 0.0
        bars.append(Bar(f"{label}: perfect memorizer", best, f"{best:.0%}", "control"))
        bars.append(Bar(f"{label}: this model ({level.grade})", share, f"{share:.0%}"))
    said = (
        f"of a perfect memorizer's images this scan finds {found.share:.0%} (95 % interval "
        f"{found.low:.0%} to {found.high:.0%}), all levels together"
    )
    yield Figure(
        "power",
        "Could the scan have seen anything? Power by level",
        f"Bars, two a level. {upper(said)}. "
        + "; ".join(f"{one.label} {one.said}" for one in bars)
        + ".",
        f"{upper(said)}. The perfect memorizer returns nothing but its training images, and shows "
        "what can be found at that level. 'No power': not even its images are found there. 'Too "
        "easy': controls come back as copies too.",
        bars=Bars(tuple(bars)),
    )


def exchangeability(record: Record) -> Iterator[Figure]:
    """How far the sides differ without the model; nothing where that could not be tested."""
    check = record.summary.exchangeability
    if check is None or check.p_value is None:
        return
    bars = [_apart("score that the pictures predict", check.auc, "member")]
    bars += [
        _apart(f"{one.what}: {one.members} against {one.controls}", one.auc, "control")
        for one in check.separates
    ]
    said = (
        f"by their pictures alone, without the model, members and controls "
        f"{'differ' if check.alarm else 'show no difference'} in how well they should come back "
        f"(p {small(check.p_value)})"
    )
    yield Figure(
        "exchangeability",
        "Are members and controls alike, apart from the training?",
        f"Bars from no difference to complete difference. {upper(said)}. "
        + "; ".join(f"{one.label}: {one.said}" for one in bars)
        + ".",
        f"{upper(said)}. Bars run from no difference (AUC .50) to complete difference (1.00 or "
        "0.00). If the first bar is long, a difference between the sides may be one of the "
        "pictures and not of the model; further bars name single properties that differ.",
        bars=Bars(tuple(bars)),
    )


def _apart(label: str, auc: float, kind: Kind) -> Bar:
    return Bar(label, abs(2 * auc - 1), f"AUC {auc:.2f}", kind)


def duplicates(findings: pd.DataFrame) -> Figure:
    """How many duplicate groups there are, by their size."""
    sizes = findings.groupby("group").size()
    largest = 0 if sizes.empty else int(sizes.max())
    bars, below = [], 0
    for highest, label in SIZES:
        count = int(((sizes > below) & (sizes <= highest)).sum())
        below = highest
        if count:
            bars.append(Bar(label, count / len(sizes), f"{count}", "control"))
    said = (
        f"{len(findings)} images are {len(sizes)} different ones; the largest group of copies or "
        f"near copies holds {largest}"
    )
    return Figure(
        "duplicates",
        "Copies among the images: groups by their size",
        f"Bars. {upper(said)}. " + "; ".join(f"{one.label}: {one.said}" for one in bars) + ".",
        f"{upper(said)}. One image stands for its group, because copies would count as "
        "independent evidence. Images that a model saw often are memorized more easily.",
        bars=Bars(tuple(bars)),
    )
