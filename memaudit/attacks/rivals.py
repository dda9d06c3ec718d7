"""Other images of the pool, against which a distance in pixels is relative."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property

import numpy as np
import torch
from numpy.typing import NDArray

from memaudit.corruption.linear import Cosines, View
from memaudit.records import Images

GREY = 255  # levels of a channel


@dataclass(frozen=True, eq=False)
class PixelSample:
    """Images of the pool against which distances in pixels are relative.

    A random, label-blind sample [P, H, W, 3] with their ids and duplicate groups [P]; `share` is
    the part of the pool that it is. Of a sample the nearest 50 of the whole pool are the nearest
    50 x share. In float64 sums of squares of grey levels are exact, whatever the batch.
    """

    images: Images
    groups: NDArray[np.int64]
    share: float
    ids: tuple[str, ...] = ()
    _coefficients: dict[Cosines, NDArray[np.float64]] = field(default_factory=dict, repr=False)

    @classmethod
    def of(
        cls, images: Images, groups: NDArray[np.int64], pool: int, ids: tuple[str, ...] = ()
    ) -> PixelSample:
        """[P, H, W, 3] uint8 and their groups [P], out of a pool of so many images."""
        return cls(images, groups, len(images) / pool, ids)

    def distances(self, images: Images, groups: NDArray[np.int64]) -> NDArray[np.float64]:
        """l2 of [B, H, W, 3] to each image of other groups, ascending: [B, P], infinite at the end.

        `groups` [B] are those of the sources.
        """
        flat = _flat(images)
        squares = (flat**2).sum(1)[:, None] + self._squares - 2 * flat @ self.pixels.T
        l2 = np.sqrt(squares / flat.shape[1]) / GREY
        others = np.where(groups[:, None] == self.groups, np.inf, l2)
        return np.sort(others, axis=1)

    def hidden_distances(
        self, images: Images, view: View, groups: NDArray[np.int64]
    ) -> NDArray[np.float64]:
        """l2 of [B, H, W, 3] to each image of other groups where a view hides them: [B, P].

        Infinite to those of the sources' groups [B].
        """
        weights = view.hidden.expand(-1, 3, -1, -1).flatten(1).double().numpy()
        ours, theirs = coefficients(images, view.basis), self._in(view.basis)
        squares = (weights * ours**2).sum(1)[:, None] + weights @ (theirs**2).T
        squares = squares - 2 * (weights * ours) @ theirs.T
        squares = squares.round(4).clip(min=0)  # the last bits depend on the batch
        l2 = np.sqrt(squares / weights.sum(1)[:, None]) / GREY
        return np.where(groups[:, None] == self.groups, np.inf, l2)

    def _in(self, basis: Cosines) -> NDArray[np.float64]:
        if basis not in self._coefficients:
            self._coefficients.clear()
            self._coefficients[basis] = coefficients(self.images, basis)
        return self._coefficients[basis]

    @cached_property
    def pixels(self) -> NDArray[np.float64]:
        """[P, D] in 0 .. 255."""
        return _flat(self.images)

    @cached_property
    def _squares(self) -> NDArray[np.float64]:
        squares: NDArray[np.float64] = (self.pixels**2).sum(1)
        return squares


def coefficients(images: Images, basis: Cosines) -> NDArray[np.float64]:
    """[N, H, W, 3] uint8 -> [N, D] in a basis, of grey levels, channels first."""
    planes = torch.from_numpy(np.ascontiguousarray(images)).permute(0, 3, 1, 2).double()
    flat: NDArray[np.float64] = basis.of(planes).flatten(1).numpy()
    return flat


def _flat(images: Images) -> NDArray[np.float64]:
    """[N, H, W, 3] uint8 -> [N, D] in 0 .. 255."""
    return images.reshape(len(images), -1).astype(np.float64)
