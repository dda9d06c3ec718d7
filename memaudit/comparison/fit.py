"""May two runs be compared?"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass

from memaudit.attacks.reconstruction import PREFERRED
from memaudit.comparison.finished import FinishedRun
from memaudit.config import NOISE_AND_MASK, OBJECT, RESTORATIONS
from memaudit.errors import RunDirectoryError
from memaudit.records import COPY
from memaudit.statistics.probes import Probe


@dataclass(frozen=True, eq=False)
class Shared:
    """What two runs must share, where a run's record holds it, and what to do where it differs.

    People read `shown` in its place, where given. A difference is told by its `cause` alone, where
    that differs too. `of` are the attacks that heed it, where not all do.
    """

    name: str
    held: Callable[[FinishedRun], object]
    advice: str
    shown: Callable[[FinishedRun], object] | None = None
    cause: Shared | None = None
    of: frozenset[str] = frozenset()

    def differs(self, base: FinishedRun, run: FinishedRun) -> bool:
        """Whether they do not share it, and an attack that both have heeds it."""
        heeded = not self.of or self.of & base.attacks & run.attacks
        return bool(heeded) and self.held(base) != self.held(run)

    def told(self, base: FinishedRun, run: FinishedRun) -> str:
        """Say how they differ."""
        expected, found = (str((self.shown or self.held)(one)) for one in (base, run))
        if expected == found:
            return f"the {self.name} changed; {self.advice}"
        return f"{self.name} is {found}, expected {expected}; {self.advice}"


COVERED = frozenset({RESTORATIONS[NOISE_AND_MASK]})
OBJECTS = frozenset({RESTORATIONS[OBJECT]})


def _reference(run: FinishedRun) -> str:
    found = run.record.prepared.reference
    return (found.model.digest if found else "") or "none"


def _box_files(run: FinishedRun) -> str:
    found = run.record.prepared.boxes
    return ", ".join(found.files) if found else "none"


def _limits(run: FinishedRun) -> str:
    asked = run.record.config.attack.restoration
    return f"{asked.smallest:g} to {asked.largest:g}"


EMBEDDER = Shared(
    "embedder",
    lambda run: run.record.prepared.embedder.name,
    "similarities are not the same measure: scan with the same --embedder",
)
REFERENCE = Shared(
    "reference",
    _reference,
    "scores are differences to it: scan both with the same --reference",
    shown=lambda run: run.record.config.attack.reference or "none",
)
SETTING = (
    Shared(
        "seed",
        lambda run: run.record.config.attack.seed,
        "the noise of each image is drawn by it: scan with the same --seed",
    ),
    Shared(
        "resize",
        lambda run: run.record.config.data.resize,
        "images are not the same: scan with the same --resize",
    ),
    Shared(
        "alpha",
        lambda run: run.record.config.data.alpha,
        "images are not the same: scan with the same --alpha",
    ),
    Shared(
        "resolution",
        lambda run: run.record.prepared.data.resolution,
        "images are not the same: scan with the same --resolution",
    ),
    EMBEDDER,
    Shared(
        "embedder",
        lambda run: run.record.prepared.embedder.digest,
        "the weights or the preprocessing of the embedder changed: scan both anew",
        shown=EMBEDDER.held,
        cause=EMBEDDER,
    ),
    Shared(
        "duplicate threshold",
        lambda run: run.record.config.data.duplicate_threshold,
        "groups are not the same: scan with the same --duplicate-threshold",
    ),
    Shared(
        "clusters",
        lambda run: run.record.config.data.cluster_column or "none",
        "what counts as one is not the same: scan with the same --cluster-column",
    ),
    Shared(
        "score",
        lambda run: ", ".join(run.record.config.attack.columns),
        "other columns were pooled: scan with the same score",
        cause=REFERENCE,
    ),
    REFERENCE,
    Shared(
        "noise on what is seen",
        lambda run: run.record.config.attack.restoration.seen_sigma,
        "what was left to see is not the same: scan with the same --seen-sigma",
        of=frozenset(RESTORATIONS.values()) - COVERED,
    ),
    Shared(
        "boxes",
        lambda run: run.record.prepared.boxes and run.record.prepared.boxes.digest,
        "what was hidden is not the same: scan with the same --boxes",
        shown=_box_files,
        of=OBJECTS,
    ),
    Shared(
        "limits of boxes",
        _limits,
        "what was hidden is not the same: scan with the same --smallest-box and --largest-box",
        of=OBJECTS,
    ),
    Shared(
        "strength of inpainting",
        lambda run: run.record.config.attack.restoration.strength,
        "one sees more of what is hidden: scan with the same --inpainting-strength",
        of=frozenset(RESTORATIONS.values()) - COVERED,
    ),
    Shared(
        "noise of noise+mask",
        lambda run: run.record.config.attack.restoration.masked_sigma,
        "what was left to see is not the same: scan with the same --masked-sigma",
        of=COVERED,
    ),
)


def refuse_unlike(base: FinishedRun, run: FinishedRun) -> None:
    """Raise RunDirectoryError, naming each difference, if two runs are not of the same images.

    The same images, or the same files; the same seed, size, embedder and groups; a noise level and
    an attack that both have.
    """
    differences = [
        *_other_images(base, run),
        *_other_setting(base, run),
        *_nothing_shared(base, run),
    ]
    if differences:
        raise RunDirectoryError(
            f"{run.name} cannot be compared with {base.name}: {'; '.join(differences)}"
        )


def _other_images(base: FinishedRun, run: FinishedRun) -> Iterator[str]:
    if base.record.prepared.data.fingerprint == run.record.prepared.data.fingerprint:
        return
    ours, theirs = (
        set(one.findings[["split", "example_id"]].itertuples(index=False)) for one in (base, run)
    )
    if ours != theirs:
        yield (
            f"the data differ: found {len(theirs)} different images, expected the base's "
            f"{len(ours)}, {len(ours & theirs)} of them shared on the same side; scan both with "
            "the same members and controls"
        )


def _other_setting(base: FinishedRun, run: FinishedRun) -> Iterator[str]:
    for one in SETTING:
        by_cause = one.cause is not None and one.cause.differs(base, run)
        if one.differs(base, run) and not by_cause:
            yield one.told(base, run)


def _nothing_shared(base: FinishedRun, run: FinishedRun) -> Iterator[str]:
    asked = [attack for attack in both_asked(base, run) if attack in PREFERRED]
    if not asked:
        yield (
            f"no attack is shared: found {labels(run.probes)}, expected one of "
            f"{labels(base.probes)}; scan both with the same --reconstruct or --corruption"
        )
    elif not any(shared_levels(base, run, attack) for attack in asked):
        ours, theirs = (
            sorted({level for attack in asked for level in one.levels_of(attack)})
            for one in (base, run)
        )
        yield (
            f"no level is shared: found {listed(theirs)}, expected one of {listed(ours)}; scan "
            "both with the same --sigma or --corruption"
        )


def both_asked(base: FinishedRun, run: FinishedRun) -> list[str]:
    """The attacks by which both asked, at whatever levels."""
    return sorted(base.attacks & run.attacks)


def shared_levels(base: FinishedRun, run: FinishedRun, attack: str) -> set[float]:
    """The levels at which both asked by an attack."""
    return set(base.levels_of(attack)) & set(run.levels_of(attack))


def shared_probes(base: FinishedRun, run: FinishedRun) -> list[Probe]:
    """Those that both have; of noisy copies, if the copies are the same and carry a verdict.

    An attack on membership averages its draws, so that both must have as many.
    """
    same_copies = base.copies is not None and base.copies == run.copies
    draws = {one.record.config.attack.noise.weak_draws for one in (base, run)}
    return [
        probe
        for probe in base.probes
        if probe in run.probes
        and (probe.input != COPY or same_copies)
        and (probe.attack in PREFERRED or len(draws) == 1)
        and shared_levels(base, run, probe.attack)
    ]


def listed(sigmas: Iterable[float]) -> str:
    """Noise levels, as people read them."""
    return ", ".join(f"{sigma:.4g}" for sigma in sigmas)


def labels(probes: Iterable[Probe]) -> str:
    """What a model was asked, as people read it."""
    return ", ".join(probe.label for probe in probes)
