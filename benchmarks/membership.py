"""Which attack on membership finds images that a model saw once, twice, ... 64 times?

    make benchmark-models && python benchmarks/membership.py [choice|report [photos|icons]]

The models, data sets and controls of `detection.py`, whose default score of reconstructions is the
one to be beaten. Each attack is scored by its primary columns over its four weak levels, and by
each level alone; sums of attacks are standardised without looking at who is a member. Choices are
made on the `choice` models. Budget: about ten minutes a model on a core. Expected on the report
models: some attack on membership finds, at 1 % false positives, at least half of the images
repeated 64 times.
"""

from __future__ import annotations

import sys
from dataclasses import replace
from itertools import combinations

import pandas as pd
from detection import CONTROLS, DECOYS, RUNS, print_row, rates, repeats_of, scan_config
from kinds import write
from models import KINDS, truth

from memaudit.attacks.base import Grid, Grids
from memaudit.attacks.passes import full_passes, pooled
from memaudit.attacks.registry import load_attack
from memaudit.audit import scan
from memaudit.cli.progress import bars
from memaudit.config import Corruption, ScanConfig
from memaudit.statistics.combine import combine, standardise

ATTACKS = (
    "residual-correlation",
    "mean-residual",
    "denoising-loss",
    "sima",
    "pia",
    "pian",
    "secmi",
)
SUMMED = ("residual-correlation", "mean-residual", "sima")
LEAST_FOUND = 0.5


def main() -> int:
    role, *kinds = sys.argv[1:] or ["report"]
    found = [report(kind, role) for kind in kinds or KINDS]
    return 0 if all(found) else 1


def report(kind: str, role: str) -> bool:
    config = config_of(kind, role)
    known = truth(kind, role)
    members = [image for images in known.members.values() for image in images]
    write(RUNS / f"{kind}-{role}" / "members", members + known.never[:DECOYS])
    write(RUNS / f"{kind}-{role}" / "controls", known.never[DECOYS : DECOYS + CONTROLS])
    with bars() as progress:
        scores = scan(config, progress).scores
    repeats = repeats_of(known)
    weak = tuple(sorted(scores.loc[scores["attack"] == ATTACKS[0], "sigma"].unique()))
    print(f"\n=== {kind}, {role} model, sigma {', '.join(map(str, weak))}")
    grids = Grids(Grid((1.0,)), Grid(weak))
    calls = {p.attack.name: p.cost.evaluations for p in full_passes(config.attack, grids)}
    totals = {name: score_of(name, scores, config) for name in ATTACKS}
    shares = {name: rates(total, repeats) for name, total in totals.items()}
    for name in ATTACKS:
        print_row(f"{name} ({calls[name]} calls)", shares[name])
    for one, other in combinations(SUMMED, 2):
        print_row(f"{one} + {other}", rates(together(totals[one], totals[other]), repeats))
    for name in ATTACKS:
        for sigma in weak:
            rows = scores[scores["sigma"] == sigma]
            print_row(f"{name}, sigma {sigma:g}", rates(score_of(name, rows, config), repeats))
    return max(found["64"] for found in shares.values()) >= LEAST_FOUND


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
        corruption=Corruption(levels=1, draws=1),
        steps=1,
        attacks=ATTACKS,
    )


if __name__ == "__main__":
    sys.exit(main())
