"""Which boxes of a file hide something of each image, as the model sees it."""

from __future__ import annotations

from collections import Counter, defaultdict
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from statistics import median

import pandas as pd
from scipy.stats import fisher_exact, mannwhitneyu

from memaudit.audit.listing import Listing
from memaudit.audit.pool import Pool
from memaudit.audit.spec import BenchSpec
from memaudit.config import OBJECT, DataConfig, Hiding, ResizePolicy, Restoration, digest
from memaudit.corruption.hiding import USUAL, Frame, four
from memaudit.data.boxes import Box, Boxed, read_boxes
from memaudit.errors import DataError
from memaudit.models.weights import sha256_file
from memaudit.records import Split
from memaudit.run.record import BoxesRecord

CHANCE = 1e-3  # below it boxes of the two sides are not by chance so different
BOTH = "Give boxes of both sides, made in the same way"
Shares = dict[str, list[float]]  # that boxes hide, by the id of the image
FITS, LARGE, SMALL, OUTSIDE = "fits", "too large", "too small", "outside"
NAMED = "named"  # images that are in a file


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
class BoxFiles:
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


def open_boxes(data: DataConfig, hidings: tuple[Hiding, ...], listing: Listing) -> BoxFiles | None:
    """Read the files of boxes, where objects are hidden.

    Raises DataError for a file that cannot be read, names none of the images, or several by one
    name.
    """
    if data.boxes is None or all(one.kind != OBJECT for one in hidings):
        return None
    paths: dict[Split, str] = {"member": data.boxes, "control": data.controls_boxes or data.boxes}
    read = {path: Named(read_boxes(Path(path))) for path in dict.fromkeys(paths.values())}
    files = BoxFiles(
        {side: read[path] for side, path in paths.items()},
        digest([sha256_file(Path(path)) for path in read]),
        tuple(read),
    )
    _expect_named(files, listing)
    return files


def _expect_named(files: BoxFiles, listing: Listing) -> None:
    """Each name is of one image, of one side; raises DataError."""
    sources: dict[tuple[Named, str], set[tuple[Split, str]]] = defaultdict(set)
    for row in listing.rows:
        boxes = files.by_side[row.split]
        if name := boxes.name_of(row.entry.source):
            sources[boxes, name].add((row.split, row.entry.source))
    here = ", ".join(files.paths)
    if not sources:
        first = next(iter(files.by_side["member"].boxes), "none at all")
        raise DataError(
            f"{here} names none of the {len(listing.rows)} images: the first name in it is "
            f"{first}, the first image is {listing.rows[0].entry.source}. Names are paths inside "
            "the data set, or the ends of such paths"
        )
    for (_, name), of in sources.items():
        if len(of) > 1:
            (side, one), (other_side, other) = sorted(of)[:2]
            raise DataError(
                f"{here} calls two images {name}: the {side} {one} and the {other_side} {other}; "
                "name images by their paths inside the data set, and give the boxes of the "
                "controls in a file of their own with --controls-boxes"
            )


def frames_of(files: BoxFiles | None, pool: Pool, spec: BenchSpec, grid: tuple[int, int]) -> Frames:
    """What boxes hide of the images of a pool that are scanned.

    Boxes are cut off where they leave the image. Those that then hide too much or too little of the
    `grid` (height, width) of the model's space are left out and counted. Raises DataError if none
    is left, or if more or larger ones are left of one side, which would tell the sides apart.
    """
    if files is None:
        return Frames()
    resolution, asked = pool.candidates.view.resolution, spec.attack.restoration
    assert resolution is not None
    rows, said = pool.representatives, Counter[str]()
    found: dict[str, tuple[Frame, ...]] = {}
    shares: Shares = {}
    for row in rows.to_dict("records"):
        own = files.by_side[row["split"]].of(row["source"])
        said[NAMED] += own is not None
        seen = Resized(row["width"], row["height"], resolution, spec.data.resize)
        frames = [seen.frame(box, own.size) for box in own.boxes] if own else []
        hiding = [(frame, frame.hides(grid)) for frame in frames if frame]
        said[OUTSIDE] += len(frames) - len(hiding)
        said.update(_size_of(share, asked) for _, share in hiding)
        kept = [one for one in hiding if _size_of(one[1], asked) == FITS]
        if kept:
            found[row["example_id"]] = tuple(frame for frame, _ in kept)
            shares[row["example_id"]] = [share for _, share in kept]
    if not found:
        raise DataError(
            f"none of the boxes in {', '.join(files.paths)} hides between {asked.smallest:g} and "
            f"{asked.largest:g} of an image ({said[LARGE]} hide more, {said[SMALL]} less, "
            f"{said[OUTSIDE]} lie outside); give others, or --smallest-box and --largest-box"
        )
    _expect_alike(rows, shares)
    return Frames(found, _recorded(files, shares, said, len(rows)))


def _recorded(files: BoxFiles, shares: Shares, said: Counter[str], images: int) -> BoxesRecord:
    return BoxesRecord(
        files=files.paths,
        digest=files.digest,
        images=images,
        named=said[NAMED],
        boxed=len(shares),
        too_large=said[LARGE],
        too_small=said[SMALL],
        outside=said[OUTSIDE],
        share=four(median(one for some in shares.values() for one in some)),
    )


def _expect_alike(rows: pd.DataFrame, shares: Shares) -> None:
    """Raise DataError where boxes are of one side rather than of the other, or larger there."""
    boxed = rows["example_id"].isin(list(shares))
    table = pd.crosstab(rows["split"], boxed)
    if table.shape == (2, 2) and fisher_exact(table.to_numpy()).pvalue < CHANCE:
        member, control = boxed.groupby(rows["split"]).mean()[["member", "control"]]
        raise DataError(
            f"{member:.0%} of the members and {control:.0%} of the controls have a box of a size "
            f"that is asked for: the difference would be the boxes'. {BOTH}"
        )
    areas = {
        str(side): [one for name in some["example_id"] for one in shares[name]]
        for side, some in rows[boxed].groupby("split")
    }
    if len(areas) == 2 and mannwhitneyu(areas["member"], areas["control"]).pvalue < CHANCE:
        raise DataError(
            f"boxes hide {median(areas['member']):.2g} of a member and "
            f"{median(areas['control']):.2g} of a control by the median: the difference would be "
            f"the boxes'. {BOTH}"
        )


def _size_of(share: float, asked: Restoration) -> str:
    """Whether a box hides as much as is asked for, more or less."""
    if share > asked.largest:
        return LARGE
    return SMALL if share < asked.smallest else FITS


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
