"""What a model that was trained on corrupted data says of itself, in a file beside its weights."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from torch import Tensor

from memaudit.config import Mask
from memaudit.corruption.mask import draw_mask
from memaudit.errors import ConfigError, ModelError
from memaudit.foreign import read_json, refusing

RECORD = "ambient.json"
NOISY = "noisy"  # the folder of its noisy copies
PARTS = "part-*.safetensors"  # in it
DOUBLE_TWEEDIE = ("ambient", "ambient-mixed")  # losses that find the copy behind more noise
MARGIN = 1.1  # times sigma_n: the lowest noise at which noisy copies tell anything
MEMAUDIT = "memaudit"  # who drew the noise, if it is a function of seed, image and sigma_n
SEEDS = 1 << 64
LOUDEST = 1e4  # noise; nothing of an image is left behind so much
LOSSES = ("ambient", "ambient-mixed", "ambient-mask", "sure", "gsure")


@dataclass(frozen=True)
class Ambient:
    """Noise of standard deviation sigma_n, for images in [-1, 1], was in the training images.

    It was drawn once for each image, from (seed, id of the image); so was the mask, if there was
    one. `consistency`: the levels below sigma_n were learned as well, by the consistency term.
    `drawn_by` is "memaudit" if `memaudit train` drew the noise, as `corruption.noise.frozen_noise`;
    "" if the record does not say.
    """

    loss: str
    sigma_n: float
    seed: int
    consistency: bool = False
    mask: Mask | None = None
    drawn_by: str = ""

    @property
    def lowest(self) -> float | None:
        """Noise below which the network learned nothing; None if it learned all levels.

        Sampling stops there and takes the posterior mean (Daras et al. 2024, arXiv 2404.10177).
        """
        return self.sigma_n if self.loss in ("ambient", "gsure") and not self.consistency else None

    @property
    def told_its_mask(self) -> bool:
        """Whether the network has a channel for the mask of what it sees."""
        return self.loss == "ambient-mask"

    def content(self) -> dict[str, Any]:
        """As it is written."""
        return {**asdict(self), "sample_from": self.lowest}


class Sized(Protocol):
    """What has the size of its images."""

    @property
    def resolution(self) -> tuple[int, int]:
        """Height and width."""


def fixed_mask(ambient: Ambient, sized: Sized) -> Tensor | None:
    """The mask [1, 1, H, W] through which a model of masked images is asked, always the same.

    Daras et al. 2023 (arXiv 2305.19256) sample so: a mask of the trained kind, held fixed. A mask
    of ones is nothing the network was ever given. It is a function of the record's seed, so that
    no image has another than its rivals, and no training image is needed.
    """
    if not ambient.told_its_mask or ambient.mask is None:
        return None
    generator = np.random.Generator(np.random.Philox(ambient.seed))
    kind, size = ambient.mask.kind, sized.resolution
    seen = draw_mask(generator, kind, ambient.mask.share, size)
    return (seen * draw_mask(generator, kind, ambient.mask.hidden_on_top, size))[None]


def read_ambient(folder: Path) -> Ambient | None:
    """Read the record of a model folder; None without one, ModelError if it makes no sense."""
    path = folder / RECORD
    if not path.is_file():
        return None
    expected = (
        "expected loss, sigma_n and seed of an ambient training. Copy the model's folder again"
    )
    with refusing(lambda why: ModelError(f"{why}; {expected}"), f"{path} cannot be read"):
        try:
            record = _parse(read_json(path))
        except ConfigError as error:  # speaks of options
            raise ValueError(str(error)) from error
    known = record.loss in LOSSES and 0 <= record.seed < SEEDS
    if not known or not (record.told_its_mask or 0 < record.sigma_n <= LOUDEST):
        raise ModelError(
            f"{path} says loss {record.loss!r}, sigma_n {record.sigma_n:g} and seed "
            f"{str(record.seed)[:30]}; expected one of {', '.join(LOSSES)}, a number above 0 up to "
            f"{LOUDEST:g}, and a whole number from 0 to 2^64 - 1"
        )
    if record.told_its_mask and record.mask is None:
        raise ModelError(f"{path} says loss {record.loss!r} without a mask; expected its kind")
    return record


def _parse(content: Any) -> Ambient:
    mask = content.get("mask")
    return Ambient(
        loss=str(content["loss"]),
        sigma_n=float(content["sigma_n"]),
        seed=int(content["seed"]),
        consistency=bool(content.get("consistency", False)),
        mask=None if mask is None else Mask(mask["kind"], mask["share"], mask.get("further")),
        drawn_by=str(content.get("drawn_by", "")),
    )
