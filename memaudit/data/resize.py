"""Bring images to the resolution of the model."""

from __future__ import annotations

from typing import Literal, assert_never

import numpy as np
import PIL.Image
from PIL import ImageOps
from PIL.Image import Resampling

from memaudit.records import Image

Policy = Literal["center-crop", "stretch", "pad"]


def resize(image: Image, resolution: tuple[int, int], policy: Policy) -> Image:
    """Resample with antialiased bicubic interpolation; an image of that size is left as it is.

    `resolution` is (height, width). "center-crop" keeps the largest centred part of the target's
    aspect, "stretch" the whole image at another aspect, "pad" the whole image on white. At the edge
    of a crop the filter sees beyond it, as it does where training resizes first and crops then.
    """
    height, width = resolution
    if image.shape[:2] == (height, width):
        return image
    picture, size = PIL.Image.fromarray(image), (width, height)
    match policy:
        case "center-crop":
            return np.array(ImageOps.fit(picture, size, Resampling.BICUBIC))
        case "stretch":
            return np.array(picture.resize(size, Resampling.BICUBIC))
        case "pad":
            return np.array(_pad(picture, size))
        case _:
            assert_never(policy)


def _pad(picture: PIL.Image.Image, size: tuple[int, int]) -> PIL.Image.Image:
    # ImageOps.pad fails for images so narrow that a side rounds to 0.
    scale = min(size[0] / picture.width, size[1] / picture.height)
    width, height = max(1, round(picture.width * scale)), max(1, round(picture.height * scale))
    canvas = PIL.Image.new("RGB", size, "white")
    inner = picture.resize((width, height), Resampling.BICUBIC)
    canvas.paste(inner, ((size[0] - width) // 2, (size[1] - height) // 2))
    return canvas
