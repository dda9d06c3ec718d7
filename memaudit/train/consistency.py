"""The consistency term: what a model of noisy copies cannot learn from them, below sigma_n.

Along its own reverse process the posterior mean is a martingale: h(x_t) = E[h(x_s) | x_t] for s < t
(Daras et al. 2023, arXiv 2302.09057; 2024, arXiv 2404.10177). Above sigma_n h is learned from
data; the term hands it down, level by level.

How levels are drawn. Each row starts at sigma_n / RATIO from its noisy copy, goes down in CHAIN
stochastic steps, without gradients, to a level t, and there takes one last step to s = RATIO t
twice or more, independently. log t is uniform from lowest / RATIO to sigma_n / RATIO, so all levels
from `lowest` on are reached, and each factor between levels is seen as often as any other.

The long steps of the chain only choose where h is tested; the last step decides what it is
taught. Taken with h(x_t) as the one estimate of x0 it is exact for Gaussian data and biased for
others, the more the longer it is: at sigma 1, on two narrow peaks at -1 and 1, the exact h misses
by 0.7 %, 6 %, 16 % and 29 % of its size at s/t = .9, .7, .5 and .2. Hence RATIO.
"""

from __future__ import annotations

import torch
from torch import Tensor

from memaudit.attacks.samplers import ancestral, ancestral_step
from memaudit.train.batch import Batch, Estimate, weighted

RATIO = 0.9
CHAIN = 4


def consistency(h: Estimate, batch: Batch, lowest: float, samples: int = 2) -> Tensor:
    """Weighted mean of (h(x_s') - h(x_t)) (h(x_s'') - h(x_t)) over all pairs of inner samples."""
    sigma = draw_levels(batch.uniform(), batch.sigma_n, lowest)
    x = _descend(h, batch, sigma)
    return residual(h, x, (sigma, RATIO * sigma), [batch.normal() for _ in range(samples)])


def residual(h: Estimate, x: Tensor, levels: tuple[Tensor, Tensor], noises: list[Tensor]) -> Tensor:
    """Unbiased square of E[h(x_s) | x_t] - h(x_t), weighted; one inner sample for each noise.

    `x` [B, C, H, W] is at the first of the levels ([B] each), the samples are at the second.
    """
    sigma, after = levels
    estimate = h(x, sigma)
    total, squares = torch.zeros_like(x), torch.zeros_like(x)
    for noise in noises:
        miss = h(ancestral_step(x, estimate.detach(), levels, noise), after) - estimate
        total, squares = total + miss, squares + miss.square()
    pairs = len(noises) * (len(noises) - 1)
    return weighted((total.square() - squares) / pairs, sigma**2)


def draw_levels(uniform: Tensor, sigma_n: float, lowest: float) -> Tensor:
    """[B] numbers in [0, 1) -> levels t, log-uniform in lowest / RATIO .. sigma_n / RATIO."""
    return sigma_n / RATIO * (lowest / sigma_n) ** uniform


@torch.no_grad()
def _descend(h: Estimate, batch: Batch, sigma: Tensor) -> Tensor:
    """From the noisy copies, made a little noisier, to x at the levels sigma [B]."""
    start = batch.sigma_n / RATIO
    added = (start**2 - batch.sigma_n**2) ** 0.5
    shares = torch.linspace(0, 1, CHAIN + 1).to(sigma).view(-1, 1)
    levels = start * (sigma / start) ** shares
    return ancestral(h, batch.x_n + added * batch.normal(), levels, batch.normal)
