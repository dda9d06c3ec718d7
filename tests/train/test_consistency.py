"""The consistency term, on data whose best denoiser is known in closed form."""

import math
from collections.abc import Callable

import numpy as np
import pytest
import torch
from mixtures import GAUSSIAN, Mixture
from torch import Tensor, nn

from memaudit.attacks.samplers import ancestral_step, euler, sampling_sigmas
from memaudit.corruption.noise import per_row
from memaudit.train.batch import Batch, Draws
from memaudit.train.consistency import RATIO, consistency, draw_levels, residual
from memaudit.train.losses import ambient

MU, S, SIGMA_N, LOWEST, HIGHEST = 0.2, 0.5, 0.5, 0.1, 8.0
PEAKS = Mixture(  # one pixel, read off four that are alike
    torch.tensor([0.5, 0.5]).double(),
    torch.tensor([[-1.0] * 4, [1.0] * 4]).double(),
    torch.stack([0.13**2 * torch.eye(4).double()] * 2),
)


def two_peaks(x: Tensor, sigma: Tensor) -> Tensor:
    """E[x0 | x] in one dimension for two peaks of width .13 at -1 and 1; any shape."""
    total = 0.13**2 + per_row(sigma, x) ** 2
    share = torch.tanh(x / total)
    return (0.13**2 * x + (total - 0.13**2) * share) / total


def quadrature(ratio: float) -> tuple[float, float]:
    """RMS of E[h(x_s) | x_t] - h(x_t) under one step of that ratio from sigma 1, and of h."""
    x = torch.linspace(-6, 6, 1201).double().view(-1, 1, 1, 1)
    spread = math.sqrt(0.13**2 + 1)
    density = sum(torch.exp(-0.5 * ((x - m) / spread) ** 2) for m in (-1, 1)).flatten()
    nodes, masses = np.polynomial.hermite_e.hermegauss(60)
    sigma = torch.ones(len(x)).double()
    estimate = two_peaks(x, sigma)
    mean = sum(
        mass * two_peaks(ancestral_step(x, estimate, (sigma, ratio * sigma), z), ratio * sigma)
        for z, mass in zip(torch.from_numpy(nodes), masses / masses.sum(), strict=True)
    )
    shares = density / density.sum()
    rms = [float((shares * a.flatten() ** 2).sum().sqrt()) for a in (mean - estimate, estimate)]
    return rms[0], rms[1]


@pytest.mark.parametrize(("ratio", "bias"), [(0.9, 0.005), (0.7, 0.044), (0.5, 0.118), (0.2, 0.22)])
def test_long_inner_steps_are_biased_on_two_peaks(ratio: float, bias: float) -> None:
    found, size = quadrature(ratio)
    assert found == pytest.approx(bias, rel=0.1)
    assert size == pytest.approx(0.75, rel=0.01)


def test_the_term_is_the_square_of_that_bias() -> None:
    generator = torch.Generator().manual_seed(0)
    x0 = PEAKS.sample(20000, generator)
    x = x0 + torch.randn(x0.shape, generator=generator).double()
    noises = [torch.randn(x0.shape, generator=generator).double() for _ in range(4)]
    sigma = torch.ones(len(x)).double()
    found = residual(two_peaks, x, (sigma, 0.5 * sigma), noises)
    weight = 1 / S**2 + 1
    assert float(found) == pytest.approx(weight * quadrature(0.5)[0] ** 2, rel=0.1)


@pytest.mark.parametrize("ratio", [0.9, 0.5, 0.2])
@pytest.mark.parametrize("samples", [2, 4])
def test_steps_of_any_length_are_exact_on_a_gaussian(ratio: float, samples: int) -> None:
    generator = torch.Generator().manual_seed(0)
    x0 = GAUSSIAN.sample(20000, generator)
    sigma = torch.ones(len(x0)).double()
    x, *noises = (torch.randn(x0.shape, generator=generator).double() for _ in range(samples + 1))
    levels = (sigma, ratio * sigma)
    exact = residual(GAUSSIAN.posterior_mean, x0 + x, levels, noises)
    wrong = residual(lambda y, _: 0.5 * y, x0 + x, levels, noises)
    assert abs(float(exact)) < 0.001
    assert float(wrong) > 0.01


def test_levels_reach_from_the_lowest_to_just_above_the_noise_of_the_copies() -> None:
    levels = draw_levels(torch.linspace(0, 1, 101), SIGMA_N, LOWEST)
    assert float(levels.max()) == pytest.approx(SIGMA_N / RATIO)
    assert float(levels.min()) == pytest.approx(LOWEST / RATIO)
    steps = levels.log().diff()
    assert torch.allclose(steps, steps.mean(), rtol=1e-3)


class Linear(nn.Module):
    """h(x, sigma) = mean + gain (x - mean), gain and mean free at each of some levels."""

    def __init__(self) -> None:
        super().__init__()
        self.log_levels = torch.linspace(math.log(LOWEST), math.log(HIGHEST), 16)
        self.gain, self.mean = (nn.Parameter(torch.zeros(16)) for _ in range(2))

    def forward(self, x: Tensor, sigma: Tensor) -> Tensor:
        spacing = self.log_levels[1] - self.log_levels[0]
        distance = (sigma.log().view(-1, 1) - self.log_levels).abs() / spacing
        hats = (1 - distance).clamp(min=0)
        gain, mean = (per_row(hats @ knob, x) for knob in (self.gain, self.mean))
        return mean + gain * (x - mean)


def trained(weight: float, steps: int = 600) -> Linear:
    """Learn N(MU, S^2) from noisy copies alone, with the consistency term or without."""
    h = Linear()
    optimizer = torch.optim.Adam(h.parameters(), lr=0.03, betas=(0.9, 0.99))
    decay = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, steps)
    for step in range(steps):
        draws = Draws(torch.Generator().manual_seed(step), (512, 1, 2, 2))
        x0 = MU + S * draws.normal()
        sigma = 1.001 * SIGMA_N * (HIGHEST / 1.001 / SIGMA_N) ** draws.uniform()
        batch = Batch(x0, draws.normal(), sigma, draws.normal(), SIGMA_N, draws=draws)
        loss = ambient(h, batch)
        if weight:
            loss = loss + weight * consistency(h, batch, LOWEST)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        decay.step()
    return h


@torch.no_grad()
def variance_of_samples(h: Callable[[Tensor, Tensor], Tensor], end: float) -> float:
    """Of what the sampler makes of pure noise, stopping at a level."""
    generator = torch.Generator().manual_seed(0)
    start = torch.full((20000,), HIGHEST)
    noise = math.hypot(HIGHEST, S) * torch.randn(20000, 1, 1, 2, generator=generator) + MU
    return float(euler(h, noise, sampling_sigmas(start, end, 250)).var())


def exact(x: Tensor, sigma: Tensor) -> Tensor:
    return MU + per_row(S**2 / (S**2 + sigma**2), x) * (x - MU)


def test_the_levels_below_the_noise_of_the_copies_are_learned_with_the_term_alone() -> None:
    best = variance_of_samples(exact, LOWEST)
    assert best == pytest.approx(S**2, rel=0.05)
    without, term = trained(0.0, steps=200), trained(1.0)
    assert variance_of_samples(term, LOWEST) == pytest.approx(best, rel=0.05)
    assert variance_of_samples(without, LOWEST) < 0.5 * best
    stopped = variance_of_samples(without, 1.1 * SIGMA_N)  # posterior means, too narrow
    assert stopped == pytest.approx(variance_of_samples(exact, 1.1 * SIGMA_N), rel=0.05)
    assert stopped < 0.6 * S**2
