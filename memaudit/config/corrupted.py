"""What is done to training images before a model sees them, and what makes up for it."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

from memaudit.config.fields import check, option
from memaudit.errors import ConfigError

MaskKind = Literal["pixels", "boxes"]
SHARE = 0.2
LARGEST_BOX = 0.25  # of the image: of a larger one the middle would always be hidden


@dataclass(frozen=True)
class Mask:
    """Which part of each training image is hidden for good.

    pixels: each with probability `share`; boxes: one square of `share` of the image. `further` is
    the same for what the ambient-mask loss hides on top, anew at every step. A second box must be
    as large as the first: a network that could tell them apart would never learn what is under
    the first.
    """

    kind: MaskKind = option(
        about="What is hidden of each image for good, under ambient-mask or gsure: pixels at "
        "random, or a box.",
        name="mask",
    )
    share: float = option(
        SHARE,
        f"Share of the image that --mask hides; default: {SHARE}.",
        name="mask_share",
        low=0,
        high=1,
        open_=True,
    )
    further: float | None = option(
        None,
        "Share of the pixels that ambient-mask hides on top at every step; default: 0.1, or a "
        "second box as large as the first.",
        name="mask_further",
        low=0,
        high=1,
        open_=True,
    )

    def __post_init__(self) -> None:
        check(self)
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

    weight: float = option(
        0.0,
        "Weight of the consistency term, which teaches --loss ambient the levels below --sigma-n; "
        "0: off.",
        name="consistency_weight",
        low=0,
    )
    start: int = option(
        0, "Step from which the consistency term counts.", name="consistency_start", low=0
    )
    samples: int = option(
        2,
        "Inner steps that the consistency term takes from each noisy image.",
        name="consistency_samples",
        low=2,
    )

    def __post_init__(self) -> None:
        check(self)
        if self.weight == math.inf:
            raise ConfigError(f"--consistency-weight must be finite, found {self.weight}")
        if not self.weight and (self.start or self.samples != Consistency.samples):
            raise ConfigError(
                "--consistency-start and --consistency-samples belong to the consistency term, "
                "which is off; leave them out, or give --consistency-weight"
            )
