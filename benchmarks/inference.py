"""Does data-set inference keep its level, and how few images does it take?

    python benchmarks/inference.py [level|shift|power ...]
    make benchmark-models && python benchmarks/membership.py report icons &&
        python benchmarks/inference.py models icons

Features of two attacks are drawn from known laws and go through the project's own data-set
inference, as a scan's scores do, 1,000 times each. *level*: nothing was trained on and the sides
are alike: the share of p-values at most .01, .025, .05 and .1 is at most that plus two standard
errors; with few and many images, features that share most of their variance, heavy tails, ties,
photographs of eight tiles, and features that pictures tell of. *shift*: nothing was trained on and
one of 12 properties, which tells of the features, differs: the share that would be taken for
training is printed beside that of the features as they are; no level is promised there. *power*:
how many of 100 scans see a shift that none of the features shows, and how long 999 relabellings of
2,000 images and 50 features take (expected under 5 s). About ten minutes on one core. *models*: of
trained models whose members are known, scanned by `membership.py`: members as a whole, those seen
once or twice, and images that were never seen (expected: no difference at .01), with equal weights,
learned ones, and both.
"""

from __future__ import annotations

import math
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
import pandas as pd
from detection import repeats_of
from membership import config_of
from models import KINDS, truth
from numpy.typing import NDArray

from memaudit.attacks.reconstruction import ODE
from memaudit.audit.calibration import options_of, read_scores
from memaudit.records import CLEAN, FULL, Column, Primary
from memaudit.run.directory import RunDirectory
from memaudit.statistics.conduct import Calibrated
from memaudit.statistics.contrast import Units, contrast
from memaudit.statistics.entities import calibrating
from memaudit.statistics.findings import calibrate
from memaudit.statistics.inference import LEVEL, Inference, infer
from memaudit.statistics.options import Options

LEVELS = (0.01, 0.025, 0.05, 0.1)
DIVISIONS = 1000
MARGIN, LOSS = Column("margin", ""), Column("loss", "", higher=False)
OPTIONS = Options(Primary(ODE, (MARGIN,)), (), (Primary("loss", (LOSS,)),), rounds=499)
SEEN = 12  # properties of a picture
LIMIT = 5.0  # seconds
Values = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Drawn:
    """Features [n, d], half of them of either attack; the first `members` are members.

    `seen` [n, SEEN] is what pictures show, `cluster` [n] the number of what was divided.
    """

    values: Values
    members: int
    seen: Values | None = None
    cluster: NDArray[np.int64] | None = None


Law = Callable[[np.random.Generator], Drawn]


def main() -> int:
    parts = {"level": level, "shift": shift, "power": power}
    if sys.argv[1:2] == ["models"]:
        return 0 if all(one for kind in sys.argv[2:] or KINDS for one in models(kind)) else 1
    good = [one for name in sys.argv[1:] or parts for one in parts[name]()]
    return 0 if all(good) else 1


def level() -> Iterator[bool]:
    """The sides are alike."""
    print(f"{'':44}" + "".join(f"{f'p <= {one:g}':>10}" for one in LEVELS))
    for name, law in laws().items():
        found = [inferred(law(np.random.default_rng(k)), k).p_value for k in range(DIVISIONS)]
        shares = [float(np.mean(np.array(found) <= one)) for one in LEVELS]
        good = all(share <= highest(one) for share, one in zip(shares, LEVELS, strict=True))
        print(f"{name:44}" + "".join(f"{one:10.3f}" for one in shares) + f"   {yes(good)}")
        sys.stdout.flush()
        yield good
    print(f"{'at most':44}" + "".join(f"{highest(one):10.3f}" for one in LEVELS))


def laws() -> dict[str, Law]:
    return {
        "20 / 20, 40 features": lambda rng: Drawn(correlated(rng, 40, 40), 20),
        "60 / 60, 8 features": lambda rng: Drawn(correlated(rng, 120, 8), 60),
        "40 / 149, 12 features, alike by .9": lambda rng: Drawn(correlated(rng, 189, 12, 0.9), 40),
        "60 / 60, 8 features, heavy tails": lambda rng: Drawn(rng.standard_cauchy((120, 8)), 60),
        "60 / 60, 8 features, three values": lambda rng: Drawn(correlated(rng, 120, 8).round(), 60),
        "500 / 100, 12 features": lambda rng: Drawn(correlated(rng, 600, 12), 500),
        "30 / 30 photographs of 8 tiles, 8 features": photographs,
        "60 / 60, 8 features, seen in pictures": lambda rng: pictured(rng, 60, 60, 0.0),
    }


def shift() -> Iterator[bool]:
    """The sides differ in a property that tells of the features."""
    print(f"\n{'p <= .01':44}{'as they are':>14}{'inference':>12}{'no statement':>14}")
    for size in (0.2, 0.4):
        for n, m in ((40, 150), (200, 200), (600, 600)):
            rows = []
            for k in range(100):
                drawn = pictured(np.random.default_rng(k), n, m, size)
                raw, told = inferred(Drawn(drawn.values, n), k), inferred(drawn, k)
                rows.append((raw.differs, told.differs and not told.shifted, told.shifted))
            shares = np.mean(rows, axis=0)
            name = f"{size:g} standard deviations, {n} / {m}"
            print(f"{name:44}{shares[0]:14.2f}{shares[1]:12.2f}{shares[2]:14.2f}", flush=True)
    yield True


