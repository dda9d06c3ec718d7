"""Training losses: each a function of the estimate h and a batch.

The first three are one formula. An image seen through frozen noise of sigma_n,
x_n = x0 + sigma_n z, is made noisier to sigma, x = x_n + sqrt(sigma^2 - sigma_n^2) n, and what h
says of x0 is turned by Tweedie's rule into an estimate of x_n. With sigma_n = 0 that is training on
clean images.
"""

from __future__ import annotations

import torch
from torch import Tensor

from memaudit.config import LossName
from memaudit.corruption.noise import per_row
from memaudit.train.batch import SIGMA_DATA, Batch, Estimate, Loss, weighted
from memaudit.train.stein import gsure, sure


def clean(h: Estimate, batch: Batch) -> Tensor:
    """w(sigma) |h(x0 + sigma n) - x0|^2, mean over batch and pixels (Karras et al. 2022).

    w = (sigma^2 + sigma_d^2) / (sigma sigma_d)^2 gives every noise level about the same weight.
    """
    return _double_tweedie(h, batch, torch.zeros_like(batch.sigma))


def ambient(h: Estimate, batch: Batch) -> Tensor:
    """|(1 - r) h(x) + r x - x_n|^2 with r = (sigma_n / sigma)^2: clean images are never seen.

    Daras, Dimakis and Daskalakis 2024 (arXiv 2404.10177). Every sigma must lie above sigma_n.
    """
    return _double_tweedie(h, batch, torch.full_like(batch.sigma, batch.sigma_n))


def ambient_mixed(h: Estimate, batch: Batch) -> Tensor:
    """Clean up to sigma_n, ambient above (Shah et al. 2025, arXiv 2502.21278)."""
    above = batch.sigma > batch.sigma_n
    return _double_tweedie(h, batch, torch.where(above, batch.sigma_n, 0.0))


def ambient_mask(h: Estimate, batch: Batch) -> Tensor:
    """w(sigma) |A (h(A~ (x0 + sigma n)) - x0)|^2, where h is told A~ (Daras et al. 2023).

    arXiv 2305.19256. Of an image only A x0 was ever seen, and h sees less, A~ = A B with B drawn
    afresh. The error is taken under A: under A~ nothing would be learned about hidden pixels.
    """
    x = batch.further * (batch.x0 + per_row(batch.sigma, batch.x0) * batch.noise)
    error = (batch.mask * (h(x, batch.sigma) - batch.x0)).square()
    return weighted(error, batch.sigma**2)


def _double_tweedie(h: Estimate, batch: Batch, sigma_n: Tensor) -> Tensor:
    """Weighted squared error of x_n, whose own noise may differ from row to row: sigma_n [B].

    The weight is that of clean training for data as wide as x_n under the noise that was added.
    """
    added = batch.sigma**2 - sigma_n**2
    x_n = batch.x0 + per_row(sigma_n, batch.x0) * batch.frozen
    x = x_n + per_row(added.sqrt(), x_n) * batch.noise
    ratio = per_row((sigma_n / batch.sigma) ** 2, x)
    error = ((1 - ratio) * h(x, batch.sigma) + ratio * x - x_n).square()
    return weighted(error, added, SIGMA_DATA**2 + sigma_n**2)


LOSSES: dict[LossName, Loss] = {
    "clean": clean,
    "ambient": ambient,
    "ambient-mixed": ambient_mixed,
    "ambient-mask": ambient_mask,
    "sure": sure,
    "gsure": gsure,
}
