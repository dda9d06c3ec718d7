"""Pictures of the flagged: original, corrupted, reconstruction, nearest other."""

from __future__ import annotations

import math
from pathlib import Path

import pandas as pd

from memaudit.errors import UnreadableImageError
from memaudit.records import Image, Split
from memaudit.reports.strips import write_strip
from memaudit.scanning.pool import Pool
from memaudit.scanning.shards import Stages, redraw


def write_pictures(stages: Stages, findings: pd.DataFrame, folder: Path) -> None:
    """Write a strip for each flagged representative, the highest scores first.

    The noise shown is the strongest from which the image comes back, else the weakest of the scan.
    """
    flagged = findings[findings["flagged"] & findings["representative"]].head(stages.config.images)
    if len(flagged):
        folder.mkdir(exist_ok=True)
    columns = flagged[["example_id", "nearest_other", "recovered_from_snr_db"]]
    for rank, (example_id, other, snr) in enumerate(columns.itertuples(index=False), start=1):
        sigma = stages.sigmas[0] if math.isnan(snr) else _nearest_level(stages, snr)
        try:
            images = _strip(stages, example_id, other, sigma)
        except UnreadableImageError:
            continue  # gone since it was scored; its row stays
        write_strip(folder / f"{rank:04d}-{example_id[:12]}.png", images)


def _strip(stages: Stages, example_id: str, other: str, sigma: float) -> list[Image]:
    source = stages.pool.example(*_row(stages.pool, example_id))
    corrupted, image = redraw(stages, source, sigma)
    images = [source.image, corrupted, image]
    if other:
        images.append(stages.pool.example(*_row(stages.pool, other)).image)
    return images


def _row(pool: Pool, example_id: str) -> tuple[int, str, Split, str]:
    rows = pool.table.loc[pool.table["example_id"] == example_id]
    row, split, source = rows[["row", "split", "source"]].iloc[0]
    return int(row), example_id, split, source


def _nearest_level(stages: Stages, snr: float) -> float:
    return min(stages.sigmas, key=lambda sigma: abs(-20 * math.log10(sigma) - snr))
