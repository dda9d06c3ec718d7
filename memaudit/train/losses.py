"""Training losses: each a function of the estimate h, clean images, sigma and noise."""

from __future__ import annotations

from collections.abc import Callable

from torch import Tensor

from memaudit.models.denoiser import per_row

SIGMA_DATA = 0.5  # standard deviation of images in [-1, 1], Karras et al. 2022

Estimate = Callable[[Tensor, Tensor], Tensor]  # x [B, C, H, W], sigma [B] -> x0
Loss = Callable[[Estimate, Tensor, Tensor, Tensor], Tensor]


def clean(h: Estimate, x0: Tensor, sigma: Tensor, noise: Tensor) -> Tensor:
    """w(sigma) |h(x0 + sigma n) - x0|^2, mean over batch and pixels (Karras et al. 2022).

    w = (sigma^2 + sigma_d^2) / (sigma sigma_d)^2 gives every noise level about the same weight.
    """
    weight = (sigma**2 + SIGMA_DATA**2) / (sigma * SIGMA_DATA) ** 2
    error = (h(x0 + per_row(sigma, x0) * noise, sigma) - x0).square()
    return (per_row(weight, error) * error).mean()


LOSSES: dict[str, Loss] = {"clean": clean}
