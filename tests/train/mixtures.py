"""Mixtures of Gaussians over small images, whose posterior mean is known in closed form."""

from dataclasses import dataclass

import torch
from torch import Tensor

SHAPE = (1, 2, 2)
HIDDEN = 1e8  # variance of the noise on a pixel that is not seen


@dataclass(frozen=True, eq=False)
class Mixture:
    """weights [K], means [K, 4], covariances [K, 4, 4], all float64."""

    weights: Tensor
    means: Tensor
    covariances: Tensor

    def sample(self, n: int, generator: torch.Generator) -> Tensor:
        """[n, 1, 2, 2]."""
        which = torch.multinomial(self.weights, n, replacement=True, generator=generator)
        z = torch.randn(n, 4, 1, generator=generator).double()
        x = self.means[which] + (torch.linalg.cholesky(self.covariances)[which] @ z)[..., 0]
        return x.view(-1, *SHAPE)

    def posterior_mean(self, x: Tensor, sigma: Tensor, mask: Tensor | None = None) -> Tensor:
        """E[x0 | x] for x = x0 + sigma n [B, 1, 2, 2], of which the mask's zeros are not seen."""
        flat, noise = x.flatten(1), (sigma**2).view(-1, 1).expand(-1, 4)
        if mask is not None:
            noise = torch.where(mask.flatten(1) > 0, noise, HIDDEN)
        estimates, logs = [], []
        for weight, mean, covariance in zip(
            self.weights, self.means, self.covariances, strict=True
        ):
            total = covariance + torch.diag_embed(noise)
            solved = torch.linalg.solve(total, flat - mean)
            estimates.append(mean + solved @ covariance)
            square = ((flat - mean) * solved).sum(1)
            logs.append(weight.log() - 0.5 * (square + torch.logdet(total)))
        share = torch.softmax(torch.stack(logs), 0)[..., None]
        return (share * torch.stack(estimates)).sum(0).view_as(x)


def _covariance(spread: float, correlation: float) -> Tensor:
    ones = torch.ones(4, 4).double()
    return spread**2 * (correlation * ones + (1 - correlation) * torch.eye(4).double())


GAUSSIAN = Mixture(
    torch.ones(1).double(),
    torch.tensor([[0.2, -0.1, 0.0, 0.3]]).double(),
    _covariance(0.5, 0.6)[None],
)
TWO = Mixture(
    torch.tensor([0.4, 0.6]).double(),
    torch.tensor([[-0.6, -0.6, 0.4, 0.5], [0.5, 0.4, -0.5, 0.1]]).double(),
    torch.stack([_covariance(0.2, 0.5), _covariance(0.35, 0.2)]),
)
