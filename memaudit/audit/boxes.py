"""Which boxes of a file hide something of each image, as the model sees it."""

from __future__ import annotations

from collections import Counter, defaultdict
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from statistics import median

from memaudit.audit.listing import Listing
from memaudit.audit.pool import Pool
from memaudit.config import OBJECT, DataConfig, Hiding, ResizePolicy, Restoration
from memaudit.corruption.hiding import USUAL, Frame, four
from memaudit.data.boxes import Box, Boxed, read_boxes
from memaudit.errors import ConfigError, DataError
from memaudit.models.weights import sha256_file
from memaudit.records import Split
from memaudit.run.record import BoxesRecord

FITS, LARGE, SMALL, OUTSIDE = "fits", "too large", "too small", "outside"


@dataclass(frozen=True, eq=False)
class Named:
    """The boxes in a file, by the name that it gives each image."""

    boxes: dict[str, Boxed]

    def name_of(self, source: str) -> str | None:
        """What an image of a data set is called here; None if it is not, or if two may be it.

        By its path inside the data set, of which either may lack folders at the start.
        """
        inner = source.rpartition("#")[2]
        if source in self.boxes:
            return source
        alike = self._by_last.get(inner.rpartition("/")[2], [])
        fitting = [one for one in alike if _ends(one, inner) or _ends(inner, one)]
        return fitting[0] if len(fitting) == 1 else None

    def of(self, source: str) -> Boxed | None:
        """The boxes of an image of a data set; None if the file does not name it."""
        name = self.name_of(source)
        return None if name is None else self.boxes[name]

    @cached_property
    def _by_last(self) -> dict[str, list[str]]:
        found: dict[str, list[str]] = defaultdict(list)
        for name in self.boxes:
            found[name.rpartition("/")[2]].append(name)
        return dict(found)


def _ends(path: str, end: str) -> bool:
    return f"/{path}".endswith(f"/{end}")


@dataclass(frozen=True, eq=False)
class Files:
    """The boxes of each side, by the name of the image, and which files they are of."""

    by_side: dict[Split, Named]
    digest: str
    paths: tuple[str, ...]


@dataclass(frozen=True, eq=False)
class Frames:
    """What boxes hide of each image of a pool, by its id, and how many were left out, and why."""

    by_id: dict[str, tuple[Frame, ...]] = field(default_factory=dict)
    record: BoxesRecord | None = None

    @property
    def share(self) -> float:
        """The share that such a box hides, by the median."""
        return USUAL if self.record is None else self.record.share


def open_boxes(data: DataConfig, hidings: tuple[Hiding, ...], listing: Listing) -> Files | None:
    """Read the files of boxes, where objects are hidden.

    Raises ConfigError for boxes that are not needed, or needed and not given, and DataError for a
    file that cannot be read, names none of the images, or one of members and of controls at once.
    """
    wanted = any(one.kind == OBJECT for one in hidings)
    if wanted and data.boxes is None:
        raise ConfigError(
            f"--corruption {OBJECT} hides what boxes name; give a file of boxes with --boxes"
        )
    if not wanted and (data.boxes or data.controls_boxes):
        raise ConfigError(
            f"--boxes are for --corruption {OBJECT}, which is not asked for; add it, or leave them "
            "out"
        )
    if data.boxes is None:
        return None
    paths: dict[Split, str] = {"member": data.boxes, "control": data.controls_boxes or data.boxes}
    read = {path: Named(read_boxes(Path(path))) for path in dict.fromkeys(paths.values())}
    files = Files(
        {side: read[path] for side, path in paths.items()},
        ", ".join(sha256_file(Path(path)) for path in read),
        tuple(read),
    )
    _expect_named(files, listing, of_both=data.controls_boxes is None)
    return files


