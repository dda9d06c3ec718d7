"""Where nothing is memorized, how often does a scan flag something?

    make benchmark-models && python benchmarks/calibration.py [photos|icons|clothes ...]

Three pools of real images, each scanned once with a model that never saw them: photographs with the
perfect memorizer of 100 others, icons with the trained twin of `detection.py`, clothes with the
perfect memorizer of 200 others; one image of each group of near duplicates. Which of a pool are
members is then drawn 2,000 times: as many as leave controls enough to flag a single image at
q = .05, at q = .01, and one half. The adaptive score comes from the same scan: its first pass is
the one-step rows, and the ODE counts for the top .05 of them only.

Expected, for both scores: the share of divisions that flag anything is at most q plus two standard
errors, and at least q / 2 where a single image can be flagged, for there the rule is nearly exact.
Over halves of the pool the p-value of the rank sum is uniform (Kolmogorov-Smirnov, p at least .01).
It is discrete, so a uniform share of the probability of what was observed is taken off first: that
makes an exact p uniform, and a too large or too small one fails. That of the upper tail, and the
smaller of the two after Bonferroni, are at most .05 in at most .05 of the divisions, plus two
standard errors. The share
of the extrapolated rule, which is not exact, is reported from 500 divisions. About 15 minutes on
one core; scans lie below benchmarks/data/calibration and are continued.
"""

from __future__ import annotations

import math
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
from kinds import DATA, clothes, images, write
from models import MODELS, truth
from numpy.typing import NDArray
from scipy import stats

from memaudit.attacks.passes import claims_of, pooled
from memaudit.attacks.reconstruction import ODE, ONE_STEP
from memaudit.audit import scan
from memaudit.cli.progress import bars
from memaudit.config import CLOSED_FORM, NO_ATTACK, AttackConfig, Noise, ScanConfig
from memaudit.records import SCREEN, Image
from memaudit.statistics.adaptive import outstanding, pooled_score
from memaudit.statistics.conformal import benjamini_hochberg, conformal_p, smallest_count
from memaudit.statistics.dataset import dataset_test
from memaudit.statistics.sample import Sample
from memaudit.statistics.tail import extrapolated_p

RUNS = DATA / "calibration"
ICONS = MODELS / "icons-choice"
POOLS = ("photos", "icons", "clothes")
LARGEST = 1010  # images of a pool
PRIMARY = pooled(claims_of(AttackConfig())[0])
LEVELS_Q = (0.05, 0.01)
FRACTION = 0.05  # of the pool that the adaptive score takes the ODE of
DIVISIONS, EXTRAPOLATED, PERMUTATIONS = 2000, 500, 199
UNIFORM = 0.01  # least p of the Kolmogorov-Smirnov test
Values = NDArray[np.float64]


@dataclass(frozen=True)
class Setting:
    """A model, and images that it never saw."""

    model: str
    pool: list[Image]


def main() -> int:
    wanted = sys.argv[1:] or list(POOLS)
    if "icons" in wanted and not (ICONS / "model_index.json").is_file():
        print(f"{ICONS} is not trained: run `make benchmark-models`, or name photos or clothes")
        return 2
    verdicts = [good for name in wanted for good in report(name)]
    return 0 if all(verdicts) else 1


def report(name: str) -> Iterator[bool]:
    """Print the rates of a pool by score and size, and say of each whether it is as expected."""
    rows = scanned(name)
    for kind, score in (("full", full(rows)), ("adaptive", adaptive(rows))):
        values = score.to_numpy()
        print(f"\n=== {name}, {kind} score, {len(values)} images")
        print(f"  {'members':>9}{'controls':>9}{'q':>6}{'flag any':>18}{'extrapolated':>18}")
        for members in sizes(len(values)):
            yield from report_size(values, members)
        yield from report_dataset(values)


