"""Samplers on a Gaussian prior N(mu, s^2), whose denoiser and ODE solution are known exactly.

D(x, sigma) = mu + s^2/(s^2 + sigma^2) (x - mu), and the probability-flow ODE carries x at sigma to
mu + s/sqrt(s^2 + sigma^2) (x - mu) at 0.
"""

from collections.abc import Callable

import pytest
import torch
from diffusers import DDIMScheduler, UNet2DModel
from torch import Tensor

from memaudit.attacks import samplers
from memaudit.attacks.samplers import sampling_sigmas
from memaudit.corruption.noise import per_row
from memaudit.models.families.pixel import wrap

MU, S = 0.3, 0.5
SIGMA_MIN = 1e-5
Solver = Callable[[samplers.Denoise, Tensor, Tensor], Tensor]
SOLVERS = [samplers.euler, samplers.heun, samplers.dpmpp_2m]


def denoise(x: Tensor, sigma: Tensor) -> Tensor:
    return MU + per_row(S**2 / (S**2 + sigma**2), x) * (x - MU)


def exact(x: Tensor, sigma: Tensor) -> Tensor:
    return MU + per_row(S / (S**2 + sigma**2).sqrt(), x) * (x - MU)


def start() -> tuple[Tensor, Tensor]:
    sigma = torch.tensor([0.4, 2.0, 8.0], dtype=torch.float64)
    noise = torch.randn(3, 1, 4, 4, generator=torch.Generator().manual_seed(0))
    return MU + per_row(sigma, noise) * noise.double(), sigma


def error(solver: Solver, steps: int) -> float:
    x, sigma = start()
    sample = solver(denoise, x, sampling_sigmas(sigma, SIGMA_MIN, steps))
    return float((sample - exact(x, sigma)).abs().max())


@pytest.mark.parametrize(
    ("solver", "order"), [(samplers.euler, 1), (samplers.heun, 2), (samplers.dpmpp_2m, 2)]
)
def test_error_falls_at_the_order_of_the_method(solver: Solver, order: int) -> None:
    ratios = [error(solver, steps) / error(solver, 2 * steps) for steps in (40, 80, 160)]
    assert 2**order * 0.85 < min(ratios)
    assert max(ratios) < 2**order * 1.25


@pytest.mark.parametrize("solver", SOLVERS)
def test_sample_is_the_solution_of_the_ode(solver: Solver) -> None:
    assert error(solver, 400) < (2e-2 if solver is samplers.euler else 2e-4)


@pytest.mark.parametrize("solver", SOLVERS)
def test_rows_of_other_levels_do_not_enter(solver: Solver) -> None:
    x, sigma = start()
    together = solver(denoise, x, sampling_sigmas(sigma, 0.01, 7))
    for k in range(3):
        alone = solver(denoise, x[k : k + 1], sampling_sigmas(sigma[k : k + 1], 0.01, 7))
        torch.testing.assert_close(together[k], alone[0], rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize("solver", SOLVERS)
def test_one_step_is_the_posterior_mean(solver: Solver) -> None:
    x, sigma = start()
    sample = solver(denoise, x, sampling_sigmas(sigma, 0.01, 1))
    torch.testing.assert_close(sample, denoise(x, sigma))


@pytest.mark.parametrize("solver", SOLVERS)
def test_start_at_the_lowest_level_stays_finite(solver: Solver) -> None:
    x = torch.ones(2, 1, 4, 4)
    sigma = torch.tensor([0.01, 0.5])
    sample = solver(denoise, x, sampling_sigmas(sigma, 0.01, 5))
    assert sample.isfinite().all()
    torch.testing.assert_close(sample[0], denoise(x, sigma)[0], rtol=0, atol=1e-3)


def test_levels_fall_from_the_start_over_the_lowest_to_zero() -> None:
    sigma = torch.tensor([0.005, 0.5, 20.0])
    levels = sampling_sigmas(sigma, 0.01, 6)
    assert levels.shape == (7, 3)
    assert torch.equal(levels[0], sigma)
    torch.testing.assert_close(levels[-2], torch.tensor([0.005, 0.01, 0.01]), rtol=1e-4, atol=0)
    assert torch.equal(levels[-1], torch.zeros(3))
    assert (levels[1:, 1:] < levels[:-1, 1:]).all()


def test_levels_are_spaced_as_karras_does() -> None:
    levels = sampling_sigmas(torch.tensor([80.0], dtype=torch.float64), 0.002, 18)[:-1, 0]
    ramp = torch.arange(18, dtype=torch.float64) / 17
    expected = (80 ** (1 / 7) + ramp * (0.002 ** (1 / 7) - 80 ** (1 / 7))) ** 7
    torch.testing.assert_close(levels, expected, rtol=1e-5, atol=0)


def test_euler_is_ddim_of_diffusers() -> None:
    torch.manual_seed(0)
    network = UNet2DModel(
        sample_size=8,
        block_out_channels=(8, 16),
        down_block_types=("DownBlock2D", "DownBlock2D"),
        up_block_types=("UpBlock2D", "UpBlock2D"),
        norm_num_groups=4,
        layers_per_block=1,
    )
    network.eval().requires_grad_(False)
    config = {"beta_schedule": "squaredcos_cap_v2", "clip_sample": False}
    scheduler = DDIMScheduler(**config)
    scheduler.set_timesteps(10)
    x_t = torch.randn(2, 3, 8, 8)
    denoiser = wrap(network, config)
    levels = [denoiser.sigma_of_timestep(t) for t in scheduler.timesteps.tolist()]
    sigmas = torch.tensor([*levels, 0.0]).view(-1, 1).expand(-1, 2)
    ours = samplers.euler(denoiser.denoise, x_t * (1 + levels[0] ** 2) ** 0.5, sigmas)
    for t in scheduler.timesteps:
        x_t = scheduler.step(network(x_t, t).sample, t, x_t).prev_sample
    assert float((ours - x_t).abs().max()) < 1e-4 * float(x_t.abs().max())


def test_ancestral_samples_have_the_variance_of_the_posterior() -> None:
    generator = torch.Generator().manual_seed(0)
    x = torch.full((20_000, 1, 1, 1), 1.1, dtype=torch.float64)
    sigma = torch.full((20_000,), 0.8, dtype=torch.float64)
    sample = samplers.ancestral(
        denoise,
        x,
        sampling_sigmas(sigma, 1e-3, 200),
        lambda: torch.randn(x.shape, generator=generator, dtype=x.dtype),
    )
    assert float(sample.mean()) == pytest.approx(float(denoise(x, sigma)[0]), abs=0.01)
    assert float(sample.var()) == pytest.approx(S**2 * 0.8**2 / (S**2 + 0.8**2), rel=0.04)


def test_ancestral_draws_noise_once_a_step() -> None:
    x, sigma = start()
    calls = []

    def noise() -> Tensor:
        calls.append(1)
        return torch.zeros_like(x)

    samplers.ancestral(denoise, x, sampling_sigmas(sigma, 0.01, 9), noise)
    assert len(calls) == 9
