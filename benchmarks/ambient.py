"""Does training on noisy copies only memorize less than training on clean images?

    python benchmarks/ambient.py [photos|icons]            trains, audits, compares
    python benchmarks/ambient.py --table [photos|icons]    the table of what is finished

Two kinds of images, 24 members and 200 controls. Clean, ambient and ambient-mixed training with
three seeds, ambient with the consistency term, masks and SURE with one: the same network, the same
steps of the same batches. Each model is audited with full sampling and one step, of clean images
and of noisy copies, and compared with the clean model of its seed by clean images, with the
ambient model of its seed by their noisy copies (of full sampling that is not told: the trainings
differ below sigma_n); 200 images of its own are compared with the controls. Budget: about three
hours a kind on one core, of which consistency and SURE take 40 minutes; interrupted it goes on, and
seed 0 comes first. Expected: no method brings clean images back more closely than clean training.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pandas as pd
from kinds import DATA, images, write

from memaudit.attacks.reconstruction import ODE
from memaudit.audit import ScanResult, scan
from memaudit.cli.progress import bars
from memaudit.comparison import ComparisonResult, compare
from memaudit.config import (
    CalibrationConfig,
    CompareConfig,
    Consistency,
    Mask,
    Noise,
    ScanConfig,
    TrainConfig,
)
from memaudit.errors import MisreadModelError
from memaudit.records import CLEAN, COPY, Input
from memaudit.statistics.combine import input_scores
from memaudit.statistics.conformal import benjamini_hochberg, conformal_p
from memaudit.statistics.effects import excess_interval
from memaudit.statistics.findings import calibrates
from memaudit.statistics.roc import roc_points
from memaudit.statistics.sample import Sample
from memaudit.train.loop import train

FOLDER = DATA / "ambient"
UNCHECKED = "unchecked"  # the scan of a model that the self-check refuses
KINDS = ("photos", "icons")
MEMBERS, CONTROLS, GENERATED = 24, 200, 200
STEPS = 2000
SIGMA_N = 0.4
SIGMAS = (0.6, 2.0, 7.0)  # all above sigma_n, so that every model has them


@dataclass(frozen=True)
class Method:
    """A way to train, and how many models are trained so."""

    options: dict[str, Any]
    seeds: int = 1


METHODS = {
    "clean": Method({"loss": "clean"}, 3),
    "ambient": Method({"loss": "ambient", "sigma_n": SIGMA_N}, 3),
    "ambient-mixed": Method({"loss": "ambient-mixed", "sigma_n": SIGMA_N}, 3),
    "consistency": Method(
        {"loss": "ambient", "sigma_n": SIGMA_N, "consistency": Consistency(1.0, STEPS // 2)}
    ),
    "ambient-mask": Method({"loss": "ambient-mask", "mask": Mask("pixels", 0.2)}),
    "sure": Method({"loss": "sure", "sigma_n": SIGMA_N}),
}
SEEDS = max(method.seeds for method in METHODS.values())


def main() -> int:
    only_table = "--table" in sys.argv
    kinds = [kind for kind in sys.argv[1:] if kind in KINDS] or KINDS
    for kind in [] if only_table else kinds:
        for seed in range(SEEDS):
            for name in of_seed(seed):
                audit(kind, name, seed)
    verdicts = [verdict for kind in kinds for verdict in table(kind)]
    return 0 if verdicts and all(verdicts) else 1


def of_seed(seed: int) -> list[str]:
    """The methods that have a model of this seed."""
    return [name for name, method in METHODS.items() if seed < method.seeds]


def audit(kind: str, name: str, seed: int) -> ScanResult:
    """Train a model, or find it trained; scan it, or continue."""
    everything = images(kind)
    members, controls = FOLDER / kind / "members", FOLDER / kind / "controls"
    write(members, list(everything[:MEMBERS]))
    write(controls, list(everything[MEMBERS : MEMBERS + CONTROLS]))
    model = place(kind, name, seed) / "model"
    if not (model / "model_index.json").is_file():
        with bars() as progress:
            train(
                TrainConfig(
                    dataset=str(members),
                    out=str(model),
                    steps=STEPS,
                    ema=0.995,  # of a short training: the average forgets where it began
                    seed=seed,
                    **METHODS[name].options,
                ),
                progress,
            )
    config = ScanConfig(
        model=str(model),
        dataset=str(members),
        controls=str(controls),
        out=str(place(kind, name, seed) / "scan"),
        noise=Noise(sigmas=SIGMAS, draws=2),
        reconstruct=("ode", "one-step"),
        embedder="sscd-distilled",
        power=False,
        images=10,
        generate=GENERATED,
    )
    unchecked = place(kind, name, seed) / UNCHECKED
    with bars() as progress:
        if not unchecked.is_dir():
            try:
                return scan(config, progress)
            except MisreadModelError as error:
                print(f"{kind}, {name}, seed {seed}: {error}")
        return scan(replace(config, self_check=False, out=str(unchecked)), progress)


def place(kind: str, name: str, seed: int) -> Path:
    return FOLDER / kind / f"{name}-{seed}"


def run_of(kind: str, name: str, seed: int) -> Path:
    """The scan of a model; that without the self-check if it was refused."""
    folder = place(kind, name, seed)
    return folder / (UNCHECKED if (folder / UNCHECKED).is_dir() else "scan")


def table(kind: str) -> Iterator[bool]:
    """Print what is finished; -> for each model whether clean images show no more than of clean."""
    planned = [(name, seed) for seed in range(SEEDS) for name in of_seed(seed)]
    done = [one for one in planned if (run_of(kind, *one) / "scan.json").is_file()]
    print(f"\n=== {kind}: {MEMBERS} members, {CONTROLS} controls, {STEPS} steps, sigma_n {SIGMA_N}")
    print(
        f"{'model':18}{'input, claim':28}{'flagged':>8}{'excess (95 %)':>26}{'TPR at 1 %':>11}"
        f"{'FPR':>6}{'Frechet':>9}"
    )
    for name, seed in done:
        result = audit(kind, name, seed)
        quality = result.quality
        frechet = "-" if quality is None or quality.frechet is None else f"{quality.frechet:.3f}"
        for what, score in by_input(result):
            print(f"{name + ' ' + str(seed):18}{what:28}{measures(score, result)}{frechet:>9}")
        print(f"{'':18}{result.summary.verdict.outcome}, {result.summary.flagged.groups} flagged")
    for seed in range(SEEDS):
        there = [name for name, s in done if s == seed]
        for base, what in (("clean", CLEAN), ("ambient", COPY)):
            others = [name for name in there if name not in ("clean", base)]
            if base in there and others:
                runs = tuple(str(run_of(kind, name, seed)) for name in (base, *others))
                out = FOLDER / kind / f"comparison-{base}-{seed}"
                print(f"\nby the {what}, against the {base} model of seed {seed}")
                yield from no_more(compare(CompareConfig(runs, str(out))), what)


def by_input(result: ScanResult) -> Iterator[tuple[str, pd.Series]]:
    """The score of each claim, of clean images and, where there are, noisy copies."""
    for claim in result.prepared.claims:
        for what, score in input_scores(result.scores, claim).items():
            yield f"{what}, {claim.claim}", score


def measures(score: pd.Series, result: ScanResult) -> str:
    rows = result.findings[calibrates(result.findings)].set_index("example_id")
    split = rows["split"].reindex(score.index)
    chosen = (score[split == side] for side in ("member", "control"))
    members, controls = (Sample.of(one.to_numpy(dtype=float), list(one.index)) for one in chosen)
    p_values = conformal_p(members.values, controls.values)
    flagged = (benjamini_hochberg(p_values) <= CalibrationConfig.q).sum()
    excess = excess_interval(members, controls)
    point = roc_points(members, controls)[0]
    interval = f"{excess.estimate:.2f} ({excess.low:+.2f} .. {excess.high:+.2f})"
    return f"{flagged:4} / {len(members)}{interval:>26}{point.tpr:11.2f}{point.realised_fpr:6.2f}"


def no_more(compared: ComparisonResult, what: Input) -> Iterator[bool]:
    for one in compared.comparisons:
        for row in one.differences:
            if row.input == what and row.sigma is None and row.beyond_controls and row.excess:
                beyond, excess = row.beyond_controls, row.excess.difference
                print(
                    f"  {row.run:21}{row.attack:25}{row.direction:13}"
                    f"beyond controls {beyond.estimate:+.3f} ({beyond.low:+.3f} .. "
                    f"{beyond.high:+.3f}), excess {excess.estimate:+.2f} ({excess.low:+.2f} .. "
                    f"{excess.high:+.2f})"
                )
                if what == CLEAN and row.attack == ODE:
                    yield row.direction != "more"
    if what == CLEAN:
        for said in compared.report()["one_step_and_full_sampling"]:
            print(f"  {said}")


if __name__ == "__main__":
    sys.exit(main())
