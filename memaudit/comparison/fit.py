"""May two runs be compared, and what must be said of it?"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import fields

from memaudit.comparison.records import Difference
from memaudit.errors import RunDirectoryError
from memaudit.run.finished import FinishedRun
from memaudit.statistics import COPY, ONE_STEP, of_images, query_of

ENOUGH = 200  # controls from which intervals of the excess keep their level for any members
HOW = {
    "seed": "the noise of each image is drawn by it: scan with the same --seed",
    "resize": "images are not the same: scan with the same --resize",
    "resolution": "images are not the same: scan with the same --resolution",
    "embedder": "similarities are not the same measure: scan with the same --embedder",
    "embedder_digest": "the weights or the preprocessing of the embedder changed: scan both anew",
    "duplicate_threshold": "groups are not the same: scan with the same --duplicate-threshold",
    "reference": "scores are differences to it: scan both with the same --reference",
    "score": "another column was pooled: scan with the same score",
}
CAUSES = {"embedder_digest": "embedder", "score": "reference"}


def refuse_unlike(base: FinishedRun, run: FinishedRun) -> None:
    """Raise RunDirectoryError, naming each difference, if two runs are not of the same images.

    The same images, or the same files; the same seed, size, embedder and groups; a noise level and
    a reconstruction that both have.
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
    if base.fingerprint == run.fingerprint:
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
    for field in fields(base.setting):
        expected, found = getattr(base.setting, field.name), getattr(run.setting, field.name)
        unknown = field.name == "resolution" and "" in (expected, found)
        cause = CAUSES.get(field.name)  # told once, by its cause
        told = cause and getattr(base.setting, cause) != getattr(run.setting, cause)
        if expected == found or unknown or told:
            continue
        if field.name == "embedder_digest":
            yield f"the embedder changed; {HOW[field.name]}"
        elif field.name == "reference":
            yield f"reference is {run.reference}, expected {base.reference}; {HOW[field.name]}"
        else:
            name = field.name.replace("_", " ")
            yield f"{name} is {found}, expected {expected}; {HOW[field.name]}"


def _nothing_shared(base: FinishedRun, run: FinishedRun) -> Iterator[str]:
    if not set(base.sigmas) & set(run.sigmas):
        yield (
            f"no noise level is shared: found sigma {_list(run.sigmas)}, expected one of "
            f"{_list(base.sigmas)}; scan both with the same --sigma"
        )
    if not shared_reconstructions(base, run):
        yield (
            f"no reconstruction is shared: found {', '.join(run.reconstructions)}, expected one "
            f"of {', '.join(base.reconstructions)}; scan both with the same --reconstruct"
        )


def shared_reconstructions(base: FinishedRun, run: FinishedRun) -> list[str]:
    """Those that both have; of noisy copies, if the copies are the same."""
    return [
        name
        for name in base.reconstructions
        if name in run.reconstructions and (query_of(name) != COPY or base.copies == run.copies)
    ]


def remarks(base: FinishedRun, run: FinishedRun) -> list[str]:
    """What a reader of the comparison must know of it."""
    said = [
        f"{one.name} is inconclusive by itself: {'; '.join(one.reasons)}"
        for one in dict.fromkeys((base, run))
        if one.outcome == "inconclusive"
    ]
    for one, other in ((base, run), (run, base)):
        alone = [sigma for sigma in one.sigmas if sigma not in other.sigmas]
        if alone:
            said.append(f"only {one.name} has sigma {_list(alone)}: not compared")
        modes = [mode for mode in one.reconstructions if mode not in other.reconstructions]
        if modes:
            said.append(f"only {one.name} has the reconstruction {', '.join(modes)}: not compared")
    if base.copies and run.copies and base.copies != run.copies:
        said.append(
            "their noisy copies are not the same, so what they show is not compared: train with "
            "one --seed and one --sigma-n"
        )
    for field in fields(base.way):
        expected, found = getattr(base.way, field.name), getattr(run.way, field.name)
        if expected != found:
            said.append(f"{field.name} differ: {expected} in {base.name}, {found} in {run.name}; ")
            said[-1] += CONSEQUENCE.get(
                field.name, "the difference is of attack and model together"
            )
    if base.screened or run.screened:
        adaptive = " and ".join(one.name for one in dict.fromkeys((base, run)) if one.screened)
        said.append(
            f"{adaptive} scanned only part of the images in full: only images that both scanned in "
            "full are compared, which are the suspicious ones"
        )
    return said


def untold(base: FinishedRun, run: FinishedRun, reconstruction: str) -> tuple[str, ...]:
    """Names of those runs of which a reconstruction cannot say that they memorize less.

    By clean images, models of noisy data that may have memorized what was not asked for. By noisy
    copies, both where their trainings go on differently below the noise of these: sampled to its
    end, one may return the clean image where the other returns the copy.
    """
    both = dict.fromkeys((base, run))
    if query_of(reconstruction) != COPY:
        return tuple(one.name for one in both if one.untold)
    if of_images(reconstruction) == ONE_STEP or base.training == run.training:
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


CONSEQUENCE = {
    "draws": "the draws that both have are compared",
    "q": "flags here are at the base's",
}


def _list(sigmas: list[float]) -> str:
    return ", ".join(f"{sigma:.4g}" for sigma in sigmas)
