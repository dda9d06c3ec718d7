"""Figures of the scores: distributions, similarity by level, members found for false ones."""

from __future__ import annotations

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from memaudit.report.charts import (
    Axis,
    Chart,
    Kind,
    Line,
    Point,
    Rule,
    draw,
    linear,
    logarithmic,
    steps,
)
from memaudit.report.covering import NOISE, Covering, decibels
from memaudit.report.figure import Figure, upper
from memaudit.run.record import Record
from memaudit.statistics.effects import upper_quantile
from memaudit.statistics.levels import Level

BINS = 30
MOST_POINTS = 400  # of a curve
SIDES: tuple[tuple[str, Kind], ...] = (("member", "member"), ("control", "control"))
Values = NDArray[np.float64]


def distribution(sides: dict[str, pd.DataFrame], column: str, what: str) -> Figure:
    """A column of the findings, called `what`, on both sides."""
    values = {name: rows[column].dropna().to_numpy(float) for name, rows in sides.items()}
    whole = np.concatenate([*values.values()])
    low, high = float(whole.min()), float(whole.max())
    x = linear(low, high if high > low else low + 1, what)
    edges = np.linspace(x.low, x.high, BINS + 1)
    shares = {name: _shares(one, edges) for name, one in values.items() if len(one)}
    y = linear(0, max(float(one.max()) for one in shares.values()), "Share of a side", percent=True)
    lines = tuple(
        Line(f"{name}s", kind, steps(edges.tolist(), shares[name].tolist()))
        for name, kind in SIDES
        if name in shares
    )
    controls = values["control"]
    rules = (
        ()
        if not len(controls)
        else (Rule(float(upper_quantile(controls)), "controls' 99th percentile"),)
    )
    said = "; ".join(_spread(name, one) for name, one in values.items() if len(one))
    return Figure(
        f"distribution-{column}",
        f"{what}: members against controls",
        f"Two histograms of {what.lower()}. {said}.",
        f"{said}. Small gaps are chance; where a whole outline lies apart, the model treats "
        "members otherwise than controls. One image stands for each group of duplicates.",
        draw(Chart(x, y, lines, rules)),
    )


def _shares(values: Values, edges: Values) -> Values:
    return np.histogram(values, edges)[0] / len(values)


def _spread(name: str, values: Values) -> str:
    low, middle, high = np.quantile(values, (0.05, 0.5, 0.95))
    return (
        f"{len(values)} {name}s, median {middle:.3g}, nine in ten of them from {low:.3g} to "
        f"{high:.3g}"
    ).replace("-", "\N{MINUS SIGN}")


def similarity(levels: list[Level], copy_threshold: float | None, way: Covering = NOISE) -> Figure:
    """Median own similarity of both sides against what was left of the image."""
    sides: list[tuple[str, Kind, tuple[Point, ...]]] = [
        (f"{name}s", kind, _medians(levels, name)) for name, kind in SIDES
    ]
    points = [point for _, _, some in sides for point in some]
    lowest = min(0.0, *(y for _, y in points))
    told = (_at(level) for level in levels if level.own_similarity_members is not None)
    said = upper("; ".join(told))
    rules = () if copy_threshold is None else (Rule(copy_threshold, "called a copy", across=True),)
    return Figure(
        "similarity-by-level",
        "What comes back, by how much of the image was left",
        f"Median similarity of what came back and the image against what was left. {said}.",
        f"{said}. To the left almost nothing of the image was left. Similarity is 1 for a perfect "
        f"copy. What counts is the gap between both lines: {way.easy}.",
        draw(
            Chart(
                _wide(levels, way),
                linear(lowest, 1, "Median similarity"),
                tuple(Line(*one, marked=True) for one in sides if one[-1]),
                rules,
            )
        ),
    )  # fmt: skip


def _medians(levels: list[Level], side: str) -> tuple[Point, ...]:
    found = [(one.snr_db, getattr(one, f"own_similarity_{side}s")) for one in levels]
    return tuple((x, y) for x, y in found if y is not None)


def _wide(levels: list[Level], way: Covering) -> Axis:
    """An axis of what is left, a little wider than the levels."""
    low, high = levels[0].snr_db, levels[-1].snr_db
    return linear(low - 1, high + 1, way.axis)


def _at(level: Level) -> str:
    members, controls = level.own_similarity_members, level.own_similarity_controls
    beside = "" if controls is None else f" against {controls:.2f} for controls"
    return f"at {decibels(level.snr_db)} {members:.2f} for members{beside}"


def roc(record: Record, members: Values, controls: Values) -> Figure:
    """Share of members found against share of controls above the same threshold."""
    false = np.arange(1, len(controls) + 1) / len(controls)
    thresholds = controls[::-1]
    true = 1 - np.searchsorted(members, thresholds, side="left") / len(members)
    above = 1 - float(np.searchsorted(members, controls[-1], side="right")) / len(members)
    x = logarithmic(0.5 / len(controls), "Controls wrongly found (log scale)")
    kept = np.unique(np.geomspace(1, len(false), MOST_POINTS).astype(int)) - 1
    points = zip(false[kept].tolist(), true[kept].tolist(), strict=True)
    curve = ((x.low, above), (1 / len(controls), above), *points)
    diagonal = tuple((float(one), float(one)) for one in np.geomspace(x.low, 1, 60))
    level = record.summary.dataset
    said = f"{above:.1%} of the members score above every one of the {len(controls)} controls"
    if level is not None:
        said += (
            f"; a member scores above a control in {level.auc.estimate:.1%} of pairs (AUC, 95 % "
            f"interval {level.auc.low:.1%} to {level.auc.high:.1%})"
        )
    return Figure(
        "roc",
        "How many members are found, for how many controls wrongly found",
        f"A curve above a dashed line of chance. {said}.",
        f"{said}. The left edge is what counts for a claim about an image: members found while "
        "next to no control is. On the dashed line a scan does no better than chance.",
        draw(
            Chart(
                x,
                linear(0, 1, "Members found", percent=True),
                (Line("chance", "chance", diagonal), Line("members found", "member", curve)),
            )
        ),
    )
