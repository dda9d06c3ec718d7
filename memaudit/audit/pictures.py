"""Pictures of the flagged: original, corrupted, reconstruction, nearest other."""

from __future__ import annotations

import math

from memaudit.attacks.base import Pass
from memaudit.attacks.reconstruction import ReconstructionAttack
from memaudit.attacks.restoration import RestorationAttack
from memaudit.audit.prepare import Ready
from memaudit.audit.result import ScanResult
from memaudit.corruption.noise import seen_db, snr_db
from memaudit.records import Image
from memaudit.report.strips import strip
from memaudit.run.directory import RunDirectory


def write_pictures(ready: Ready, run: RunDirectory, how: Pass, result: ScanResult) -> None:
    """Write a strip for each flagged representative, the highest scores first, and no other.

    The level shown is the strongest from which the image comes back, else the weakest of the scan.
    An image that is gone since it was scored has no strip; its row stays.
    """
    findings, attack = result.findings, how.attack
    flagged = findings[findings["flagged"] & findings["representative"]]
    flagged = flagged.head(result.config.execution.images)
    run.drop_strips()
    if flagged.empty or not isinstance(attack, ReconstructionAttack | RestorationAttack):
        return
    wanted = {
        *flagged["example_id"],
        *flagged["nearest_other"],
    } & ready.pool.candidates.places.keys()
    examples = {one.id: one for one in ready.pool.candidates.read(wanted).examples}
    columns = flagged[["example_id", "nearest_other", "recovered_from_snr_db"]]
    for rank, (example_id, other, snr) in enumerate(columns.itertuples(index=False), start=1):
        if example_id not in examples:
            continue
        source = examples[example_id]
        level = how.grid.levels[0] if math.isnan(snr) else _nearest_level(how, snr)
        images: list[Image] = [source.image, *attack.show(ready.bench, source, level)]
        if other in examples:
            images.append(examples[other].image)
        run.keep_strip(rank, example_id, strip(images))


def _nearest_level(how: Pass, snr: float) -> float:
    left = seen_db if how.attack.noise == "hidden" else snr_db
    return min(how.grid.levels, key=lambda level: abs(left(level) - snr))