def _expect_named(files: Files, listing: Listing, of_both: bool) -> None:
    named: dict[Split, set[str]] = {"member": set(), "control": set()}
    for row in listing.rows:
        name = files.by_side[row.split].name_of(row.entry.source)
        named[row.split] |= {name} if name else set()
    here = ", ".join(files.paths)
    if not any(named.values()):
        first = next(iter(files.by_side["member"].boxes), "none at all")
        raise DataError(
            f"{here} names none of the {len(listing.rows)} images: the first name in it is "
            f"{first}, the first image is {listing.rows[0].entry.source}. Names are paths inside "
            "the data set, or the ends of such paths"
        )
    both = sorted(named["member"] & named["control"])
    if of_both and both:
        raise DataError(
            f"{here} names images that are both a member and a control, such as {both[0]}; give "
            "the boxes of the controls in a file of their own with --controls-boxes"
        )


def frames_of(files: Files | None, pool: Pool, resize: ResizePolicy, asked: Restoration) -> Frames:
    """What boxes hide of the images of a pool that are scanned.

    Boxes are cut off where they leave the image. Those that are then too large or too small are
    left out and counted. Raises DataError if none is left.
    """
    if files is None:
        return Frames()
    resolution = pool.candidates.view.resolution
    assert resolution is not None
    rows, named, said = pool.representatives, 0, Counter[str]()
    found: dict[str, tuple[Frame, ...]] = {}
    for row in rows.to_dict("records"):
        own = files.by_side[row["split"]].of(row["source"])
        named += own is not None
        seen = Resized(row["width"], row["height"], resolution, resize)
        frames = [seen.frame(box, own.size) for box in own.boxes] if own else []
        said.update(_said_of(frame, asked) for frame in frames)
        kept = tuple(one for one in frames if one and _said_of(one, asked) == FITS)
        found |= {row["example_id"]: kept} if kept else {}
    record = _counted(files, found, said, asked)
    return Frames(found, replace(record, images=len(rows), named=named))


def _counted(
    files: Files, found: dict[str, tuple[Frame, ...]], said: Counter[str], asked: Restoration
) -> BoxesRecord:
    """What is kept of boxes; how many images there are is not known here."""
    if not found:
        raise DataError(
            f"none of the boxes in {', '.join(files.paths)} hides between {asked.smallest:g} and "
            f"{asked.largest:g} of an image ({said[LARGE]} hide more, {said[SMALL]} less, "
            f"{said[OUTSIDE]} lie outside); give others, or --smallest-box and --largest-box"
        )
    return BoxesRecord(
        files=files.paths,
        digest=files.digest,
        images=0,
        named=0,
        boxed=len(found),
        too_large=said[LARGE],
        too_small=said[SMALL],
        outside=said[OUTSIDE],
        share=four(median(one.share for frames in found.values() for one in frames)),
    )


def _said_of(frame: Frame | None, asked: Restoration) -> str:
    """Whether a box hides as much as is asked for, or why it does not."""
    if frame is None:
        return OUTSIDE
    if frame.share > asked.largest:
        return LARGE
    return SMALL if frame.share < asked.smallest else FITS


@dataclass(frozen=True)
class Resized:
    """An image of `width` x `height`, brought to a resolution (height, width)."""

    width: int
    height: int
    resolution: tuple[int, int]
    policy: ResizePolicy

    def frame(self, box: Box, stated: tuple[float, float] | None) -> Frame | None:
        """What a box hides of it, None if nothing.

        The box is in pixels of an image of the `stated` width and height, of this one without.
        """
        wide, tall = stated or (self.width, self.height)
        across = (box.x / wide, (box.x + box.width) / wide)
        down = (box.y / tall, (box.y + box.height) / tall)
        left, right = (self._at(one, self.width, self._shown[1]) for one in across)
        top, bottom = (self._at(one, self.height, self._shown[0]) for one in down)
        return Frame(top, left, bottom, right) if left < right and top < bottom else None

    @property
    def _shown(self) -> tuple[float, float]:
        """Height and width of the part of it that fills the resolution; more where it is padded."""
        height, width = self.resolution
        if self.policy == "stretch":
            return self.height, self.width
        scales = height / self.height, width / self.width
        scale = max(scales) if self.policy == "center-crop" else min(scales)
        return height / scale, width / scale

    @staticmethod
    def _at(share: float, whole: float, shown: float) -> float:
        """A place in the image, as a share of a side, in what is shown of its middle."""
        return min(1.0, max(0.0, 0.5 + (share - 0.5) * whole / shown))
