"""Does a scan find what is known to be memorized, and nothing else?

    make benchmark-models && python benchmarks/detection.py [choice|report [photos|icons]]

Two kinds of images; of each a model trained on members repeated 1 to 64 times. The data set under
audit holds these members and 50 images that the model never saw (repeats 0, whatever is flagged of
them is false); the controls are 400 others. Choices (score, combination) are made on the `choice`
models; `report`, the default, prints the other two. Budget: about 25 minutes a model on a core.
Expected on the report models, with the default score: TPR at 1 % FPR of at least .90 for images
repeated 64 times; false flags at q = .05 at most 10 % of all flags.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
from calibration import PRIMARY
from candidates import COLUMNS, COMBINATIONS, SUMS, by
from kinds import write
from models import KINDS, MODELS, Truth, truth

from memaudit.audit import ScanResult, scan
from memaudit.cli.progress import bars
from memaudit.config import MEMBERSHIP, NO_ATTACK, Noise, ScanConfig
from memaudit.data import image_id
from memaudit.statistics.adaptive import pooled_score
from memaudit.statistics.effects import auc

RUNS = Path(__file__).parent / "data" / "detection"
DECOYS = 50
CONTROLS = {"photos": 400, "icons": 400, "clothes": 2000}
FEW = 1000  # controls, below which nothing can be said of .1 % false positives
ONE, FOUR = Noise(levels=3, draws=1), Noise(levels=3, draws=4)
VARIANTS = {  # embedder, modes of reconstruction, noise
    "choice": ("sscd-distilled", ("ode",), Noise(draws=2)),
    "report": ("sscd-distilled", ("ode",), FOUR),
    "other modes": ("sscd-distilled", ("sample", "one-step"), ONE),
    "sscd": ("sscd", ("ode",), ONE),
    "pixels": ("pixels", ("ode",), ONE),
    "default": ("sscd-distilled", ("ode",), Noise()),  # with what membership rests on
    "adaptive": ("sscd-distilled", ("ode",), Noise()),
}
BEST = 10  # sums of columns that are printed
LEAST_FOUND, MOST_FALSE = 0.90, 0.10


def main() -> int:
    role, *kinds = sys.argv[1:] or ["report"]
    verdicts = [report(kind, role) for kind in kinds or KINDS]
    return 0 if all(verdicts) else 1


def report(kind: str, role: str) -> bool:
    known = truth(kind, role)
    repeats = repeats_of(known)
    result = scanned(kind, role, role, known)
    print(f"\n=== {kind}, {role} model")
    default = pooled_score(result.scores, PRIMARY)
    table = result.findings
    shares = rates(default, repeats)
    print_row("default score", shares)
    print("by score, all levels and draws of the ODE")
    for column in COLUMNS:
        print_row(column, rates(pooled_score(result.scores, by(column)), repeats))
    print(f"by sum of columns, the best {BEST} of {len(SUMS)}")
    sums = {
        "+".join(names): rates(pooled_score(result.scores, by(*names)), repeats) for names in SUMS
    }
    for name in sorted(sums, key=lambda name: -sums[name]["all"])[:BEST]:
        print_row(name, sums[name])
    print("by combination of levels and draws")
    for name, combination in COMBINATIONS.items():
        print_row(name, rates(combination(result.scores, repeats), repeats))
    print("by noise level, default score")
    for sigma, rows in result.scores.groupby("level"):
        print_row(f"sigma {sigma:.4g}", rates(pooled_score(rows, PRIMARY), repeats))
    if role == "report":
        print("by number of draws, default score")
        for draws in (1, 2, 4):
            rows = result.scores[result.scores["draw"] < draws]
            print_row(f"{draws} draws", rates(pooled_score(rows, PRIMARY), repeats))
        print("adaptive, with all defaults, against a scan in full")
        for said in against_full(kind, role, known):
            print(f"  {said}")
        print("by attack and by embedder, one draw")
        for name, score in variants(kind, role, known):
            print_row(name, rates(score, repeats))
    return judge(table, repeats, shares)


def variants(kind: str, role: str, known: Truth) -> Iterator[tuple[str, pd.Series]]:
    """The default score of other attacks, and of other embedders."""
    ode = scanned(kind, role, "report", known).scores
    yield f"{PRIMARY.attack}, sscd-distilled", pooled_score(ode[ode["draw"] < 1], PRIMARY)
    others = scanned(kind, role, "other modes", known).scores
    for attack in sorted(others["attack"].unique()):
        yield attack, pooled_score(others, replace(PRIMARY, attack=attack))
    for embedder in ("sscd", "pixels"):
        yield embedder, pooled_score(scanned(kind, role, embedder, known).scores, PRIMARY)


def against_full(kind: str, role: str, known: Truth) -> Iterator[str]:
    """What an adaptive scan finds of what the scan in full does, and at what cost."""
    full, part = (scanned(kind, role, variant, known) for variant in ("default", "adaptive"))
    effort = part.summary.conduct.effort
    assert effort is not None
    yield f"{effort.saved:.1f} times fewer evaluations, {effort.promoted} images reconstructed"
    before, after = (
        one.findings[one.findings["split"] == "member"].set_index("example_id")
        for one in (full, part)
    )
    for name in ("membership_flagged", "reproduction_flagged"):
        yield kept(name, before[name], after[name].reindex(before.index))
    both = (table["claim"] == "reproduction" for table in (before, after))
    yield kept("called reproductions", *both)


def kept(name: str, before: pd.Series, after: pd.Series) -> str:
    after = after.reindex(before.index)
    return f"{name}: {before.sum()} in full, {(before & after).sum()} of them kept; {after.sum()}"


def judge(table: pd.DataFrame, repeats: pd.Series, shares: dict[str, float]) -> bool:
    """Print what is flagged by repeats, with the share of false flags."""
    members = table[table["split"] == "member"].assign(
        repeats=lambda rows: rows["example_id"].map(repeats)
    )
    flagged = members.groupby("repeats")["flagged"].agg(["sum", "count"])
    extra = members.groupby("repeats")["flagged_extrapolated"].sum()
    for times, (found, count) in flagged.iterrows():
        flags = f"{found:3} of {count:3}; extrapolated {extra[times]:3}"
        print(f"  flagged, {times:2} repeats: {flags}")
    false = flagged.loc[0, "sum"] / max(1, flagged["sum"].sum())
    good = shares["64"] >= LEAST_FOUND and false <= MOST_FALSE
    print(f"  false flags {false:.1%} of all (expected at most {MOST_FALSE:.0%})")
    print(f"  as expected: {'yes' if good else 'NO'}")
    return good


def rates(score: pd.Series, repeats: pd.Series) -> dict[str, float]:
    """TPR at 1 % FPR (threshold: the controls' 99th percentile), by repeats, and AUC.

    Of many controls also that of all members at .1 %.
    """
    times = repeats.reindex(score.index)
    controls = score[times.isna()].to_numpy()
    threshold = np.quantile(controls, 0.99, method="higher")
    found = {str(r): float((score[times == r] > threshold).mean()) for r in sorted(set(repeats))}
    members = score[times > 0].to_numpy()
    found["all"] = float((members > threshold).mean())
    if len(controls) >= FEW:
        rarer = np.quantile(controls, 0.999, method="higher")
        found["at .1 %"] = float((members > rarer).mean())
    return {**found, "AUC": auc(members, controls)}


def print_row(name: str, shares: dict[str, float]) -> None:
    if not print_row.__dict__.get("headed"):
        print(f"  {'TPR at 1 % FPR by repeats':42}" + "".join(f"{key:>7}" for key in shares))
        print_row.__dict__["headed"] = True
    print(f"  {name:42}" + "".join(f"{value:7.3f}" for value in shares.values()), flush=True)


def repeats_of(known: Truth) -> pd.Series:
    """How often each image of the data set was trained on, by id; controls are not in it."""
    by_id = {image_id(image): r for r, images in known.members.items() for image in images}
    by_id |= {image_id(image): 0 for image in known.never[:DECOYS]}
    return pd.Series(by_id)


def scanned(kind: str, role: str, variant: str, known: Truth) -> ScanResult:
    """Scan, or continue, one variant of a model's audit."""
    config = scan_config(kind, role, variant)
    write_sides(kind, role, known)
    with bars() as progress:
        return scan(config, progress)


def write_sides(kind: str, role: str, known: Truth) -> None:
    """Write the data set and its controls, if they are not there."""
    folder = RUNS / f"{kind}-{role}"
    members = [image for images in known.members.values() for image in images]
    write(folder / "members", members + known.never[:DECOYS])
    write(folder / "controls", known.never[DECOYS : DECOYS + CONTROLS[kind]])


def scan_config(kind: str, role: str, variant: str) -> ScanConfig:
    folder = RUNS / f"{kind}-{role}"
    embedder, reconstruct, noise = VARIANTS[variant]
    return ScanConfig(
        model=str(MODELS / f"{kind}-{role}"),
        dataset=str(folder / "members"),
        controls=str(folder / "controls"),
        out=str(folder / variant),
        attacks=(MEMBERSHIP,) if variant in ("default", "adaptive") else (NO_ATTACK,),
        adaptive=variant == "adaptive",
        embedder=embedder,
        reconstruct=reconstruct,
        noise=noise,
        power=False,
        images=0,
    )


if __name__ == "__main__":
    sys.exit(main())
