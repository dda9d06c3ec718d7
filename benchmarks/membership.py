"""Which attack on membership finds images that a model saw once, twice, ... 64 times?

    make benchmark-models && python benchmarks/membership.py [choice|report|report-1000 [KIND ...]]

The models, data sets and controls of `detection.py`, whose default score of reconstructions is the
one to be beaten. Each attack is scored by its primary columns over its weak levels, by what is
left of that when what pictures predict is taken off, and by each level alone; sums are standardised
without looking at who is a member. Choices are made on the `choice` models. Budget: about fifteen
minutes a model on a core, and those of `detection.py`. Expected: the mirrored residual has a higher
AUC than the default score of reconstructions and than every other attack by its score.
"""

from __future__ import annotations

import sys
from dataclasses import replace

import pandas as pd
from calibration import PRIMARY
from detection import RUNS, print_row, rates, repeats_of, scan_config, scanned, write_sides
from models import KINDS, truth

from memaudit.attacks.base import Grid, Grids
from memaudit.attacks.passes import full_passes, pooled
from memaudit.attacks.registry import load_attack
from memaudit.audit import scan
from memaudit.cli.progress import bars
from memaudit.config import Noise, ScanConfig
from memaudit.records import CLEAN
from memaudit.run.directory import RunDirectory
from memaudit.statistics.adaptive import pooled_score
from memaudit.statistics.combine import combine, standardise
from memaudit.statistics.entities import calibrating
from memaudit.statistics.exchangeability.check import NAMES
from memaudit.statistics.exchangeability.encoding import features
from memaudit.statistics.exchangeability.expected import expect

ATTACKS = (
    "residual-correlation",
    "mean-residual",
    "mirrored-residual",
    "denoising-loss",
    "sima",
    "pia",
    "pian",
    "secmi",
)
BEST, DEFAULT = "mirrored-residual", "default score of reconstructions"


def main() -> int:
    role, *kinds = sys.argv[1:] or ["report"]
    found = [report(kind, role) for kind in kinds or KINDS]
    return 0 if all(found) else 1


def report(kind: str, role: str) -> bool:
    config = config_of(kind, role)
    known = truth(kind, role)
    write_sides(kind, role, known)
    with bars() as progress:
        result = scan(config, progress)
    scores, repeats = result.scores, repeats_of(known)
    weak = tuple(sorted(scores.loc[scores["attack"] == BEST, "level"].unique()))
    print(f"\n=== {kind}, {role} model, sigma {', '.join(map(str, weak))}")
    grids = Grids(Grid((1.0,)), Grid(weak))
    calls = {p.attack.name: p.cost.evaluations for p in full_passes(config.attack, grids)}
    totals = {name: score_of(name, scores, config) for name in ATTACKS}
    purpose, _, _ = role.partition("-")
    totals[DEFAULT] = pooled_score(scanned(kind, role, purpose, known).scores, PRIMARY)
    shares = {name: rates(total, repeats) for name, total in totals.items()}
    pool = RunDirectory.at(config.execution.out).pool()
    for name, total in totals.items():
        print_row(f"{name} ({calls[name]} calls)" if name in calls else name, shares[name])
        print_row("  less what pictures predict", rates(left_of(total, pool), repeats))
    for name in ATTACKS:
        both = together(totals[name], totals[DEFAULT])
        print_row(f"{name} + default", rates(both, repeats))
        print_row("  less what pictures predict", rates(left_of(both, pool), repeats))
    for name in ATTACKS:
        for sigma in weak:
            rows = scores[scores["level"] == sigma]
            print_row(f"{name}, sigma {sigma:g}", rates(score_of(name, rows, config), repeats))
    return max(shares, key=lambda name: shares[name]["AUC"]) == BEST


def left_of(total: pd.Series, pool: pd.DataFrame) -> pd.Series:
    """A score less what files and embeddings of the controls predict of it."""
    readable = pool[pool["error"] == ""]
    sides = calibrating(readable, total.index)
    expected = expect(total.to_frame(CLEAN), features(readable, NAMES, captions=False), sides, 0)
    return total - expected.by_controls[CLEAN]


def score_of(name: str, scores: pd.DataFrame, config: ScanConfig) -> pd.Series:
    """The score of an attack over the levels of these rows."""
    return combine(scores[scores["attack"] == name], pooled(load_attack(name, config.attack)))


def together(one: pd.Series, other: pd.Series) -> pd.Series:
    """The sum of two scores on one scale."""
    both = pd.concat([one, other], axis=1).to_numpy(dtype=float)
    return pd.Series(standardise(both).sum(axis=1), index=one.index)


def config_of(kind: str, role: str) -> ScanConfig:
    """All attacks beside a reconstruction that is as short as can be."""
    return replace(
        scan_config(kind, role, "report"),
        out=str(RUNS / f"{kind}-{role}" / "membership"),
        noise=Noise(levels=1, draws=1),
        steps=1,
        attacks=ATTACKS,
    )


if __name__ == "__main__":
    sys.exit(main())
