"""What must be said of a comparison: what is not shared, and what it cannot tell."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import dataclass

from memaudit.attacks.passes import in_few_steps
from memaudit.attacks.reconstruction import ODE, ONE_STEP, PREFERRED, SAMPLE
from memaudit.comparison.finished import FinishedRun
from memaudit.comparison.fit import both_asked, labels, listed, shared_probes
from memaudit.comparison.records import Difference
from memaudit.config import NO_ATTACK, RECONSTRUCTIONS, RESTORATIONS, AttackConfig
from memaudit.records import COPY
from memaudit.statistics.probes import Probe
from memaudit.statistics.verdict import Outcome

ENOUGH = 200  # controls from which intervals of the excess keep their level for any members


def _captions(run: FinishedRun) -> str:
    told = run.record.prepared.captions
    return "none" if told is None else f"{told.policy} of {told.images} images"


def _done(run: FinishedRun) -> AttackConfig:
    """What was asked of images that were scanned in full."""
    asked = run.record.config.attack
    return in_few_steps(asked) if run.screened else asked


@dataclass(frozen=True, eq=False)
class Way:
    """What may differ between two runs: its name, where it is held, and what follows from it.

    `of` are the attacks that heed it; where none of them is compared, it is not told.
    """

    name: str
    held: Callable[[FinishedRun], object]
    of: Collection[str] = ()
    follows: str = "the difference is of attack and model together"


FEWER = "the draws that both have are compared"
WAYS = (
    Way("sampler", lambda run: run.record.config.attack.sampler, (ODE,)),
    Way("steps", lambda run: _done(run).steps, (ODE, SAMPLE)),
    Way("steps of hidden parts", lambda run: _done(run).restoration.steps, RESTORATIONS.values()),
    Way("draws", lambda run: _done(run).noise.draws, RECONSTRUCTIONS.values(), FEWER),
    Way(
        "draws of hidden parts",
        lambda run: _done(run).restoration.draws,
        RESTORATIONS.values(),
        FEWER,
    ),
    Way("corrections", lambda run: _done(run).restoration.corrections, RESTORATIONS.values()),
    Way("guidance", lambda run: _done(run).restoration.guidance, RESTORATIONS.values()),
    Way("dtype", lambda run: run.record.config.target.dtype),
    Way("q", lambda run: run.record.config.calibration.q, follows="flags here are at the base's"),
    Way("captions", _captions),
)
OF_MEMBERSHIP = Way(
    "draws of membership",
    lambda run: run.record.config.attack.noise.weak_draws,
    follows="what membership rests on is not compared, for it averages them",
)


def remarks(base: FinishedRun, run: FinishedRun) -> list[str]:
    """What a reader of the comparison must know of it."""
    return [
        *_inconclusive(base, run),
        *_alone(base, run),
        *_alone(run, base),
        *_left_out(base, run),
        *_other_way(base, run),
        *_in_part(base, run),
    ]


def _inconclusive(*runs: FinishedRun) -> Iterator[str]:
    for run in dict.fromkeys(runs):
        verdict = run.record.verdict
        if verdict.outcome == Outcome.INCONCLUSIVE:
            yield f"{run.name} is inconclusive by itself: {'; '.join(verdict.reasons)}"


def _alone(one: FinishedRun, other: FinishedRun) -> Iterator[str]:
    yield from dict.fromkeys(
        said for attack in both_asked(one, other) for said in _levels(one, other, attack)
    )
    probes = [probe for probe in one.probes if probe not in other.probes]
    if probes:
        yield f"only {one.name} has the attack {labels(probes)}: not compared"


def _levels(one: FinishedRun, other: FinishedRun, attack: str) -> Iterator[str]:
    """Levels that one alone has of an attack that both have."""
    theirs = other.levels_of(attack)
    levels = [level for level in one.levels_of(attack) if level not in theirs]
    if levels and attack not in PREFERRED:
        yield (
            f"only {one.name} was asked about membership at sigma {listed(levels)}: not compared; "
            "give both scans one --membership-sigma"
        )
    elif levels:
        of = f" of {attack}" if attack in RESTORATIONS.values() else ""
        yield f"only {one.name} has level {listed(levels)}{of}: not compared"


def _left_out(base: FinishedRun, run: FinishedRun) -> Iterator[str]:
    extra = dict.fromkeys(name for one in (base, run) for name in _other_attacks(one))
    if extra:
        yield (
            "reconstructions, restorations and what membership rests on are compared; the attacks "
            f"{', '.join(extra)} are left out"
        )
    if base.copies and run.copies and base.copies != run.copies:
        yield (
            "their noisy copies are not the same, so what they show is not compared: train with "
            "one --seed and one --sigma-n"
        )


def _other_attacks(run: FinishedRun) -> tuple[str, ...]:
    claims = {claim.attack for claim in run.record.prepared.claims}
    asked = run.record.config.attack.attacks
    return tuple(name for name in asked if name != NO_ATTACK and name not in claims)


def _other_way(base: FinishedRun, run: FinishedRun) -> Iterator[str]:
    compared = {probe.attack for probe in shared_probes(base, run)}
    ways = [one for one in WAYS if not one.of or compared.intersection(one.of)]
    if not set(both_asked(base, run)) <= set(PREFERRED):
        ways.append(OF_MEMBERSHIP)
    for one in ways:
        expected, found = one.held(base), one.held(run)
        if expected != found:
            yield (
                f"{one.name} differ: {expected} in {base.name}, {found} in {run.name}; "
                f"{one.follows}"
            )


def _in_part(*runs: FinishedRun) -> Iterator[str]:
    adaptive = [run.name for run in dict.fromkeys(runs) if run.screened]
    if adaptive:
        yield (
            f"{' and '.join(adaptive)} scanned only part of the images in full: only images that "
            "both scanned in full are compared. They were chosen because they stood out in one of "
            "the models, so which of the two memorizes less is not told; scan both with --full"
        )


def untold(base: FinishedRun, run: FinishedRun, probe: Probe) -> tuple[str, ...]:
    """Names of those runs of which a probe cannot say that they memorize less.

    Of an adaptive scan, either: what is paired was chosen by the answers of one of the two. By
    clean images, models of noisy data that may have memorized what was not asked for. By noisy
    copies, both where their trainings go on differently below the noise of these: sampled to its
    end, one may return the clean image where the other returns the copy.
    """
    both = dict.fromkeys((base, run))
    if base.screened or run.screened:
        return tuple(one.name for one in both)
    if probe.input != COPY:
        return tuple(one.name for one in both if one.untold)
    if probe.attack == ONE_STEP or base.training == run.training:
        return ()
    return tuple(one.name for one in both)


def few_controls(differences: Sequence[Difference]) -> Iterator[str]:
    """Say where the interval of the excess is too narrow, as simulations show."""
    counts = {(row.members, row.controls) for row in differences}
    if any(0 < controls < min(members, ENOUGH) for members, controls in counts):
        yield (
            f"fewer controls than members, and fewer than {ENOUGH}: intervals of the excess are "
            "too narrow; give more controls"
        )
