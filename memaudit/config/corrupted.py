"""What is done to training images before a model sees them, and what makes up for it."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal, get_args

from memaudit.config.checks import at_least, one_of
from memaudit.errors import ConfigError

MaskKind = Literal["pixels", "boxes"]
LARGEST_BOX = 0.25  # of the image: of a larger one the middle would always be hidden


@dataclass(frozen=True)
class Mask:
    """Which part of each training image is hidden for good.

    pixels: each with probability `share`; boxes: one square of `share` of the image. `further` is
    the same for what the ambient-mask loss hides on top, anew at every step. A second box must be
    as large as the first: a network that could tell them apart would never learn what is under
    the first.
    """

    kind: MaskKind
    share: float = 0.2
    further: float | None = None

    def __post_init__(self) -> None:
        one_of("--mask", self.kind, get_args(MaskKind))
        for option, value in (("--mask-share", self.share), ("--mask-further", self.hidden_on_top)):
            if not 0 < value < 1:
                raise ConfigError(f"{option} must lie between 0 and 1, found {value}")
        if self.kind == "boxes" and self.share > LARGEST_BOX:
            raise ConfigError(
                f"--mask-share of boxes must be at most {LARGEST_BOX}, found {self.share}: the "
                "middle of the images would always be hidden"
            )
        if self.kind == "boxes" and self.hidden_on_top != self.share:
            raise ConfigError(
                "--mask boxes hides a second box as large as the first, or the two could be told "
                "apart; leave out --mask-further"
            )

    @property
    def hidden_on_top(self) -> float:
        """`further`, or its default: 0.1 of the pixels, or a box like the first."""
        if self.further is not None:
            return self.further
        return self.share if self.kind == "boxes" else 0.1


@dataclass(frozen=True)
class Consistency:
    """The consistency term: its weight (0: off), its first step, inner samples a step."""

    weight: float = 0.0
    start: int = 0
    samples: int = 2

    def __post_init__(self) -> None:
        if not 0 <= self.weight < math.inf:
            raise ConfigError(f"--consistency-weight must be 0 or more, found {self.weight}")
        at_least("--consistency-start", self.start, 0)
        at_least("--consistency-samples", self.samples, 2)
        if not self.weight and (self.start or self.samples != Consistency.samples):
            raise ConfigError(
                "--consistency-start and --consistency-samples belong to the consistency term, "
                "which is off; leave them out, or give --consistency-weight"
            )


def mask_options(kind: MaskKind | None, share: float | None, further: float | None) -> Mask | None:
    """Make the mask of a command's options; None where images are not masked."""
    if kind is None:
        if share is not None or further is not None:
            raise ConfigError(
                "--mask-share and --mask-further belong to --mask; leave them out, or give "
                f"--mask {' or '.join(get_args(MaskKind))}"
            )
        return None
    return Mask(kind, Mask.share if share is None else share, further)
