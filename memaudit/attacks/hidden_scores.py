"""Scores of what was hidden: how near the restored part is to the image's own, and to others'."""

from __future__ import annotations

import numpy as np
import pandas as pd
import torch
from numpy.typing import NDArray

from memaudit.attacks.base import Bench
from memaudit.attacks.hidden_patches import MOSTLY, patch_similarities
from memaudit.attacks.rivals import GREY
from memaudit.attacks.scores import SMALLEST, tiles_of
from memaudit.corruption.linear import View
from memaudit.records import Column, Image, Images
from memaudit.similarity.embed import Embedder, PatchEmbedder
from memaudit.similarity.search.index import cosine

COLUMNS = (
    Column("own_similarity", "embedding similarity of the part that was hidden, -1 to 1"),
    Column(
        "own_rank",
        "rank of the image among a sample of the pool by the hidden pixels; 1 is the nearest",
        higher=False,
        summary="median",
    ),
    Column(
        "nearest_other",
        "example_id of that image outside the duplicate group whose pixels there are nearest",
        summary="name",
    ),
    Column("nearest_other_similarity", "similarity of the restored part and that other image's"),
    Column("margin", "own similarity minus similarity of the nearest other image"),
    Column("l2", "root-mean-square difference of the hidden pixels, 0 to 1", higher=False),
    Column("tile_l2", "largest such difference over 4 x 4 tiles, 0 to 1", higher=False),
    Column("l2_ratio", "l2 relative to that to the nearest other image", higher=False),
    Column("reference_similarity", "own similarity of what the reference model restored"),
    Column("similarity_gain", "own_similarity minus that of the reference model"),
)


def hidden_scores(
    bench: Bench, view: View, sources: Images, images: Images, groups: NDArray[np.int64]
) -> pd.DataFrame:
    """Compare restored [B, H, W, 3] `images` with their sources where the view hides them.

    Pixels are weighed by how much of them is hidden, so that what was seen never enters; what is
    embedded, `similarities` says. `groups` [B] are the sources' duplicate groups. Without an image
    of another group the source stands for it, at no distance.
    """
    squares = _squares(view, images, sources)
    weights = view.hidden.flatten(1).sum(1).double().numpy()
    l2 = np.sqrt(squares.sum((1, 2)) / weights)
    others = bench.pixels.hidden_distances(images, view, groups)
    nearest, alone = others.argmin(axis=1), ~np.isfinite(others).any(axis=1)
    around = np.where(alone, l2, others.min(axis=1))
    rivals = np.where(alone[:, None, None, None], sources, bench.pixels.images[nearest])
    own, beside = similarities(bench, view, images, sources, rivals)
    ids = np.array(bench.pixels.ids, dtype=object)[nearest]
    return pd.DataFrame(
        {
            "own_similarity": own,
            "own_rank": 1 + (others < l2[:, None]).sum(axis=1),
            "nearest_other": np.where(alone, "", ids),
            "nearest_other_similarity": beside,
            "margin": own - beside,
            "l2": l2,
            "tile_l2": _largest_tile(view, squares),
            "l2_ratio": l2 / np.maximum(around, SMALLEST),
        }
    )


def similarities(
    bench: Bench, view: View, images: Images, *others: Images
) -> list[NDArray[np.float64]]:
    """[B] of images to those of each other set, where the view hides them.

    By the patches that lie there, of an embedder that has vectors of patches. By the smallest
    rectangle around what is hidden, of others: of a box or a half no more than that, of scattered
    pixels, a blur or a smaller size the whole image.
    """
    if isinstance(bench.embedder, PatchEmbedder):
        return patch_similarities(bench.embedder, view, images, *others)
    return _rectangle_similarities(bench.embedder, view, images, *others)


def _rectangle_similarities(
    embedder: Embedder, view: View, images: Images, *others: Images
) -> list[NDArray[np.float64]]:
    """Rectangles of one size are embedded together."""
    boxes = [_around(view.row(k)) for k in range(len(images))]
    found = [np.zeros(len(boxes)) for _ in others]
    sizes = [(bottom - top, right - left) for top, left, bottom, right in boxes]
    for size in dict.fromkeys(sizes):
        rows = [k for k, one in enumerate(sizes) if one == size]
        made, *theirs = (
            embedder.embed(np.stack([_cut(some[k], boxes[k]) for k in rows]))
            for some in (images, *others)
        )
        for values, vectors in zip(found, theirs, strict=True):
            values[rows] = cosine(made, vectors)
    return found


def _cut(image: Image, box: tuple[int, int, int, int]) -> Image:
    top, left, bottom, right = box
    return image[top:bottom, left:right]


def _squares(view: View, images: Images, sources: Images) -> NDArray[np.float64]:
    """[B, H, W]: squared difference of what the view removes, mean over channels, 0 to 1."""
    difference = torch.from_numpy((images.astype(np.float64) - sources) / GREY)
    removed = view.removed(difference.permute(0, 3, 1, 2))
    squares: NDArray[np.float64] = removed.square().mean(1).numpy()
    return squares


def _largest_tile(view: View, squares: NDArray[np.float64]) -> NDArray[np.float64]:
    """[B]: the largest root-mean-square difference of a tile that is as hidden as most."""
    hidden = view.hidden[:, 0].numpy()
    weight = hidden if view.basis.pixelwise else np.ones(squares.shape)
    sums, weights = (
        np.array([block.sum((1, 2)) for block in tiles_of(one)]) for one in (squares, weight)
    )
    enough = weights >= MOSTLY * weights.max(axis=0)
    means = np.divide(sums, weights, out=np.zeros(sums.shape), where=enough)
    largest: NDArray[np.float64] = np.sqrt(means.max(axis=0))
    return largest


def _around(view: View) -> tuple[int, int, int, int]:
    """The smallest rectangle around what is hidden: top, left, bottom, right."""
    hidden = view.hidden[0, 0].numpy() > 0
    if not view.basis.pixelwise:
        return (0, 0, *hidden.shape)
    rows, columns = (np.flatnonzero(hidden.any(axis=axis)) for axis in (1, 0))
    return int(rows[0]), int(columns[0]), int(rows[-1]) + 1, int(columns[-1]) + 1
