"""Charts as inline SVG: axes, lines and bars, placed in pixels for templates/chart.svg."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

WIDTH, HEIGHT = 480, 300
LEFT, RIGHT, TOP, BOTTOM = 62, 22, 34, 46
ROW = 34  # height of a bar and its label
Kind = Literal["member", "control", "other", "chance"]  # how a line is drawn, by templates/page.css
Point = tuple[float, float]


@dataclass(frozen=True)
class Axis:
    """An axis from `low` to `high`, with its label and its ticks: values and what they say."""

    low: float
    high: float
    label: str
    ticks: tuple[tuple[float, str], ...]
    log: bool = False

    def share(self, value: float) -> float:
        """Where a value lies, 0 .. 1; what is beyond the ends lies at them."""
        low, high, at = (
            (math.log10(one) if self.log else one)
            for one in (self.low, self.high, min(max(value, self.low), self.high))
        )
        return (at - low) / (high - low)


@dataclass(frozen=True)
class Line:
    """Points that are joined, or each marked where there are few."""

    name: str
    kind: Kind
    points: tuple[Point, ...]
    marked: bool = False


@dataclass(frozen=True)
class Rule:
    """A thin line at one value of an axis, and what it is."""

    value: float
    label: str
    across: bool = False  # at a y value


@dataclass(frozen=True)
class Chart:
    """Lines between two axes."""

    x: Axis
    y: Axis
    lines: tuple[Line, ...]
    rules: tuple[Rule, ...] = ()


@dataclass(frozen=True)
class Bar:
    """A bar from the left: what it is of, its length 0 .. 1, and what that says."""

    label: str
    length: float
    said: str
    kind: Kind = "member"


@dataclass(frozen=True)
class Bars:
    """Bars one below the other."""

    bars: tuple[Bar, ...]


@dataclass(frozen=True)
class Text:
    """Words at a place, which they end or start at."""

    x: float
    y: float
    text: str
    anchor: Literal["start", "end"] = "end"


@dataclass(frozen=True)
class Stroke:
    """A line in pixels: `at` is the value of `points`, `marks` are the points to mark."""

    name: str
    kind: str
    at: str
    marks: tuple[Point, ...] = ()


@dataclass(frozen=True)
class Drawn:
    """A chart in pixels."""

    grid: tuple[Stroke, ...]
    x_ticks: tuple[Text, ...]
    y_ticks: tuple[Text, ...]
    rules: tuple[tuple[Stroke, Text], ...]
    strokes: tuple[Stroke, ...]
    x_label: str
    y_label: str


def linear(low: float, high: float, label: str, *, percent: bool = False) -> Axis:
    """An axis whose ticks are round numbers."""
    step = _step(high - low)
    start, end = math.floor(low / step + 1e-9), math.ceil(high / step - 1e-9)
    ticks = [round(k * step, 10) for k in range(start, end + 1)]
    said = (f"{100 * one:g}%" if percent else f"{one:g}" for one in ticks)
    named = (one.replace("-", "\N{MINUS SIGN}") for one in said)
    return Axis(ticks[0], ticks[-1], label, tuple(zip(ticks, named, strict=True)))


def logarithmic(low: float, label: str) -> Axis:
    """A logarithmic axis of shares up to 1, from the decade that holds `low`."""
    first = math.floor(math.log10(low) + 1e-9)
    ticks = tuple((10.0**k, f"{100 * 10.0**k:g}%") for k in range(first, 1))
    return Axis(ticks[0][0], 1.0, label, ticks, log=True)


def draw(chart: Chart) -> Drawn:
    """Place a chart in pixels."""
    x_ticks = tuple(Text(_x(chart, one), HEIGHT - BOTTOM + 18, said) for one, said in chart.x.ticks)
    y_ticks = tuple(Text(LEFT - 6, _y(chart, one) + 4, said) for one, said in chart.y.ticks)
    grid = tuple(
        _stroke(chart, Line("", "other", ((chart.x.low, one), (chart.x.high, one))))
        for one, _ in chart.y.ticks
    )
    return Drawn(
        grid=grid,
        x_ticks=x_ticks,
        y_ticks=y_ticks,
        rules=tuple(_rule(chart, one) for one in chart.rules),
        strokes=tuple(_stroke(chart, one) for one in chart.lines),
        x_label=chart.x.label,
        y_label=chart.y.label,
    )


def _rule(chart: Chart, rule: Rule) -> tuple[Stroke, Text]:
    if rule.across:
        ends = (chart.x.low, rule.value), (chart.x.high, rule.value)
        label = Text(WIDTH - RIGHT, _y(chart, rule.value) - 5, rule.label)
    else:
        ends = (rule.value, chart.y.low), (rule.value, chart.y.high)
        is_left = chart.x.share(rule.value) < 0.5
        at = _x(chart, rule.value) + (5 if is_left else -5)
        label = Text(at, TOP + 12, rule.label, "start" if is_left else "end")
    return _stroke(chart, Line(rule.label, "other", ends)), label


def _stroke(chart: Chart, line: Line) -> Stroke:
    placed = tuple((_x(chart, x), _y(chart, y)) for x, y in line.points)
    at = " ".join(f"{x},{y}" for x, y in placed)
    return Stroke(line.name, line.kind, at, placed if line.marked else ())


def _x(chart: Chart, value: float) -> float:
    return round(LEFT + chart.x.share(value) * (WIDTH - LEFT - RIGHT), 1)


def _y(chart: Chart, value: float) -> float:
    return round(HEIGHT - BOTTOM - chart.y.share(value) * (HEIGHT - TOP - BOTTOM), 1)


def _step(width: float) -> float:
    """The round number that cuts a width into about five."""
    rough = max(width, 1e-12) / 5
    size: float = 10.0 ** math.floor(math.log10(rough))
    return size * next(step for step in (1, 2, 5, 10) if step * size >= rough * (1 - 1e-9))


def steps(edges: Sequence[float], heights: Sequence[float]) -> tuple[Point, ...]:
    """The outline of a histogram."""
    tops = [
        point
        for low, high, height in zip(edges, edges[1:], heights, strict=False)
        for point in ((low, height), (high, height))
    ]
    return ((edges[0], 0.0), *tops, (edges[-1], 0.0))
