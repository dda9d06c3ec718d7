"""Strips: original, corrupted, reconstruction and nearest other, side by side."""

from __future__ import annotations

import io

import numpy as np
from PIL import Image as PillowImage

from memaudit.records import Image

HEIGHT = 128  # least height; small images are enlarged by whole factors
GAP = 4  # pixels of white between images


def strip(images: list[Image], height: int = HEIGHT) -> bytes:
    """Put equally large images into one PNG of at least `height` pixels, left to right."""
    factor = max(1, -(-height // images[0].shape[0]))
    large = [image.repeat(factor, axis=0).repeat(factor, axis=1) for image in images]
    gap = np.full((large[0].shape[0], GAP, 3), 255, np.uint8)
    columns = [part for image in large for part in (image, gap)][:-1]
    buffer = io.BytesIO()
    PillowImage.fromarray(np.concatenate(columns, axis=1)).save(buffer, format="PNG")
    return buffer.getvalue()
