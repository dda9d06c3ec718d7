"""Does the demo scan detect the models that memorized, and flag nothing of the others?

    python benchmarks/demo.py

Five models are scanned with the demo's images and settings: the three bundled ones, and the perfect
memorizers of the members and of other tiles. Expected: of the overfit model and of the one that was
trained as long on noisy copies >= 90 % of members above the controls' 99th percentile, of the
memorizer of the members >= 99 %, and for the twin and the memorizer of other tiles nothing flagged
and an AUC interval that contains .5.
"""

from __future__ import annotations

import sys
import tempfile
from dataclasses import replace
from pathlib import Path

from memaudit.audit import ScanResult, scan
from memaudit.config import CLOSED_FORM
from memaudit.demo.run import demo_config, write_images
from memaudit.records import COPY

# Share above the controls' 99th percentile.
EXPECTED = {"overfit": 0.90, "ambient": 0.90, "closed form of the members": 0.99}


def main() -> int:
    with tempfile.TemporaryDirectory() as folder:
        results = scan_all(Path(folder))
    print(
        f"{'model':28}{'> ctl p99':>10}{'flagged':>9}{'AUC':>7}{'95 % interval':>16}  as expected"
    )
    verdicts = [report(name, result) for name, result in results.items()]
    print(f"\n{'model':28}{'sigma':>8}{'SNR dB':>8}{'AUC':>7}{'> ctl p99':>11}")
    for name, result in results.items():
        for level in result.summary.levels:
            copies = " copies" if level.input == COPY else ""
            print(
                f"{name + copies:28}{level.level:8.4g}{level.snr_db:8.1f}{level.auc:7.3f}"
                f"{level.share_above:11.1%}"
            )
    return 0 if all(verdicts) else 1


def scan_all(folder: Path) -> dict[str, ScanResult]:
    images = write_images(folder)
    models = {
        "overfit": None,
        "twin": None,
        "ambient": None,
        "closed form of the members": f"{CLOSED_FORM}{images['members']}",
        "closed form of other tiles": f"{CLOSED_FORM}{images['others']}",
    }
    results = {}
    for name, model in models.items():
        config = demo_config(name, images, folder / name)
        results[name] = scan(config if model is None else replace(config, model=model))
    return results


def report(name: str, result: ScanResult) -> bool:
    dataset, flagged = result.summary.dataset, result.summary.flagged.groups
    if dataset is None:
        raise RuntimeError("the demo has members and controls")
    auc = dataset.auc
    if name in EXPECTED:
        good = dataset.share_above >= EXPECTED[name]
    else:
        good = flagged == 0 and auc.low <= 0.5 <= auc.high
    interval = f"{auc.low:.3f} .. {auc.high:.3f}"
    print(
        f"{name:28}{dataset.share_above:10.1%}{flagged:9d}{auc.estimate:7.3f}{interval:>16}"
        f"  {'yes' if good else 'NO'}"
    )
    return good


if __name__ == "__main__":
    sys.exit(main())
