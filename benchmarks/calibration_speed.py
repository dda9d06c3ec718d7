"""How long does the calibration of a large scan take?

    python benchmarks/calibration_speed.py

100,000 members and 100,000 controls, 2 levels of 1 draw (400,000 rows of scores), every tenth
image with a near copy on its side, 1,000 bootstrap rounds. Expected: findings and summary together
in under 60 s.
"""

from __future__ import annotations

import cProfile
import hashlib
import pstats
import sys
import time

import numpy as np
import pandas as pd

from memaudit.attacks.passes import claims_of, pooled
from memaudit.attacks.reconstruction import ODE
from memaudit.attacks.scores import COLUMNS
from memaudit.config import AttackConfig
from memaudit.records import CLEAN, FULL
from memaudit.statistics.findings import calibrate
from memaudit.statistics.options import Options
from memaudit.statistics.summary import Conduct, summarise

LIMIT = 60.0  # seconds
LOOKS = 16  # numbers that say what a picture shows
SIDE = 100_000
SIGMAS = (0.5, 2.0)
MEMORIZED = 500
SHOWN = 25


def main() -> int:
    scores, pool = tables()
    options = Options(pooled(claims_of(AttackConfig())[0]), COLUMNS, copy_threshold=0.75)
    conduct = Conduct(self_checked=True)
    profile = cProfile.Profile()
    start, cpu = time.perf_counter(), time.process_time()
    with profile:
        calibrated = calibrate(scores, pool, options)
        found = time.perf_counter() - start
        summary = summarise(calibrated, options, conduct)
    seconds, cpu = time.perf_counter() - start, time.process_time() - cpu
    pstats.Stats(profile).sort_stats("cumulative").print_stats("memaudit", SHOWN)
    print(f"{summary.flagged.groups} groups flagged, {summary.verdict.outcome.value}")
    print(f"findings {found:.1f} s, summary {seconds - found:.1f} s")
    print(f"together {seconds:.1f} s   (expected < {LIMIT:.0f}), {cpu:.1f} s of processor time")
    return 0 if seconds < LIMIT else 1


def tables() -> tuple[pd.DataFrame, pd.DataFrame]:
    """Make scores and their pool, of which the first members come back as copies."""
    ids = [hashlib.sha256(str(k).encode()).hexdigest() for k in range(2 * SIDE)]
    rng = np.random.default_rng(0)
    scores = pd.concat([level(ids, sigma, rng) for sigma in SIGMAS], ignore_index=True)
    return scores.sample(frac=1, random_state=0, ignore_index=True), with_copies(ids)


def level(ids: list[str], sigma: float, rng: np.random.Generator) -> pd.DataFrame:
    size = len(ids)
    own = rng.beta(6, 8, size)
    own[:MEMORIZED] = rng.uniform(0.95, 1, MEMORIZED)
    other = rng.beta(6, 10, size)
    other[:MEMORIZED] = 0.2
    return pd.DataFrame(
        {
            "example_id": ids,
            "attack": ODE,
            "input": CLEAN,
            "phase": FULL,
            "level": sigma,
            "draw": 0,
            "snr_db": -20 * np.log10(sigma),
            "own_similarity": own,
            "own_rank": np.where(own > other, 1.0, 4.0),
            "nearest_other": rng.permutation(ids),
            "nearest_other_similarity": other,
            "margin": own - other,
            "psnr": rng.uniform(10, 20, size),
            "ssim": rng.uniform(0, 1, size),
            "l2": rng.uniform(0, 1, size),
            "tile_l2": rng.uniform(0, 1, size),
            "adaptive_l2": rng.uniform(0, 1, size),
            "l2_ratio": rng.uniform(0, 1, size),
            "distance_ratio": rng.uniform(0, 1, size),
        }
    )


def with_copies(ids: list[str]) -> pd.DataFrame:
    """Make the pool's rows: a representative for each id, and a copy of every tenth."""
    pool = pd.DataFrame(
        {
            "example_id": ids,
            "split": ["member"] * SIDE + ["control"] * SIDE,
            "source": [f"images/{k:06}.png" for k in range(len(ids))],
            "prompt": "",
            "group": range(len(ids)),
            "representative": True,
            "spans": False,
            "cluster": "",
            "left_out": "",
        }
    )
    looks = np.random.default_rng(1).normal(size=(len(pool), LOOKS))
    pool[[f"look_{k:02}" for k in range(LOOKS)]] = looks
    copies = pool.iloc[::10]
    copies = copies.assign(
        example_id=copies["example_id"].str[::-1],
        source=copies["source"].str.replace("images", "copies"),
        representative=False,
    )
    return pd.concat([pool, copies], ignore_index=True)


if __name__ == "__main__":
    sys.exit(main())
