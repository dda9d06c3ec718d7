"""The loss over time, as a table and as a picture."""

from __future__ import annotations

import csv
from pathlib import Path

from memaudit.files import in_place

LOG_EVERY = 50


class LossLog:
    """loss.csv: mean loss since the last row, one every 50 steps and at every checkpoint.

    Cut back to the checkpoint on resume, so that it ends as that of an uninterrupted run.
    """

    def __init__(self, path: Path, start: int) -> None:
        self._path = path
        self._rows: list[tuple[int, float]] = []
        self._window: list[float] = []
        if path.is_file():
            with path.open(newline="") as file:
                rows = list(csv.reader(file))[1:]
            self._rows = [(int(s), float(v)) for s, v in rows if int(s) <= start]

    def add(self, step: int, loss: float) -> None:
        """Take the loss of a step."""
        self._window.append(loss)
        if step % LOG_EVERY == 0:
            self._close(step)

    def flush(self, step: int) -> None:
        """Write the table."""
        self._close(step)
        self._path.parent.mkdir(parents=True, exist_ok=True)
        with in_place(self._path) as temporary, temporary.open("w", newline="") as file:
            csv.writer(file).writerows([("step", "loss"), *self._rows])

    def draw(self) -> None:
        """Write the picture beside the table, its axes logarithmic where the losses allow it."""
        from matplotlib.backends.backend_agg import FigureCanvasAgg
        from matplotlib.figure import Figure

        if not self._rows:
            return
        figure = Figure(figsize=(6, 4), layout="constrained")
        FigureCanvasAgg(figure)
        axes = figure.add_subplot()
        steps, losses = zip(*self._rows, strict=True)
        axes.plot(steps, losses, marker="." if len(steps) < 30 else "")
        axes.set(xlabel="step", ylabel="loss", yscale="log" if min(losses) > 0 else "linear")
        axes.grid(alpha=0.3)
        with in_place(self._path.with_suffix(".png")) as temporary:
            figure.savefig(temporary, format="png", dpi=120)

    def _close(self, step: int) -> None:
        if self._window:
            self._rows.append((step, sum(self._window) / len(self._window)))
            self._window.clear()
