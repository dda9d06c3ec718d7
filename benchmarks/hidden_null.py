"""Is the verdict right where a part of the image is hidden? Real scans whose sides are drawn anew.

    python benchmarks/hidden_null.py

For each way to hide, the perfect memorizer of other images is scanned once on tiles of the demo. It
knows none of them, so that which are called members is a coin's matter: the sides are drawn 200
times, and the same scores are calibrated each time. Expected: "evidence" in at most .05 + two
standard errors of the draws, and a data-set p of at most a in at most a + two standard errors.
Budget: 20 minutes on one core.
"""

from __future__ import annotations

import math
import sys
import tempfile
from functools import partial
from pathlib import Path

import numpy as np

from memaudit.audit import scan
from memaudit.audit.calibration import make_findings, options_of
from memaudit.audit.result import ScanResult
from memaudit.cli.progress import bars
from memaudit.config import NO_ATTACK, ScanConfig
from memaudit.demo.tiles import write_tiles
from memaudit.run.directory import RunDirectory
from memaudit.run.parts import Part
from memaudit.statistics.verdict import Outcome

KINDS = ("mask-random", "mask-box", "mask-half", "noise+mask", "downsample", "blur")
DRAWS, MEMBERS = 200, 60
LEVELS = (0.01, 0.025, 0.05, 0.1)


def main() -> int:
    with tempfile.TemporaryDirectory() as folder:
        return 0 if all(list(map(partial(null_of, Path(folder)), KINDS))) else 1


def null_of(folder: Path, kind: str) -> bool:
    """Scan by one kind, draw the sides anew, and print the shares."""
    tiles = write_tiles(folder / "images")
    config = ScanConfig(
        model=f"closed-form:{tiles['others']}",
        dataset=str(tiles["members"]),
        controls=str(tiles["controls"]),
        out=str(folder / kind),
        corruption=(kind,),
        attacks=(NO_ATTACK,),
        embedder="sscd-distilled",
        images=0,
        report=False,
    )
    with bars() as progress:
        result = scan(config, progress)
    found = [drawn(result, np.random.default_rng(seed)) for seed in range(DRAWS)]
    evidence = float(np.mean([outcome is Outcome.EVIDENCE for outcome, _ in found]))
    p = np.array([p for _, p in found])
    shares = {a: float((p <= a).mean()) for a in LEVELS}
    good = evidence <= most(0.05) and all(share <= most(a) for a, share in shares.items())
    told = ", ".join(f"{a:g}: {share:.3f}" for a, share in shares.items())
    print(f"{kind}: evidence {evidence:.3f}; p at most {told}{'' if good else '  TOO MANY'}")
    sys.stdout.flush()
    return good


def drawn(result: ScanResult, rng: np.random.Generator) -> tuple[Outcome, float]:
    """The outcome and the data-set p with sides that a coin chose."""
    rows = RunDirectory.at(result.config.execution.out).pool()
    chosen = rng.permutation(len(rows))[:MEMBERS]
    rows["split"] = np.where(np.isin(np.arange(len(rows)), chosen), "member", "control")
    options = options_of(result.prepared, result.config.calibration, seed=0)
    summary = make_findings(rows, Part(result.scores, {}), result.summary.conduct, options).summary
    return summary.verdict.outcome, 1.0 if summary.dataset is None else summary.dataset.test.p_value


def most(level: float) -> float:
    """A level and two standard errors."""
    return level + 2 * math.sqrt(level * (1 - level) / DRAWS)


if __name__ == "__main__":
    sys.exit(main())