def sizes(images: int) -> list[int]:
    """Numbers of members: the most of which one alone can be flagged, by q, and one half."""
    return [*(int(round((images + 1) / (1 + 1 / q), 9)) for q in LEVELS_Q), images // 2]


def report_size(values: Values, members: int) -> Iterator[bool]:
    exact, beyond = smallest_q(values, members)
    controls = len(values) - members
    for q in LEVELS_Q:
        rate = float((exact <= q).mean())
        least = q / 2 if smallest_count(members, controls, q) == 1 else 0.0
        good = least <= rate <= highest(q)
        print(
            f"  {members:9d}{controls:9d}{q:6.2f}{with_error(exact <= q):>18}"
            f"{with_error(beyond <= q):>18}  expected {least:.3f} to {highest(q):.4f}: "
            f"{'yes' if good else 'NO'}",
            flush=True,
        )
        yield good


def smallest_q(values: Values, members: int) -> tuple[Values, Values]:
    """Smallest q-value of each random division, exact and extrapolated."""
    rng = np.random.default_rng(0)
    exact, beyond = [], []
    for number in range(DIVISIONS):
        shuffled = rng.permutation(values)
        sides = shuffled[:members], shuffled[members:]
        exact.append(benjamini_hochberg(conformal_p(*sides)).min())
        if number < EXTRAPOLATED:
            p, _ = extrapolated_p(*map(Sample.of, sides), number)
            beyond.append(benjamini_hochberg(p).min())
    return np.array(exact), np.array(beyond)


def report_dataset(values: Values) -> Iterator[bool]:
    """The data-set p-values where half of the pool are members."""
    whole, tail, smaller = dataset_p(values)
    found = stats.kstest(whole, "uniform")
    good = bool(found.pvalue >= UNIFORM)
    print(
        f"  {'Mann-Whitney p, made uniform':32} Kolmogorov-Smirnov {found.statistic:.4f}, "
        f"p {found.pvalue:.3f}: {'yes' if good else 'NO'}"
    )
    yield good
    q = LEVELS_Q[0]
    for name, p in (("upper-tail", tail), ("data-set", smaller)):
        good = bool((p <= q).mean() <= highest(q))
        print(
            f"  {name + ' p at most .05':32} {with_error(p <= q)}, expected at most "
            f"{highest(q):.4f}: {'yes' if good else 'NO'}",
            flush=True,
        )
        yield good


def dataset_p(values: Values) -> tuple[Values, Values, Values]:
    """P-values of random halves: Mann-Whitney, made uniform, the upper tail, and the test's own.

    Without ties a permutation p takes the values 1 / (r + 1) .. 1 with equal probability.
    """
    rng = np.random.default_rng(0)
    members = len(values) // 2
    rows = []
    for number in range(DIVISIONS):
        shuffled = rng.permutation(values)
        sides = Sample.of(shuffled[:members]), Sample.of(shuffled[members:])
        test = dataset_test(*sides, PERMUTATIONS, number)
        step = rng.uniform() / (PERMUTATIONS + 1)
        rows.append((test.mann_whitney_p - step, test.tail.p_value, test.p_value))
    whole, of_tail, smaller = np.array(rows).T
    return whole, of_tail, smaller


def highest(q: float) -> float:
    return q + 2 * math.sqrt(q * (1 - q) / DIVISIONS)


def with_error(hits: NDArray[np.bool_]) -> str:
    share = float(hits.mean())
    return f"{share:.4f} +- {math.sqrt(share * (1 - share) / len(hits)):.4f}"


def full(rows: pd.DataFrame) -> pd.Series:
    return pooled_score(rows, PRIMARY)


def adaptive(rows: pd.DataFrame, fraction: float = FRACTION) -> pd.Series:
    """The score of an adaptive scan, out of the rows of a full one; no label enters."""
    first = rows[(rows["attack"] == ONE_STEP) & (rows["draw"] == 0)].assign(phase=SCREEN)
    top = rows["example_id"].isin(outstanding(first, (PRIMARY,), fraction))
    chosen = rows[top & (rows["attack"] == ODE)]
    return pooled_score(pd.concat([first, chosen], ignore_index=True), PRIMARY)


def scanned(name: str) -> pd.DataFrame:
    """Scores of a pool, one image a duplicate group; a scan begun is continued.

    Half are called controls so that the scan runs; no score depends on it.
    """
    setting, folder = settings(name), RUNS / name
    half = len(setting.pool) // 2
    write(folder / "members", setting.pool[:half])
    write(folder / "controls", setting.pool[half:])
    config = ScanConfig(
        model=setting.model,
        dataset=str(folder / "members"),
        controls=str(folder / "controls"),
        out=str(folder / "run"),
        noise=Noise(levels=3, draws=1),
        reconstruct=("ode", "one-step"),
        attacks=(NO_ATTACK,),
        embedder="sscd-distilled",
        score=("margin",),  # no matter which: the divisions pool the rows anew
        power=False,
        images=0,
        index=str(folder / "index"),
    )
    with bars() as progress:
        result = scan(config, progress)
    firsts = result.findings.groupby("group")["example_id"].min()
    return result.scores[result.scores["example_id"].isin(firsts)]


def settings(name: str) -> Setting:
    if name == "icons":
        return Setting(str(ICONS), truth("icons", "choice").never[:LARGEST])
    if name == "photos":
        everything, known = list(images("photos")), 100
    else:
        everything, known = list(clothes(200 + LARGEST)), 200
    return Setting(perfect(RUNS / name / "known", everything[:known]), everything[known:])


def perfect(folder: Path, known: list[Image]) -> str:
    """The perfect memorizer of some images."""
    write(folder, known)
    return f"{CLOSED_FORM}{folder}"


if __name__ == "__main__":
    sys.exit(main())
