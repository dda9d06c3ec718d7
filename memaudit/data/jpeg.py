"""What the header of a JPEG file says of how it was made."""

from __future__ import annotations

import numpy as np
import PIL.Image
from PIL import JpegImagePlugin

# Luma table of the JPEG standard (ITU-T T.81, annex K), which libjpeg scales by its quality.
# fmt: off
LUMA = np.array([
    16, 11, 10, 16, 24, 40, 51, 61, 12, 12, 14, 19, 26, 58, 60, 55,
    14, 13, 16, 24, 40, 57, 69, 56, 14, 17, 22, 29, 51, 87, 80, 62,
    18, 22, 37, 56, 68, 109, 103, 77, 24, 35, 55, 64, 81, 104, 113, 92,
    49, 64, 78, 87, 103, 121, 120, 101, 72, 92, 95, 98, 112, 100, 103, 99,
])
# fmt: on
QUALITIES = np.arange(1, 101)
SCALES = np.where(QUALITIES < 50, 5000 // QUALITIES, 200 - 2 * QUALITIES)
TABLES = np.clip((SCALES[:, None] * LUMA + 50) // 100, 1, 255)
SAMPLINGS = ("4:4:4", "4:2:2", "4:2:0")  # as Pillow numbers them


def jpeg_quality(picture: PIL.Image.Image) -> float:
    """Quality 1 .. 100 at which libjpeg's luma table is nearest; NaN without a table."""
    tables = getattr(picture, "quantization", None)
    if not tables or len(tables[min(tables)]) != LUMA.size:
        return float("nan")
    distances = np.abs(TABLES - np.array(tables[min(tables)])).sum(axis=1)
    return float(QUALITIES[distances.argmin()])


def chroma_sampling(picture: PIL.Image.Image) -> str:
    """Chroma subsampling of a JPEG file, "4:2:0" or so; "other", or "" for other formats."""
    if not isinstance(picture, JpegImagePlugin.JpegImageFile):
        return ""
    number = JpegImagePlugin.get_sampling(picture)
    return SAMPLINGS[number] if 0 <= number < len(SAMPLINGS) else "other"