def power() -> Iterator[bool]:
    """A shift of .2 in three of eight features that share .8 of their variance."""
    for n in (20, 60, 120, 200):
        found = []
        for k in range(100):
            rng = np.random.default_rng(k)
            values = correlated(rng, 2 * n, 8, 0.8)
            values[:n, :3] += 0.2
            found.append(inferred(Drawn(values, n), k))
        seen = np.mean([one.p_value <= LEVEL for one in found])
        aucs = np.mean([one.learned.auc for one in found])
        print(
            f"\n{n} / {n}, weak in three of eight: seen in {seen:.2f}, mean AUC {aucs:.2f}", end=""
        )
    rng = np.random.default_rng(0)
    units = Units(correlated(rng, 2000, 50), np.arange(2000) < 1000, rng.permutation(2000))
    start = time.perf_counter()
    contrast(units, 999, 0)
    seconds = time.perf_counter() - start
    print(f"\n2,000 images, 50 features, 999 relabellings: {seconds:.2f} s (expected < {LIMIT:g})")
    yield seconds < LIMIT


def models(kind: str) -> Iterator[bool]:
    """Members of a trained model by how often it saw them, against the same controls."""
    run = RunDirectory.at(config_of(kind, "report").execution.out)
    record, repeats = run.record(), repeats_of(truth(kind, "report"))
    options = options_of(record.prepared, record.config.calibration, 0)
    scores, pool = read_scores(run, record).table, run.pool()
    sets = {"all members": range(1, 65), "seen once or twice": (1, 2), "never seen": (0,)}
    print(
        f"\n{kind:24}{'members':>9}{'equal p':>11}{'learned p':>11}{'p':>11}{'AUC':>7}{'enough':>8}"
    )
    for name, times in sets.items():
        others = (pool["split"] == "member") & ~pool["example_id"].map(repeats).isin(times)
        some = pool.assign(left_out=np.where(others, "of another set", ""))
        found = infer(calibrate(scores, some.drop(columns="error"), options), options)
        assert found is not None
        p_values = (found.equal.p_value, found.learned.p_value, found.p_value)
        said = f"{found.members:9}" + "".join(f"{one:11.4f}" for one in p_values)
        best = max(found.equal.auc, found.learned.auc)
        print(f"{name:24}{said}{best:7.3f}{found.enough!s:>8}", flush=True)
        yield name != "never seen" or not found.differs


def correlated(rng: np.random.Generator, n: int, d: int, share: float = 0.5) -> Values:
    common, own = rng.normal(size=(n, 1)), rng.normal(size=(n, d))
    return math.sqrt(share) * common + math.sqrt(1 - share) * own


def photographs(rng: np.random.Generator) -> Drawn:
    of = np.repeat(np.arange(60), 8)
    values = correlated(rng, 60, 8)[of] + 0.7 * correlated(rng, 480, 8)
    return Drawn(values, 240, cluster=of)


def pictured(rng: np.random.Generator, n: int, m: int, size: float) -> Drawn:
    """Features of which a property tells a quarter, and by which members may differ."""
    seen = rng.normal(size=(n + m, SEEN))
    seen[:n, 0] += size
    return Drawn(0.5 * seen[:, :1] + math.sqrt(0.75) * correlated(rng, n + m, 8, 0.6), n, seen)


def inferred(drawn: Drawn, seed: int) -> Inference:
    """What a scan says of such features."""
    n, d = drawn.values.shape
    ids = np.array([f"{k:06}" for k in range(n)])
    halves = (drawn.values[:, : d // 2], -drawn.values[:, d // 2 :])
    named = ((ODE, "margin"), ("loss", "loss"))
    scores = pd.concat(
        [
            rows(ids, attack, column, one)
            for (attack, column), one in zip(named, halves, strict=True)
        ],
        ignore_index=True,
    )
    pool = pd.DataFrame(
        {
            "example_id": ids,
            "split": np.where(np.arange(n) < drawn.members, "member", "control"),
            "source": ids,
            "prompt": "",
            "group": np.arange(n),
            "representative": True,
            "spans": False,
            "cluster": "" if drawn.cluster is None else [f"photograph {k}" for k in drawn.cluster],
            "left_out": "",
        }
    )
    if drawn.seen is not None:
        pool = pool.assign(**{f"look_{k:02}": one for k, one in enumerate(drawn.seen.T)})
    none = pd.DataFrame()
    sides = calibrating(pool, pd.Index(ids))
    options = Options(OPTIONS.primary, (), OPTIONS.others, rounds=OPTIONS.rounds, seed=seed)
    found = infer(Calibrated(none, scores, pool, sides, none, none, None), options)
    assert found is not None
    return found


def rows(ids: NDArray[np.str_], attack: str, column: str, values: Values) -> pd.DataFrame:
    """Each feature is a noise level."""
    n, d = values.shape
    keys = {"attack": attack, "input": CLEAN, "phase": FULL, "draw": 0, "snr_db": 0.0}
    told = {"example_id": np.repeat(ids, d), "level": np.tile(np.arange(1.0, d + 1), n)}
    return pd.DataFrame({**told, **keys, column: values.ravel()})


def highest(share: float) -> float:
    return share + 2 * math.sqrt(share * (1 - share) / DIVISIONS)


def yes(good: bool) -> str:
    return "yes" if good else "NO"


if __name__ == "__main__":
    sys.exit(main())
