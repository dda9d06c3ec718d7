"""Scores of a reconstruction: how near it is to its source, in embedding and in pixels."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pandas as pd
import torch
from numpy.typing import NDArray
from skimage.metrics import peak_signal_noise_ratio, structural_similarity
from torch import Tensor

from memaudit.attacks.base import Shard
from memaudit.attacks.rivals import GREY, PixelSample
from memaudit.records import COPY, Column, Image, Images, Matches, Vectors
from memaudit.similarity.search.index import cosine

NEAREST = 50  # neighbours of the adaptive l2 distance (Carlini et al. 2023)
ADAPTIVE = 0.5  # and the share of their mean distance that it divides by
TILES = 4  # per side, for the largest tile distance
SMALLEST = 1 / GREY  # of a distance that is divided by: one grey level
GAIN_DIGITS = 5  # of a difference of similarities
PERFECT_PSNR = 99.0  # dB, in place of infinity for identical images

COLUMNS = (
    Column("own_similarity", "embedding similarity of reconstruction and image, -1 to 1"),
    Column(
        "own_rank",
        "rank of the image among members and controls; 1 is the nearest",
        higher=False,
        summary="median",
    ),
    Column(
        "nearest_other",
        "example_id of the most similar image outside the duplicate group",
        summary="name",
    ),
    Column("nearest_other_similarity", "similarity of reconstruction and its nearest other image"),
    Column("margin", "own similarity minus similarity of the nearest other image"),
    Column("psnr", "peak signal-to-noise ratio of reconstruction and image, dB"),
    Column("ssim", "structural similarity of reconstruction and image, -1 to 1"),
    Column("l2", "root-mean-square pixel difference, 0 to 1", higher=False),
    Column("tile_l2", "largest such difference over 4 x 4 tiles, 0 to 1", higher=False),
    Column("adaptive_l2", "l2 relative to half that to the 50 nearest other images", higher=False),
    Column("l2_ratio", "l2 relative to that to the nearest other image", higher=False),
    Column(
        "distance_ratio",
        "nearest over second nearest embedding distance, among image and others",
        higher=False,
        summary="none",
    ),
    Column(
        "copy_similarity",
        "similarity of reconstructions of the noisy copy and that copy",
        input=COPY,
    ),
    Column(
        "copy_l2",
        "root-mean-square difference of both, 0 to 1 and more",
        higher=False,
        input=COPY,
    ),
    Column(
        "copy_correlation",
        "correlation of reconstruction minus clean image with the noise of the copy, -1 to 1",
        input=COPY,
    ),
    Column(
        "fresh_correlation",
        "the same with fresh noise of the same law, -1 to 1",
        summary="none",
        input=COPY,
    ),
    Column("reference_similarity", "own similarity of the reference model's reconstructions"),
    Column("similarity_gain", "own_similarity minus that of the reference model"),
)


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
    l2: NDArray[np.float64], images: Images, sample: PixelSample, groups: NDArray[np.int64]
) -> pd.DataFrame:
    """l2 [B] of reconstructions to their sources, relative to that to other images.

    `adaptive_l2`: over half the mean l2 to the 50 nearest others (Carlini et al. 2023); `l2_ratio`:
    over that to the nearest other (d1/d2 of Gu et al. 2023, arXiv 2310.02664, where the source is
    nearest). `groups` [B] are the sources' duplicate groups. Without others they are 2 and 1.
    """
    others = sample.distances(images, groups)[:, : max(1, round(NEAREST * sample.share))]
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


def copy_scores(
    reconstructions: Tensor, vectors: Vectors, shard: Shard, which: list[int]
) -> pd.DataFrame:
    """Compare reconstructions h [B, C, H, W], embedded as [B, D], with copies `which` of a shard.

    `copy_similarity` is the cosine of both embeddings; `copy_l2` = sqrt(mean((h - y)^2)) / 2, the
    noise of y not clipped; `copy_correlation` the cosine of h - x and the frozen noise y - x, and
    `fresh_correlation` that with fresh noise. Where h is x they are 0.
    """
    assert shard.copies is not None
    assert shard.fresh is not None
    assert shard.copy_vectors is not None
    images, copies_of = shard.x0[which], shard.copies[which]
    residual = (reconstructions - images).flatten(1)
    distance = (reconstructions - copies_of).flatten(1).double().square().mean(1).sqrt() / 2
    return pd.DataFrame(
        {
            "copy_similarity": cosine(vectors, shard.copy_vectors[which]).astype("float64"),
            "copy_l2": distance.cpu().numpy(),
            "copy_correlation": _cosines(residual, (copies_of - images).flatten(1)),
            "fresh_correlation": _cosines(residual, shard.fresh[which].flatten(1)),
        }
    )


def _cosines(one: Tensor, other: Tensor) -> list[float]:
    one, other = one.double(), other.double()
    norms = (one.square().sum(1) * other.square().sum(1)).sqrt()
    cosines = torch.where(norms > 0, (one * other).sum(1) / norms.clamp(min=1e-30), 0.0)
    values: list[float] = cosines.tolist()
    return values


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
    tiles = [block.reshape(len(block), -1).mean(1) for block in tiles_of(squares)]
    largest: NDArray[np.float64] = np.sqrt(np.max(tiles, axis=0))
    return largest


def tiles_of(values: NDArray[np.float64]) -> Iterator[NDArray[np.float64]]:
    """Cut [B, H, W, ...] into TILES bands of TILES blocks, or as many as it has pixels."""
    rows, columns = (min(TILES, side) for side in values.shape[1:3])
    for band in np.array_split(values, rows, axis=1):
        yield from np.array_split(band, columns, axis=2)
