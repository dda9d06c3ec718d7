"""Progress bars on stderr, only where stderr is a terminal."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from tqdm import tqdm

from memaudit.progress import Progress

LABELS = {"embed": "embedding", "scan": "scanning", "train": "training", "generate": "generating"}


@contextmanager
def bars() -> Iterator[Progress]:
    """Yield a Progress that draws one bar a stage, with its ETA."""
    open_bars: dict[str, Any] = {}

    def show(stage: str, done: int, total: int) -> None:
        if stage not in open_bars:
            open_bars[stage] = tqdm(
                total=total,
                desc=LABELS.get(stage, stage),
                file=sys.stderr,
                disable=not sys.stderr.isatty(),
                initial=done if done < total else 0,
            )
        open_bars[stage].update(done - open_bars[stage].n)
        if done >= total:
            open_bars.pop(stage).close()

    try:
        yield show
    finally:
        for bar in open_bars.values():
            bar.close()
