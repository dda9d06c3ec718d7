"""Similarity of what was hidden, patch by patch, for embedders that have vectors of patches.

The attack by inpainting of Daras, Dimakis and Daskalakis 2024 (arXiv 2404.10177) compares the
DINOv2 tokens under the mask. Their code takes all tokens that the mask touches, before the last
normalisation, and the cosine of both sums. A sum forgets where things are, and under scattered
pixels all tokens are touched; here each token is compared with the one in its place.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from memaudit.corruption.linear import View
from memaudit.records import Images
from memaudit.similarity.embed.base import PatchEmbedder, Patches

MOSTLY = 0.5  # of the most that a part of an image has hidden: parts with less are not looked at
DIGITS = 6  # as of all cosines that decide


def patch_similarities(
    embedder: PatchEmbedder, view: View, images: Images, *others: Images
) -> list[NDArray[np.float64]]:
    """[B] of images [B, H, W, 3] to those of each other set, by the patches the view hides."""
    made = embedder.patches(images)
    weights = patch_weights(view, (made.shape[1], made.shape[2]))
    return [pooled(made, embedder.patches(some), weights) for some in others]


def patch_weights(view: View, grid: tuple[int, int]) -> NDArray[np.float64]:
    """How much each of [B, rows, columns] patches counts: the share of its pixels that is hidden.

    Nothing, where that is less than half of that of the most hidden patch of the image: it is of
    what was seen. All count the same where no pixel is hidden alone, as of a blur.
    """
    hidden = view.hidden[:, 0].double().numpy()
    if not view.basis.pixelwise:
        return np.ones((len(hidden), *grid))
    rows, columns = (_overlap(*sizes) for sizes in zip(grid, hidden.shape[1:], strict=True))
    shares = (rows @ hidden @ columns.T).round(9)
    most = shares.max(axis=(1, 2), keepdims=True)
    return np.where(shares >= MOSTLY * most, shares, 0.0)


def pooled(one: Patches, other: Patches, weights: NDArray[np.float64]) -> NDArray[np.float64]:
    """[B]: the weighted mean, over patches, of the cosine of both that lie in one place.

    Summed in float64 and rounded: equal patches give exactly 1.
    """
    cosines = np.einsum("brcd,brcd->brc", one, other, dtype=np.float64)
    means: NDArray[np.float64] = (weights * cosines).sum((1, 2)) / weights.sum((1, 2))
    return means.round(DIGITS)


def _overlap(patches: int, pixels: int) -> NDArray[np.float64]:
    """[patches, pixels] of one side: the share of each patch that each pixel is."""
    edges, start = np.arange(patches + 1) * pixels / patches, np.arange(pixels)
    ends = np.minimum(edges[1:, None], start + 1) - np.maximum(edges[:-1, None], start)
    return ends.clip(min=0) * patches / pixels
