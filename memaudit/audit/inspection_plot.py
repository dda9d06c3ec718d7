"""The noise schedule of a model, drawn with block characters or into a file."""

from __future__ import annotations

import math
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from memaudit.errors import ConfigError
from memaudit.models.inspection import Curve, Inspection
from memaudit.report.saving import plain, save
from memaudit.text import shown

if TYPE_CHECKING:
    from matplotlib.axes import Axes

EIGHTHS = " ▁▂▃▄▅▆▇█"
COLUMNS, ROWS = 48, 6
LABEL = 6  # columns of a label


def blocks(curve: Curve) -> list[str]:
    """Draw the log-SNR over the steps of a schedule in lines of text, highest first."""
    values = _log_snr(curve)
    at = np.linspace(curve.timesteps[0], curve.timesteps[-1], COLUMNS)
    columns = np.interp(at, curve.timesteps, values)
    low, high = float(values.min()), float(values.max())
    heights = np.rint((columns - low) / max(high - low, 1e-9) * (8 * ROWS - 1)).astype(int) + 1
    labels = {ROWS - 1: f"{high:.1f}", 0: f"{low:.1f}"}
    lines = [f"{'log-SNR':>{LABEL}}"]
    for level in reversed(range(ROWS)):
        bars = "".join(EIGHTHS[min(8, max(0, int(one) - 8 * level))] for one in heights)
        lines.append(f"{labels.get(level, ''):>{LABEL}} {bars.rstrip()}")
    first, last = f"step {curve.timesteps[0]}", str(curve.timesteps[-1])
    return [*lines, f"{'':{LABEL}} {first}{last:>{COLUMNS - len(first)}}"]


def draw(one: Inspection, path: Path) -> None:
    """Draw log-SNR and sigma over the steps into a .png or .svg file.

    Raises ConfigError for a model without a schedule of steps.
    """
    from matplotlib.figure import Figure

    curve = one.noise.curve
    if curve is None:
        raise ConfigError(
            f"--plot draws the noise over the steps of a schedule, and {one.model} has no steps; "
            "leave it out"
        )
    figure = Figure(figsize=(6, 4), layout="constrained")
    axes = figure.subplots()
    axes.plot(curve.timesteps, _log_snr(curve))
    axes.set(xlabel="step", ylabel="log-SNR = -2 ln sigma")
    title = ", ".join(filter(None, (one.class_name, one.noise.schedule)))
    axes.set_title(plain(shown(title)))
    axes.grid(alpha=0.3)
    _mark_lowest(axes, one)
    _add_sigmas(axes, curve)
    save(figure, path)


def _mark_lowest(axes: Axes, one: Inspection) -> None:
    """Mark the noise below which a model of noisy images learned nothing."""
    training = one.noisy_training
    if training is None or training.sample_from is None:
        return
    axes.axhline(-2 * math.log(training.sample_from), color="C1", linestyle="--")
    at = (0.98, -2 * math.log(training.sample_from))
    axes.annotate(
        f"not trained above this line (sigma < {training.sample_from:g})",
        at,
        xycoords=("axes fraction", "data"),
        xytext=(0, 4),
        textcoords="offset points",
        horizontalalignment="right",
    )


def _add_sigmas(axes: Axes, curve: Curve) -> None:
    """Show powers of ten of sigma at the right."""
    low, high = min(curve.sigmas), max(curve.sigmas)
    powers = range(math.floor(math.log10(low)), math.ceil(math.log10(high)) + 1)
    bottom, top = axes.get_ylim()
    ticks = {-2 * math.log(10.0**power): f"{10.0**power:g}" for power in powers}
    inside = {at: said for at, said in ticks.items() if bottom <= at <= top}
    right = axes.twinx()
    right.set_ylim(bottom, top)
    right.set_yticks(list(inside), list(inside.values()))
    right.set_ylabel("sigma")


def _log_snr(curve: Curve) -> np.ndarray[tuple[int], np.dtype[np.float64]]:
    return -2 * np.log(np.array(curve.sigmas))
