"""Pictures of the flagged: original, corrupted, reconstruction, nearest other."""

from __future__ import annotations

import math
from pathlib import Path

from memaudit.audit.passes import full_passes
from memaudit.audit.pool import Pool, read_examples
from memaudit.audit.result import ScanResult
from memaudit.audit.shards import Stages, redraw
from memaudit.corruption.noise import snr_db
from memaudit.records import Example, Image
from memaudit.report.strips import write_strip


def write_pictures(stages: Stages, result: ScanResult, folder: Path) -> None:
    """Write a strip for each flagged representative, the highest scores first, and no other.

    The noise shown is the strongest from which the image comes back, else the weakest of the scan.
    An image that is gone since it was scored has no strip; its row stays.
    """
    findings = result.findings
    flagged = findings[findings["flagged"] & findings["representative"]].head(stages.config.images)
    for earlier in folder.glob("*.png"):
        earlier.unlink()
    if flagged.empty:
        return
    folder.mkdir(exist_ok=True)
    passes = {how.name: how for how in full_passes(stages.config, stages.grid)}
    how = passes[result.summary.reconstruction]
    examples = _read(stages.pool, {*flagged["example_id"], *flagged["nearest_other"]})
    columns = flagged[["example_id", "nearest_other", "recovered_from_snr_db"]]
    for rank, (example_id, other, snr) in enumerate(columns.itertuples(index=False), start=1):
        if example_id not in examples:
            continue
        source = examples[example_id]
        sigma = stages.sigmas[0] if math.isnan(snr) else _nearest_level(stages, snr)
        images: list[Image] = [source.image, *redraw(stages, source, how, sigma)]
        if other in examples:
            images.append(examples[other].image)
        write_strip(folder / f"{rank:04d}-{example_id[:12]}.png", images)


def _read(pool: Pool, ids: set[str]) -> dict[str, Example]:
    rows = pool.table[pool.table["example_id"].isin(ids)].drop_duplicates("example_id")
    return {example.id: example for example in read_examples(pool, rows)[0]}


def _nearest_level(stages: Stages, snr: float) -> float:
    return min(stages.sigmas, key=lambda sigma: abs(snr_db(sigma) - snr))
