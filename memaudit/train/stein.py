"""Losses by Stein's rule: the squared error to clean images, estimated without any.

For y = x0 + sigma_n z and any smooth h, |h(y) - y|^2 + 2 sigma_n^2 div h(y) - sigma_n^2 (a pixel)
has the mean of |h(y) - x0|^2 (Stein 1981). The divergence is estimated by a difference along random
directions. Over few images seen often this can be driven below zero: h learns the noise by heart.
"""

from __future__ import annotations

import torch
from torch import Tensor

from memaudit.corruption.noise import per_row
from memaudit.train.batch import Batch, Estimate, weighted

STEP = 0.02  # of the difference, times sigma: small beside what h resolves, large beside rounding
RAMP = 0.5  # share of the training over which the weight of denoising rises to 1


def sure(h: Estimate, batch: Batch) -> Tensor:
    """SURE of h at the noisy copies, and denoising of what h makes of them.

    SURE-Score (Aali et al. 2023, arXiv 2305.01166). The denoised copies h(x_n) stand in for clean
    images at every level, and their weight rises from 0; no gradient flows into them. They vary
    less than clean images do, and so do the samples of such a model.
    """
    level = torch.full_like(batch.sigma, batch.sigma_n)
    denoised, risk = _risk(h, batch.x_n, level, batch)
    x0 = denoised.detach()
    x = x0 + per_row(batch.sigma, x0) * batch.noise
    error = (h(x, batch.sigma) - x0).square()
    ramp = min(1.0, batch.done / RAMP)
    return weighted(risk, level**2) + ramp * weighted(error, batch.sigma**2)


def gsure(h: Estimate, batch: Batch) -> Tensor:
    """The same at every level above sigma_n, on the pixels that are seen.

    GSURE diffusion (Kawar et al. 2023, arXiv 2305.13128): w (|A (h(x) - x_n)|^2 + 2 sigma_n^2 v'Jv)
    with v normal under A. The factor of the divergence, there a constant of 1e-4, is here
    sigma_n^2, with which the estimate is exact. Hidden pixels hold noise alone, and h is not told
    which they are.
    """
    added = per_row((batch.sigma**2 - batch.sigma_n**2).clamp(min=0).sqrt(), batch.x0)
    seen = batch.x_n + added * batch.noise
    hidden = per_row(batch.sigma, batch.x0) * batch.noise
    x = batch.mask * seen + (1 - batch.mask) * hidden
    _, risk = _risk(h, x, batch.sigma, batch)
    return weighted(risk, batch.sigma**2)


def _risk(h: Estimate, x: Tensor, sigma: Tensor, batch: Batch) -> tuple[Tensor, Tensor]:
    """-> h(x), and what has the mean of (h(x) - x0)^2 under the mask; x holds the noisy copies."""
    probe = batch.mask * batch.normal()
    step = per_row(STEP * sigma, x)
    estimate = h(x, sigma)
    divergence = probe * (h(x + step * probe, sigma) - estimate) / step
    error = batch.mask * (estimate - batch.x_n).square()
    return estimate, error + batch.sigma_n**2 * (2 * divergence - batch.mask)
