"""A model that memorized few images exactly and knows the others' mean and covariance."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Literal

import torch
from torch import Tensor

from memaudit.errors import ConfigError
from memaudit.models.closed_form import ClosedForm
from memaudit.models.codec import Coded, PixelCodec
from memaudit.models.denoiser import Conditioning, Denoiser


@dataclass(frozen=True, eq=False)
class Mixture(Coded):
    """Exact posterior mean under 1/2 empirical(memorized) + 1/2 Gaussian(mean, covariance of pool).

    `memorized` [K, C, H, W] and `pool` [P, C, H, W] are float32 in [-1, 1]; sums run in float64.
    """

    memorized: Tensor
    pool: Tensor
    sigma_min: float = 1e-3
    sigma_max: float = 1e4
    estimate: Literal["mean", "sample"] = "mean"
    conditioning: Conditioning = "none"
    mask: None = None
    device: torch.device = field(default_factory=lambda: torch.device("cpu"))

    @property
    def codec(self) -> PixelCodec:
        return PixelCodec((*self.memorized.shape[1:],), self.device)

    @cached_property
    def gaussian(self) -> tuple[Tensor, Tensor, Tensor]:
        """-> mean [D], variances [D] and directions [D, D] of the pool."""
        flat = self.pool.flatten(1).double()
        variances, directions = torch.linalg.eigh(torch.cov(flat.T))
        return flat.mean(0), variances.clamp(min=0), directions

    def denoise(self, x: Tensor, sigma: Tensor, prompts: Sequence[str] = ()) -> Tensor:  # noqa: ARG002
        mean, variances, directions = self.gaussian
        flat, square = x.flatten(1).double(), sigma.double()[:, None] ** 2
        parts = (flat - mean) @ directions
        total = variances + square
        smooth = mean + (parts * variances / total) @ directions.T
        log_smooth = -0.5 * (parts**2 / total + total.log()).sum(1)
        images = self.memorized.flatten(1).double()
        distances = torch.cdist(flat, images) ** 2
        log_each = -0.5 * (distances / square + images.shape[1] * square.log())
        log_copies = torch.logsumexp(log_each, 1) - math.log(len(images))
        copies = torch.softmax(log_each, 1) @ images
        weight = torch.sigmoid(log_copies - log_smooth)[:, None]
        return (weight * copies + (1 - weight) * smooth).float().view_as(x)

    def sigma_of_timestep(self, timestep: int) -> float:
        raise ConfigError(f"no schedule for --timestep {timestep}")

    def misreadings(self) -> Iterator[tuple[str, Denoiser]]:
        return ClosedForm(self.memorized).misreadings()
