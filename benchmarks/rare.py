"""Is rare memorization found, at what cost, and how many controls does it take?

    make benchmark-data && python benchmarks/rare.py

Fashion-MNIST, grey, 28 px. The model memorized 10 of 1,000 members exactly, or 1, and knows of all
other images the mean and covariance only, taken from 4,000 that are in no scan (`mixture.py`), so
which flags are true is known. Noise of sigma 2 and 3, four draws each, ODE of ten steps, pixels as
embedding. Fashion-MNIST is full of look-alikes: from a similarity of .97 on, the default, they
chain into large groups, so .99 is taken; and they bound the margin, by which odd images would rank
above plain memorized ones, so the score is the adaptive l2 of Carlini et al. (2023).

Expected of 1,000 members with 10 memorized and 10,000 controls: the adaptive scan flags at least 9
of the 10 at q = .05, and over 1,000 random divisions of the other images into members and controls
at most .05 of its flags are false, up to two standard errors; against the full scan it takes at
least 10 times fewer network evaluations and keeps at least 99 % of the flags. Reported only: 1
memorized of 1,000 with 20,000 controls; 10 with 1,000 controls, where ranks cannot flag fewer than
20. About 25 minutes on one core; runs lie
below benchmarks/data/rare and are continued.
"""

from __future__ import annotations

import math
import sys
from dataclasses import dataclass
from functools import cache

import numpy as np
import pandas as pd
import torch
from kinds import DATA, clothes, write
from mixture import Mixture
from torch import Tensor

from memaudit.attacks.passes import claims_of, pooled
from memaudit.audit import ScanResult, scan
from memaudit.cli.progress import bars
from memaudit.config import NO_ATTACK, AttackConfig, Noise, ScanConfig
from memaudit.data import image_id
from memaudit.models.codec import encode_pixels
from memaudit.models.loaded import Loaded
from memaudit.models.provenance import Provenance
from memaudit.records import Image
from memaudit.statistics.conformal import benjamini_hochberg, conformal_p, smallest_count
from memaudit.statistics.effort import Effort

RUNS = DATA / "rare"
Q = 0.05
SCORE = ("adaptive_l2",)
PRIMARY = pooled(claims_of(AttackConfig(score=SCORE))[0])
MEMBERS, MOST_CONTROLS, SURROUNDINGS = 1000, 20_300, 4000  # some controls are copies of others
LEAST_FOUND, LEAST_KEPT, LEAST_SAVED = 9, 0.99, 10
DIVISIONS = 1000
COLUMNS = ("scan", "members", "controls", "smallest count", "evaluations", "fewer")
FLAGS = ("memorized", "flagged", "false", "extrap.", "false")


@dataclass(frozen=True)
class Case:
    """How many members the model memorized, out of how many controls, and which scan finds them."""

    memorized: int
    controls: int
    adaptive: bool


CASES = {
    "adaptive": Case(10, 10_000, adaptive=True),
    "full": Case(10, 10_000, adaptive=False),
    "one of 1,000": Case(1, MOST_CONTROLS, adaptive=True),
    "few controls": Case(10, 1000, adaptive=False),
}


def main() -> int:
    print("".join(f"{name:>16}" for name in COLUMNS) + "".join(f"{name:>10}" for name in FLAGS))
    results = {name: report(name, case) for name, case in CASES.items()}
    good = judge(results["adaptive"], results["full"])
    return 0 if all(good) else 1


def report(name: str, case: Case) -> ScanResult:
    """Scan, or continue, and print what was flagged: true and false, exact and extrapolated."""
    result = scanned(name, case)
    counts, effort = result.summary.counts, effort_of(result)
    columns = (counts.member_groups, counts.control_groups)
    smallest = smallest_count(*columns, Q)
    texts = [name, *map(str, (*columns, smallest, effort.evaluations)), f"{effort.saved:.1f}"]
    known = memorized_ids(case.memorized)
    for column in ("flagged", "flagged_extrapolated"):
        found = flagged_ids(result.findings, column)
        texts += [str(len(found & known)), str(len(found - known))]
    texts.insert(len(COLUMNS), str(case.memorized))
    widths = [16] * len(COLUMNS) + [10] * len(FLAGS)
    print("".join(f"{t:>{w}}" for t, w in zip(texts, widths, strict=True)), flush=True)
    return result


