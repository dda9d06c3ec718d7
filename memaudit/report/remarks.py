"""What is said of models of noisy data and of reference models, and what a scan left out."""

from __future__ import annotations

from collections.abc import Iterator

from memaudit.data import TRANSPARENT
from memaudit.report.weights_told import weights_remarks
from memaudit.run.record import BoxesRecord, Record
from memaudit.statistics.conduct import ReferenceUse
from memaudit.statistics.copies import CorrelationTest, InputResult, NoisyTraining
from memaudit.statistics.facts import small

Row = tuple[str, str]  # a name and what is said of it
ALPHAS = {
    "white": "composited on white",
    "black": "composited on black",
    "drop": "read with the colours under it",
}


def remarks(record: Record) -> Iterator[str]:
    """What people should know at once: levels left out, and an audit that is not whole."""
    yield from weights_remarks(record)
    levels, captions = record.prepared.levels, record.prepared.captions
    conduct = record.summary.conduct
    where = "the model's range" if conduct.reference is None else "the range of model or reference"
    for sigma in levels.skipped:
        yield f"sigma {sigma:g} is outside {where}: skipped"
    for sigma in levels.without_copies:
        yield f"sigma {sigma:g} is not above the noise of the noisy copies: skipped for them"
    if captions is not None and captions.policy != "empty" and not captions.images:
        yield "the model is told captions and no image has one: it was told nothing"
    boxes = record.prepared.boxes
    if boxes is not None and unnamed(boxes):
        yield (
            f"{unnamed(boxes)} of {boxes.images} images are in no file of boxes: of these a box "
            "anywhere is hidden"
        )
    if conduct.noisy is not None and conduct.noisy.advice:
        yield clean_only(conduct.noisy)
    yield from _changed(record)


def _changed(record: Record) -> Iterator[str]:
    """What of the images and their captions was changed or lost when they were read."""
    data, alpha = record.prepared.data, record.config.data.alpha
    for what, count in data.changed.items():
        if what != TRANSPARENT:
            yield f"{count} of {data.read} images: {what}"
    if TRANSPARENT in data.changed:
        count = data.changed[TRANSPARENT]
        became = ALPHAS[alpha]
        yield (
            f"{count} of {data.read} images are transparent in part: {became} (--alpha {alpha}); "
            "a model that was trained on other pixels cannot bring these back: give what the "
            f"training did, {' or '.join(f'--alpha {one}' for one in ALPHAS if one != alpha)}"
        )
    told = record.prepared.captions
    if told is not None and told.policy != "empty" and 0 < data.captions < data.read:
        yield f"{data.read - data.captions} of {data.read} images have no caption to be told"
    if data.lost:
        yield f"captions of {data.lost} images cannot be read: errors.csv says why"


def captions_told(record: Record) -> str:
    """How many images have a caption, and how many the model was told one."""
    data, told = record.prepared.data, record.prepared.captions
    have = f"{data.captions} of {data.read} images have one; the model is told "
    if told is None:
        return f"{have}none"
    return f"{have}{told.images}, one a group of duplicates (--prompt {told.policy})"


def boxes_told(record: Record) -> list[Row]:
    """How many images have a box of their own that was hidden, and which boxes were left out."""
    boxes, asked = record.prepared.boxes, record.config.attack.restoration
    if boxes is None:
        return []
    others = boxes.images - boxes.boxed
    said = f"{boxes.boxed} of {boxes.images} images have one of a size that is asked for"
    if others:
        said += (
            f"; of the others a box anywhere is hidden, of {boxes.share:.1%} "
            f"({others - unnamed(boxes)} have no such box in the file, "
            f"{unnamed(boxes)} are not in it)"
        )
    left = boxes.too_large + boxes.too_small + boxes.outside
    why = (
        f"boxes left out: {left} ({boxes.too_large} hide more than {asked.largest:g} of the image, "
        f"{boxes.too_small} less than {asked.smallest:g}, {boxes.outside} lie outside)"
    )
    return [("boxes", said), *([("", why)] if left else [])]


def unnamed(boxes: BoxesRecord) -> int:
    """How many images no file of boxes names."""
    return boxes.images - boxes.named


def clean_only(noisy: NoisyTraining) -> str:
    """Say that a model of noisy data was audited against clean images only, and why."""
    return (
        "the model was trained on noisy data and audited against clean images only, which "
        f"misses noisy copies that it memorized: {noisy.advice}"
    )


def noisy_rows(noisy: NoisyTraining | None) -> list[Row]:
    """Against what a model of noisy data was audited, and what each input showed."""
    if noisy is None:
        return []
    trained = f"{noisy.loss}, noise {noisy.sigma_n:g} in the training images; "
    audited = noisy.advice and "audited against clean images only: " + noisy.advice
    rows = [("noisy data", trained + (audited or "audited against clean images and noisy copies"))]
    rows += [(f"by {one.input}"[:14], f"{one.attack}: {_input(one)}") for one in noisy.by_input]
    return rows + (
        [] if noisy.correlation is None else [("frozen noise", _frozen(noisy.correlation))]
    )


def reference_rows(use: ReferenceUse | None) -> list[Row]:
    """The reference model, and what it saw."""
    if use is None:
        return []
    saw = (
        f"it saw {use.members} members and {use.controls} controls, left out, of {use.images} "
        "images read"
        if use.images
        else "not checked: none of its images are at hand"
    )
    return [
        ("reference", f"{use.model}, trained on {use.trained_on}: {saw}"),
        ("", "own similarity minus that of the reference is a part of the score"),
    ]


def _input(one: InputResult) -> str:
    alone = (
        ""
        if one.test is None
        else f"; alone: data-set p {small(one.test.p_value)}, AUC {one.auc:.3f}"
    )
    return f"{one.flagged} of the flags rest on it{alone}"


def _frozen(test: CorrelationTest) -> str:
    level = min(test.levels, key=lambda level: level.p_value)
    found = (
        "the model returns the frozen noise of its training copies"
        if test.returned
        else "no sign that the model returns the frozen noise of its training copies"
    )
    return (
        f"{found}: p {small(test.p_value)}, correlation {level.frozen:.3f} with it and "
        f"{level.fresh:.3f} with fresh noise at sigma {level.sigma:.4g} (no controls needed, no "
        "part of the verdict)"
    )
