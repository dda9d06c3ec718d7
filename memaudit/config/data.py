"""Which images are read, and how they are brought to size."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from memaudit.config.fields import check, option
from memaudit.errors import ConfigError

ResizePolicy = Literal["center-crop", "stretch", "pad"]
AlphaPolicy = Literal["white", "black", "drop"]


@dataclass(frozen=True, kw_only=True)
class DataOptions:
    """How images are found and brought to the model's size."""

    resize: ResizePolicy = option(
        "center-crop", "How images become the model's size; take what the training did."
    )
    alpha: AlphaPolicy = option(
        "white",
        "What transparent pixels become: composited on white or on black, or the colours that are "
        "stored under them; take what the training did.",
    )
    sample: int | None = option(
        None, "Draw this many images at random from each data set; default: all.", low=1
    )
    image_column: str | None = option(
        None,
        "Column of Parquet/Arrow files, or extension in tar files, that holds the image; "
        "default: found by its type and name.",
        metavar="NAME",
    )
    caption_column: str | None = option(
        None,
        "Column, or field of .json files in tar files, that holds the caption; default: "
        "text, caption or prompt.",
        metavar="NAME",
    )
    split: str | None = option(
        None,
        "Split of the data set: a sub-folder, or the start of the file names.",
        metavar="NAME",
    )

    def __post_init__(self) -> None:
        check(self)


@dataclass(frozen=True, kw_only=True)
class DataConfig(DataOptions):
    """The members (`dataset`) and the controls of a scan."""

    dataset: str = option(about="The images that the model was trained on.", path=True)
    controls: str | None = option(
        None,
        "Images of the same kind that the model never saw; a verdict needs them.",
        metavar="DATASET",
        path=True,
    )
    cluster_column: str | None = option(
        None,
        "Where images come in clusters (tiles of a photograph, scans of a patient): the column "
        "that names the cluster of each, as --caption-column, or folder for the folder that it "
        "lies in. Each image needs a value, one that belongs with no other a value of its own. "
        "Default: each image by itself.",
        metavar="NAME|folder",
    )
    controls_split: str | None = option(None, "Split of the controls, as --split.", metavar="NAME")
    boxes: str | None = option(
        None,
        "Of --corruption mask-object: a file of boxes around objects, COCO (.json) or a table "
        "(.csv, .jsonl, .parquet) with file_name and bbox.",
        metavar="FILE",
        path=True,
    )
    controls_boxes: str | None = option(
        None,
        "The boxes of the controls, where they have a file of their own.",
        metavar="FILE",
        path=True,
    )
    duplicate_threshold: float | None = option(
        None,
        "Similarity from which images count as near duplicates, above 1 for exact copies only; "
        "default: by embedder.",
        low=0,
    )

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.controls_boxes is not None and (self.boxes is None or self.controls is None):
            without = "--boxes, those of the members" if self.boxes is None else "--controls"
            raise ConfigError(
                f"--controls-boxes are given and no {without}; give both, or leave them out"
            )
        if self.controls_split is not None and self.controls is None:
            raise ConfigError(
                f"--controls-split {self.controls_split} is a split of the controls, and none are "
                "given; name their data set with --controls, DATASET itself where both are splits "
                "of it"
            )
