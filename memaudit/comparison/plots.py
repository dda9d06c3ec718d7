"""Pictures of a comparison: whole distributions, and memorization against quality."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from memaudit.comparison.finished import FinishedRun
from memaudit.comparison.quality import drawn_alike
from memaudit.comparison.shares import THRESHOLDS, Distribution
from memaudit.records import CLEAN, COPY, Input
from memaudit.report.saving import plain, save

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

KINDS = ("png", "svg")
BINS = 40
STYLES = {"member": "-", "control": "--"}
LABELS: dict[Input, str] = {
    CLEAN: "own similarity",
    COPY: "correlation with the noise of the copy",
}
ROWS = ("density", "share at or below", "share at or above")


def draw_distributions(path: Path, found: Sequence[Distribution]) -> None:
    """Density, cumulative share and tail of own similarity, a column a level; PNG and SVG.

    `found` are the distributions of one probe. `path` has no suffix.
    """
    from matplotlib.figure import Figure

    levels = list(dict.fromkeys(one.level for one in found))
    levels.sort(key=lambda level: -1.0 if level == "all" else float(level))
    colours = {run: f"C{k % 10}" for k, run in enumerate(dict.fromkeys(one.run for one in found))}
    figure = Figure(figsize=(1 + 3 * len(levels), 8.5), layout="constrained")
    grid = figure.subplots(len(ROWS), len(levels), squeeze=False)
    lowest = min(float(one.values.min()) for one in found if len(one.values))
    bins = np.linspace(np.floor(10 * lowest) / 10, 1, BINS + 1)
    for column, level in enumerate(levels):
        grid[0, column].set_title("all levels" if level == "all" else f"level {level}")
        for one in found:
            if one.level == level and len(one.values):
                _draw(list(grid[:, column]), one, bins, colours[one.run])
        for row, axes in enumerate(grid[:, column]):
            axes.set_ylabel(ROWS[row] if column == 0 else "")
            axes.set_xlim(bins[0], 1.01)
        grid[2, column].set_yscale("log")
        for threshold in THRESHOLDS:
            grid[2, column].axvline(threshold, color="grey", linewidth=0.6, alpha=0.5)
        grid[2, column].set_xlabel(LABELS[found[0].input])
    _legend(figure, grid[0, 0])
    _save(figure, path)


def draw_quality(path: Path, runs: Sequence[FinishedRun]) -> bool:
    """One labelled point a run: its excess above controls against its Frechet distance.

    Distances that cannot be compared with that of the first are left out. False, and no picture, if
    no run has both.
    """
    from matplotlib.figure import Figure

    drawn = [run for run in drawn_alike(runs) if run.excess is not None]
    if not drawn:
        return False
    figure = Figure(figsize=(7, 5), layout="constrained")
    axes = figure.subplots()
    for k, run in enumerate(drawn):
        _point(axes, run, f"C{k % 10}")
    axes.axhline(0, color="grey", linewidth=0.8)
    axes.margins(x=0.3)
    axes.set_xlabel("Frechet distance of generated images (less is better)")
    axes.set_ylabel("excess above controls, 95 % interval (less is better)")
    _save(figure, path)
    return True


def _point(axes: Axes, run: FinishedRun, colour: str) -> None:
    quality, excess = run.record.quality, run.excess
    assert quality is not None
    assert quality.frechet is not None
    assert excess is not None
    bar = np.array([[excess.estimate - excess.low], [excess.high - excess.estimate]])
    place = quality.frechet, excess.estimate
    axes.errorbar([place[0]], [place[1]], yerr=bar, fmt="o", capsize=4, color=colour)
    axes.annotate(plain(run.name), place, xytext=(6, 6), textcoords="offset points")


def _draw(column: list[Axes], one: Distribution, bins: NDArray[np.float64], colour: str) -> None:
    values = np.sort(one.values)
    n = len(values)
    label = f"{one.split}s, {plain(one.run)}"
    style = STYLES[one.split]
    column[0].hist(
        values,
        list(bins),
        density=True,
        histtype="step",
        color=colour,
        linestyle=style,
        label=label,
    )
    column[1].step(values, np.arange(1, n + 1) / n, where="post", color=colour, linestyle=style)
    column[2].step(values, np.arange(n, 0, -1) / n, where="pre", color=colour, linestyle=style)


def _legend(figure: Figure, axes: Axes) -> None:
    handles, labels = axes.get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside lower center", ncols=2)


def _save(figure: Figure, path: Path) -> None:
    """Write a figure under a name without suffix, as each kind."""
    save(figure, *(path.with_name(f"{path.name}.{kind}") for kind in KINDS))
