"""Masks of images: which pixels are seen."""

from __future__ import annotations

import math

import numpy as np
import torch
from torch import Tensor

from memaudit.config import MaskKind


def draw_mask(
    generator: np.random.Generator, kind: MaskKind, share: float, size: tuple[int, int]
) -> Tensor:
    """[1, H, W] float32: 0 at each pixel with probability `share`, or in a box of that area.

    A box lies inside the image, anywhere with the same probability.
    """
    if kind == "pixels":
        seen = generator.random(size, dtype=np.float32) >= share
        return torch.from_numpy(seen.astype(np.float32))[None]
    mask = torch.ones(1, *size)
    sides = box_sides(share, size)
    y, x = (
        int(generator.integers(whole - side + 1)) for whole, side in zip(size, sides, strict=True)
    )
    mask[:, y : y + sides[0], x : x + sides[1]] = 0
    return mask


def box_sides(share: float, size: tuple[int, int]) -> tuple[int, int]:
    """Height and width, in whole pixels, of a box of that share of an image of `size`."""
    height, width = (max(1, round(side * math.sqrt(share))) for side in size)
    return height, width
