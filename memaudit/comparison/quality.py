"""Quality of the runs' own images in words, and which of them may be compared."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from memaudit.comparison.finished import FinishedRun
from memaudit.similarity.quality import Quality


@dataclass(frozen=True)
class Drawing:
    """How images were drawn: what Frechet distances must share to be compared."""

    n: int
    steps: int
    sampler: str

    @classmethod
    def of(cls, quality: Quality) -> Drawing:
        """Take it from the quality of the images."""
        return cls(quality.n, quality.steps, quality.sampler)

    def __str__(self) -> str:
        return f"{self.n} images, {self.steps} steps of {self.sampler}"


def drawn_alike(runs: Sequence[FinishedRun]) -> list[FinishedRun]:
    """Runs with a Frechet distance that can be compared with that of the first that has one."""
    by_drawing = _by_drawing(runs)
    return next(iter(by_drawing.values()), [])


def _by_drawing(runs: Sequence[FinishedRun]) -> dict[Drawing, list[FinishedRun]]:
    """Each run with a Frechet distance, once."""
    found: dict[Drawing, list[FinishedRun]] = {}
    for run in dict.fromkeys(runs):
        quality = run.record.quality
        if quality is not None and quality.frechet is not None:
            found.setdefault(Drawing.of(quality), []).append(run)
    return found


def of_quality(runs: Sequence[FinishedRun]) -> list[str]:
    """Quality of each run's images, how to get it where it is missing, and what cannot be told."""
    said = [_quality(run) for run in dict.fromkeys(runs)]
    drawings = _by_drawing(runs)
    if len(drawings) > 1:
        each = "; ".join(map(str, drawings))
        said.append(
            f"these Frechet distances cannot be compared ({each}): their bias depends on the "
            "number of images, and the picture leaves out those unlike the first; give every scan "
            "the same --generate and --sampler"
        )
    return said


def _quality(run: FinishedRun) -> str:
    quality = run.record.quality
    if quality is None:
        return (
            f"{run.name}: quality unknown; give its scan command once more with --generate 500, it "
            "continues and adds it"
        )
    if quality.frechet is None:
        return f"{run.name}: quality not measured: {quality.reason}"
    few = "" if quality.n > quality.dimensions else " (biased upwards: few images)"
    return (
        f"{run.name}: Frechet distance {quality.frechet:.4g}{few} of {quality.n} images and as "
        f"many controls, kernel distance {quality.kid:.3g} (deviation {quality.kid_std:.2g}), "
        f"precision {quality.precision:.0%}, recall {quality.recall:.0%}"
    )
