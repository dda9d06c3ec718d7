"""What must be said of a comparison: what is not shared, and what it cannot tell."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

from memaudit.attacks.passes import steps_of
from memaudit.attacks.reconstruction import ONE_STEP
from memaudit.comparison.finished import FinishedRun
from memaudit.comparison.fit import labels, listed
from memaudit.comparison.records import Difference
from memaudit.config import NO_ATTACK
from memaudit.records import COPY
from memaudit.statistics.probes import Probe
from memaudit.statistics.verdict import Outcome

ENOUGH = 200  # controls from which intervals of the excess keep their level for any members


def _captions(run: FinishedRun) -> str:
    told = run.record.prepared.captions
    return "none" if told is None else f"{told.policy} of {told.images} images"


WAY: dict[str, Callable[[FinishedRun], object]] = {
    "sampler": lambda run: run.record.config.attack.sampler,
    "steps": lambda run: steps_of(run.record.config.attack.done(adaptive=run.screened)),
    "draws": lambda run: run.record.config.attack.noise.draws,
    "draws of membership": lambda run: run.record.config.attack.noise.weak_draws,
    "draws of hidden parts": lambda run: run.record.config.attack.restoration.draws,
    "corrections": lambda run: run.record.config.attack.restoration.corrections,
    "dtype": lambda run: run.record.config.target.dtype,
    "q": lambda run: run.record.config.calibration.q,
    "captions": _captions,
}
CONSEQUENCE = {
    "draws": "the draws that both have are compared",
    "draws of hidden parts": "the draws that both have are compared",
    "draws of membership": "what membership rests on is not compared, for it averages them",
    "q": "flags here are at the base's",
}


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
    sigmas = [sigma for sigma in one.sigmas if sigma not in other.sigmas]
    if sigmas:
        yield f"only {one.name} has level {listed(sigmas)}: not compared"
    weak = [sigma for sigma in one.weak_sigmas if sigma not in other.weak_sigmas]
    if weak and other.weak_sigmas:
        yield (
            f"only {one.name} was asked about membership at sigma {listed(weak)}: not compared; "
            "give both scans one --membership-sigma"
        )
    probes = [probe for probe in one.probes if probe not in other.probes]
    if probes:
        yield f"only {one.name} has the attack {labels(probes)}: not compared"


def _left_out(base: FinishedRun, run: FinishedRun) -> Iterator[str]:
    extra = dict.fromkeys(name for one in (base, run) for name in _other_attacks(one))
    if extra:
        yield (
            "reconstructions and what membership rests on are compared; the attacks "
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
    for name, held in WAY.items():
        expected, found = held(base), held(run)
        if expected != found:
            follows = CONSEQUENCE.get(name, "the difference is of attack and model together")
            yield f"{name} differ: {expected} in {base.name}, {found} in {run.name}; {follows}"


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
