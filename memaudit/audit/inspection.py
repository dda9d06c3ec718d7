"""Inspect a model without a scan: open it as a scan does, and check how it is read."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field, replace

from memaudit.attacks.copies import Copies, open_copies
from memaudit.audit.embedding import View
from memaudit.audit.models import open_model
from memaudit.audit.reading import CHECKED, judge_reading
from memaudit.config import InspectConfig
from memaudit.data import Entry, Source, image_id, open_source, sample
from memaudit.errors import DataError, MisreadModelError, ModelError, UnreadableImageError
from memaudit.models.checked import Checked
from memaudit.models.describing import describe
from memaudit.models.ignored import ignored
from memaudit.models.inspection import Inspection
from memaudit.models.loaded import Loaded
from memaudit.records import Example

TRIED = 8 * CHECKED  # images at most, where many cannot be read or are the same
LISTED = 1000  # ignored files and folders that are named
UNREAD = "its family knows no other reading"


def inspect(config: InspectConfig) -> Inspection:
    """Say what a model is, how it is read and, with `images`, whether it is read rightly.

    A reading that is refused is told in `self_check` and not raised. Raises a subclass of
    MemauditError for a model that cannot be opened, and for images of which none can be read.
    """
    images = None if config.images is None else _open(config, config.images)
    loaded = open_model(config.target, config.data, config)
    beside = ignored(loaded)
    return replace(
        describe(loaded),
        ignored=None if beside is None else beside[:LISTED],
        ignored_count=None if beside is None else len(beside),
        self_check=None if images is None else _check(config, loaded, images),
    )


def require_passed(found: Inspection) -> None:
    """Raise MisreadModelError if the self-check refused how the model is read."""
    check = found.self_check
    if check is not None and check.state == "refused":
        raise MisreadModelError(check.reason or "the self-check refused how the model is read")


@dataclass(frozen=True, eq=False)
class _Images:
    """A data set that was listed."""

    source: Source
    entries: list[Entry]


def _open(config: InspectConfig, path: str) -> _Images:
    data = config.data
    source = open_source(path, image_column=data.image_column, split=data.split)
    return _Images(source, source.entries())


def _check(config: InspectConfig, loaded: Loaded, images: _Images) -> Checked:
    """Check how the model is read, on images drawn at random."""
    copies: Copies | None = open_copies(config.noisy_copies, loaded)
    drawn = _draw(images, View.of_data(loaded.denoiser.resolution, config.data), config.seed)
    examples, unreadable = list(drawn.examples.values()), len(drawn.failed)
    try:
        judged = judge_reading(loaded, copies, examples, config.seed, config.batch_size)
    except ModelError as error:
        return Checked("refused", str(error), len(examples), unreadable)
    if judged is None:
        return Checked("nothing to check", UNREAD, len(examples), unreadable)
    return Checked.of(judged, len(examples), unreadable)


@dataclass(frozen=True)
class _Drawn:
    """Different images that could be read, by id, and why others could not be."""

    examples: dict[str, Example] = field(default_factory=dict)
    failed: list[str] = field(default_factory=list)

    def read(self, source: Source, entries: Iterable[Entry], view: View) -> None:
        """Read until there are enough."""
        for entry in entries:
            if len(self.examples) == CHECKED:
                return
            try:
                image = view.decode(source.read(entry), entry.source).image
            except UnreadableImageError as error:
                self.failed.append(str(error))
            else:
                example_id = image_id(image)
                self.examples[example_id] = Example(example_id, view.apply(image))


def _draw(images: _Images, view: View, seed: int) -> _Drawn:
    """Draw images at random, more where some cannot be read; raises DataError if none can be."""
    drawn, tried, count = _Drawn(), set[str](), CHECKED
    while len(drawn.examples) < CHECKED and count <= TRIED and len(tried) < len(images.entries):
        chosen = sample(images.entries, count, seed)
        fresh = [entry for entry in chosen if entry.source not in tried]
        tried |= {entry.source for entry in fresh}
        drawn.read(images.source, fresh, view)
        count *= 2
    if not drawn.examples:
        raise DataError(
            f"none of {len(tried)} images drawn from {images.source.root} can be read; the first: "
            f"{drawn.failed[0]}"
        )
    return drawn
