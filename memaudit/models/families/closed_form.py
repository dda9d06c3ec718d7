"""The perfect memorizer of the images of a data set, asked for as closed-form:PATH."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from memaudit.data import Entry, Source, decode, fingerprint, open_source, resize
from memaudit.errors import ModelError, UnreadableImageError
from memaudit.models.closed_form import ClosedForm
from memaudit.models.codec import encode_pixels
from memaudit.models.families.registry import Family
from memaudit.models.loaded import Loaded, ModelOptions
from memaudit.models.provenance import Memorized, Provenance
from memaudit.records import Image

LARGEST = 256  # pixels a side; a perfect memorizer keeps every image in memory


def load(path: Path, options: ModelOptions) -> Loaded:
    """Memorize the images of a data set; raises ModelError if none of them can be read."""
    data = options.data
    source = open_source(
        path,
        image_column=data.image_column,
        caption_column=data.caption_column,
        split=data.split,
    )
    entries = source.entries()
    images = _read(source, entries, options)
    if not images:
        raise ModelError(f"none of the {len(entries)} images of {path} can be read")
    memorized = Memorized(len(images), len(entries) - len(images), fingerprint(entries))
    provenance = Provenance("closed-form", memorized=memorized)
    return Loaded(ClosedForm(_pixels(images).to(options.device)), provenance)


def _read(source: Source, entries: list[Entry], options: ModelOptions) -> list[Image]:
    """All that can be read, of one size: that asked for, or the square of the first."""
    images: list[NDArray[np.uint8]] = []
    for entry in entries:
        try:
            image = decode(source.read(entry), options.data.alpha).image
        except UnreadableImageError:
            continue
        side = images[0].shape[0] if images else _native_size(image)
        images.append(resize(image, options.sides or (side, side), options.data.resize))
    return images


def _pixels(images: list[Image]) -> Tensor:
    return encode_pixels(torch.from_numpy(np.stack(images)).permute(0, 3, 1, 2), 3)


def _native_size(image: Image) -> int:
    return min(int(image.shape[0]), int(image.shape[1]), LARGEST)


FAMILY = Family(load)
