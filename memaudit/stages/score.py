"""Scores of a reconstruction: how near it is to its source, in embedding and in pixels."""

from __future__ import annotations

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from skimage.metrics import peak_signal_noise_ratio, structural_similarity

from memaudit.records import Image, Matches

TILES = 4  # per side, for the largest tile distance
PERFECT_PSNR = 99.0  # dB, in place of infinity for identical images


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


def pixel_scores(sources: NDArray[np.uint8], images: NDArray[np.uint8]) -> pd.DataFrame:
    """Scores in pixels of [B, H, W, 3] reconstructions against their sources.

    PSNR in dB and SSIM (Wang et al. 2004) by scikit-image; `l2` = sqrt(mean((a - b)^2)) in [0, 1];
    `tile_l2` the largest l2 over 4 x 4 tiles (Carlini et al. 2023, arXiv 2301.13188).
    """
    squares = ((sources.astype(np.float64) - images) / 255) ** 2
    return pd.DataFrame(
        {
            "psnr": [_psnr(a, b) for a, b in zip(sources, images, strict=True)],
            "ssim": [_ssim(a, b) for a, b in zip(sources, images, strict=True)],
            "l2": np.sqrt(squares.mean((1, 2, 3))),
            "tile_l2": _largest_tile(squares),
        }
    )


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
