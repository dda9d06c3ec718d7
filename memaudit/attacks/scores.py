"""Scores of a reconstruction: how near it is to its source, in embedding and in pixels."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from skimage.metrics import peak_signal_noise_ratio, structural_similarity

from memaudit.records import Image, Images, Matches

NEAREST = 50  # neighbours of the adaptive l2 distance (Carlini et al. 2023)
ADAPTIVE = 0.5  # and the share of their mean distance that it divides by
TILES = 4  # per side, for the largest tile distance
GREY = 255  # levels of a channel
SMALLEST = 1 / GREY  # of a distance that is divided by: one grey level
GAIN_DIGITS = 5  # of a difference of similarities
PERFECT_PSNR = 99.0  # dB, in place of infinity for identical images


@dataclass(frozen=True, eq=False)
class Reference:
    """Images of the pool against which distances in pixels are relative.

    A random, label-blind sample [P, D] in 0 .. 255 with their duplicate groups [P]; `share` is the
    part of the pool that it is. Of a sample the nearest 50 of the whole pool are the nearest
    50 x share. In float64 sums of squares of grey levels are exact, whatever the batch.
    """

    pixels: NDArray[np.float64]
    groups: NDArray[np.int64]
    share: float

    @classmethod
    def of(cls, images: Images, groups: NDArray[np.int64], pool: int) -> Reference:
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


def similarity_scores(matches: Matches) -> pd.DataFrame:
    """Scores in embedding space, one row a query.

    `margin` is own similarity minus that of the nearest other; `distance_ratio` is d1/d2, nearest
    over second nearest distance among source and others (Gu et al. 2023, arXiv 2310.02664, there
    in pixels).
    """
    nearest = matches.neighbours[:, 0]
    ranked = -np.sort(-np.column_stack([matches.own, matches.neighbours]), axis=1)
    distances = np.sqrt(np.clip(2 - 2 * ranked[:, :2].astype(np.float64), 1e-12, None))
    return pd.DataFrame(
        {
            "own_similarity": matches.own.astype(np.float64),
            "own_similarity_flipped": matches.own_flipped.astype(np.float64),
            "own_rank": matches.own_rank,
            "nearest_other": [ids[0] for ids in matches.neighbour_ids],
            "nearest_other_similarity": nearest.astype(np.float64),
            "margin": matches.own.astype(np.float64) - nearest,
            "distance_ratio": distances[:, 0] / distances[:, 1],
        }
    )


def pixel_scores(sources: Images, images: Images) -> pd.DataFrame:
    """Scores in pixels of [B, H, W, 3] reconstructions against their sources.

    PSNR in dB and SSIM (Wang et al. 2004) by scikit-image; `l2` = sqrt(mean((a - b)^2)) in [0, 1];
    `tile_l2` the largest l2 over 4 x 4 tiles (Carlini et al. 2023, arXiv 2301.13188).
    """
    squares = ((sources.astype(np.float64) - images) / GREY) ** 2
    return pd.DataFrame(
        {
            "psnr": [_psnr(a, b) for a, b in zip(sources, images, strict=True)],
            "ssim": [_ssim(a, b) for a, b in zip(sources, images, strict=True)],
            "l2": np.sqrt(squares.mean((1, 2, 3))),
            "tile_l2": _largest_tile(squares),
        }
    )


def relative_scores(
    l2: NDArray[np.float64], images: Images, reference: Reference, groups: NDArray[np.int64]
) -> pd.DataFrame:
    """l2 [B] of reconstructions to their sources, relative to that to other images.

    `adaptive_l2`: over half the mean l2 to the 50 nearest others (Carlini et al. 2023); `l2_ratio`:
    over that to the nearest other (d1/d2 of Gu et al. 2023, arXiv 2310.02664, where the source is
    nearest). `groups` [B] are the sources' duplicate groups. Without others they are 2 and 1.
    """
    others = reference.distances(images, groups)[:, : max(1, round(NEAREST * reference.share))]
    others = np.where(np.isfinite(others[:, :1]), others, l2[:, None])
    others = np.where(np.isfinite(others), others, np.nan)
    around = np.maximum(np.nanmean(others, axis=1), SMALLEST)
    return pd.DataFrame(
        {
            "adaptive_l2": l2 / (ADAPTIVE * around),
            "l2_ratio": l2 / np.maximum(others[:, 0], SMALLEST),
        }
    )


def paired_scores(own: NDArray[np.float32], reference: NDArray[np.float64]) -> pd.DataFrame:
    """Own similarities [B] of the model and of a reference model on the same corrupted images.

    `similarity_gain` is their difference; what differs by less than the arithmetic of two batches
    does not differ.
    """
    gain = np.round(own.astype(np.float64) - reference, GAIN_DIGITS) + 0.0
    return pd.DataFrame({"reference_similarity": reference, "similarity_gain": gain})


def _flat(images: Images) -> NDArray[np.float64]:
    """[N, H, W, 3] uint8 -> [N, D] in 0 .. 255."""
    return images.reshape(len(images), -1).astype(np.float64)


def _psnr(source: Image, image: Image) -> float:
    if np.array_equal(source, image):
        return PERFECT_PSNR
    return float(peak_signal_noise_ratio(source, image, data_range=255))


def _ssim(source: Image, image: Image) -> float:
    window = min(7, (min(source.shape[:2]) - 1) // 2 * 2 + 1)
    if window < 3:
        return float(np.array_equal(source, image))
    return float(
        structural_similarity(source, image, win_size=window, channel_axis=2, data_range=255)
    )


def _largest_tile(squares: NDArray[np.float64]) -> NDArray[np.float64]:
    batch, height, width = squares.shape[:3]
    rows, columns = min(TILES, height), min(TILES, width)
    tiles = [
        block.reshape(batch, -1).mean(1)
        for band in np.array_split(squares, rows, axis=1)
        for block in np.array_split(band, columns, axis=2)
    ]
    largest: NDArray[np.float64] = np.sqrt(np.max(tiles, axis=0))
    return largest