def judge(adaptive: ScanResult, full: ScanResult) -> list[bool]:
    """Print each expectation and whether it was met."""
    known = memorized_ids(CASES["adaptive"].memorized)
    of_adaptive, of_full = flagged_ids(adaptive.findings), flagged_ids(full.findings)
    found, kept = len(of_adaptive & known), len(of_adaptive & of_full) / max(1, len(of_full))
    shares = false_shares(adaptive.findings, known)
    most = Q + 2 * shares.std(ddof=1) / math.sqrt(len(shares))
    saved = effort_of(full).evaluations / effort_of(adaptive).evaluations
    return [
        expect(f"memorized images flagged: {found} of {len(known)}", found >= LEAST_FOUND),
        expect(
            f"false share of the flags, mean of {len(shares)} divisions: {shares.mean():.4f} "
            f"(at most {most:.4f})",
            bool(shares.mean() <= most),
        ),
        expect(f"evaluations, times fewer than in full: {saved:.1f}", saved >= LEAST_SAVED),
        expect(f"flags of the full scan kept: {kept:.1%}", kept >= LEAST_KEPT),
    ]


def expect(what: str, good: bool) -> bool:
    print(f"  {what}; as expected: {'yes' if good else 'NO'}", flush=True)
    return good


def false_shares(table: pd.DataFrame, known: frozenset[str]) -> np.ndarray:
    """False share of all flags, in random divisions of all but the memorized images."""
    rows = calibrating(table)
    memorized = rows["example_id"].isin(known)
    scores, others = rows.loc[memorized, "score"].to_numpy(), rows.loc[~memorized, "score"]
    n = int((rows["split"] == "member").sum()) - len(scores)
    rng, shares = np.random.default_rng(0), []
    for _ in range(DIVISIONS):
        shuffled = rng.permutation(others.to_numpy())
        p = conformal_p(np.concatenate([scores, shuffled[:n]]), shuffled[n:])
        flagged = benjamini_hochberg(p) <= Q
        shares.append(flagged[len(scores) :].sum() / max(1, flagged.sum()))
    return np.array(shares)


def calibrating(table: pd.DataFrame) -> pd.DataFrame:
    """Rows that enter the calibration: a representative of each group that keeps to one side."""
    return table[table["representative"] & (table["reason"] == "")]


def flagged_by(score: pd.Series, rows: pd.DataFrame) -> set[str]:
    members, controls = (
        rows.loc[rows["split"] == side, "example_id"] for side in ("member", "control")
    )
    q = benjamini_hochberg(conformal_p(score[members].to_numpy(), score[controls].to_numpy()))
    return set(members[q <= Q])


def flagged_ids(table: pd.DataFrame, column: str = "flagged") -> set[str]:
    return set(table.loc[table[column] & table["representative"], "example_id"])


def effort_of(result: ScanResult) -> Effort:
    if result.summary.conduct.effort is None:
        raise RuntimeError("every scan counts its evaluations")
    return result.summary.conduct.effort


@cache
def drawn() -> list[Image]:
    """Members, the memorized first, then controls, then the images of the surroundings."""
    count = MEMBERS + MOST_CONTROLS + SURROUNDINGS
    found = list(clothes(count))
    return [found[k] for k in np.random.default_rng(0).permutation(count)]


@cache
def memorized_ids(count: int) -> frozenset[str]:
    return frozenset(image_id(image) for image in drawn()[:count])


def model(memorized: int) -> Mixture:
    return Mixture(encoded(drawn()[:memorized]), encoded(drawn()[-SURROUNDINGS:]))


def encoded(images: list[Image]) -> Tensor:
    return encode_pixels(torch.from_numpy(np.stack(images)).permute(0, 3, 1, 2), 1)


def scanned(name: str, case: Case) -> ScanResult:
    """Scan, or continue, one case; of the controls, as many as it has are drawn."""
    write(RUNS / "members", drawn()[:MEMBERS])
    write(RUNS / "controls", drawn()[MEMBERS : MEMBERS + MOST_CONTROLS])
    config = ScanConfig(
        model=f"mixture of {case.memorized} images and a Gaussian",
        dataset=str(RUNS / "members"),
        controls=str(RUNS / "controls"),
        out=str(RUNS / name.replace(" ", "-").replace(",", "")),
        sample=case.controls,
        noise=Noise(sigmas=(2.0, 3.0), draws=4),
        attacks=(NO_ATTACK,),
        embedder="pixels",
        score=SCORE,
        duplicate_threshold=0.99,
        power=False,
        adaptive=case.adaptive,
        q=Q,
        batch_size=128,
        images=0,
        index=str(RUNS / f"index-{case.controls}"),
    )
    with bars() as progress:
        return scan(
            config, progress, Loaded(model(case.memorized), Provenance(model=config.target.spec))
        )


if __name__ == "__main__":
    sys.exit(main())
