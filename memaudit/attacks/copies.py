"""Scores of a reconstruction against the noisy copy of its image."""

from __future__ import annotations

from dataclasses import dataclass

import pandas as pd
import torch
from torch import Tensor

from memaudit.records import Vectors
from memaudit.similarity.search.index import cosine


@dataclass(frozen=True, eq=False)
class NoisyCopies:
    """The noisy copies y of some images x, in model space, with fresh noise of the same law.

    `images`, `copies` and `fresh` (standard normal, unlike anything a model was trained on) are
    [N, C, H, W]; `vectors` [N, D] are the embedded copies, `sigma_n` the noise in them.
    """

    images: Tensor
    copies: Tensor
    fresh: Tensor
    vectors: Vectors
    sigma_n: float


def copy_scores(
    reconstructions: Tensor, vectors: Vectors, copies: NoisyCopies, which: list[int]
) -> pd.DataFrame:
    """Compare reconstructions h [B, C, H, W], embedded as [B, D], with copies `which` [B].

    `copy_similarity` is the cosine of both embeddings; `copy_l2` = sqrt(mean((h - y)^2)) / 2, the
    noise of y not clipped; `copy_correlation` the cosine of h - x and the frozen noise y - x, and
    `fresh_correlation` that with fresh noise. Where h is x they are 0.
    """
    images, copies_of = copies.images[which], copies.copies[which]
    residual = (reconstructions - images).flatten(1)
    distance = (reconstructions - copies_of).flatten(1).double().square().mean(1).sqrt() / 2
    return pd.DataFrame(
        {
            "copy_similarity": cosine(vectors, copies.vectors[which]).astype("float64"),
            "copy_l2": distance.cpu().numpy(),
            "copy_correlation": _cosines(residual, (copies_of - images).flatten(1)),
            "fresh_correlation": _cosines(residual, copies.fresh[which].flatten(1)),
        }
    )


def _cosines(one: Tensor, other: Tensor) -> list[float]:
    one, other = one.double(), other.double()
    norms = (one.square().sum(1) * other.square().sum(1)).sqrt()
    cosines = torch.where(norms > 0, (one * other).sum(1) / norms.clamp(min=1e-30), 0.0)
    values: list[float] = cosines.tolist()
    return values
