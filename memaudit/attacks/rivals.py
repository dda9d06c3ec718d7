"""Other images of the pool, against which a distance in pixels is relative."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from memaudit.records import Images

GREY = 255  # levels of a channel


@dataclass(frozen=True, eq=False)
class PixelSample:
    """Images of the pool against which distances in pixels are relative.

    A random, label-blind sample [P, D] in 0 .. 255 with their duplicate groups [P]; `share` is the
    part of the pool that it is. Of a sample the nearest 50 of the whole pool are the nearest
    50 x share. In float64 sums of squares of grey levels are exact, whatever the batch.
    """

    pixels: NDArray[np.float64]
    groups: NDArray[np.int64]
    share: float

    @classmethod
    def of(cls, images: Images, groups: NDArray[np.int64], pool: int) -> PixelSample:
        """[P, H, W, 3] uint8 and their groups [P], out of a pool of so many images."""
        return cls(_flat(images), groups, len(images) / pool)

    def distances(self, images: Images, groups: NDArray[np.int64]) -> NDArray[np.float64]:
        """l2 of [B, H, W, 3] to each image of other groups, ascending: [B, P], infinite at the end.

        `groups` [B] are those of the sources.
        """
        flat = _flat(images)
        squares = (flat**2).sum(1)[:, None] + self._squares - 2 * flat @ self.pixels.T
        l2 = np.sqrt(squares / flat.shape[1]) / GREY
        others = np.where(groups[:, None] == self.groups, np.inf, l2)
        return np.sort(others, axis=1)

    @cached_property
    def _squares(self) -> NDArray[np.float64]:
        squares: NDArray[np.float64] = (self.pixels**2).sum(1)
        return squares


def _flat(images: Images) -> NDArray[np.float64]:
    """[N, H, W, 3] uint8 -> [N, D] in 0 .. 255."""
    return images.reshape(len(images), -1).astype(np.float64)
