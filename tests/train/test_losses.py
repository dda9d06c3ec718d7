import math
from collections.abc import Callable
from dataclasses import replace
from typing import get_args

import numpy as np
import pytest
import torch
from scipy import stats
from torch import Tensor

from memaudit.config import LossName
from memaudit.corruption.noise import per_row
from memaudit.train.batch import SIGMA_DATA, Batch
from memaudit.train.losses import LOSSES, ambient, ambient_mixed, clean

MU, S, SIGMA_N = 0.2, 0.5, 0.4
LEVELS = {"clean": (0.1, 0.5, 3.0), "ambient": (0.45, 0.8, 3.0), "ambient-mixed": (0.1, 0.45, 3.0)}
CASES = [(name, sigma) for name, sigmas in LEVELS.items() for sigma in sigmas]


def gain(sigma: Tensor) -> Tensor:
    """Of the optimal denoiser of N(MU, S^2): D(x) = MU + gain (x - MU)."""
    return S**2 / (S**2 + sigma**2)


def batch(sigma: float) -> Batch:
    generator = torch.Generator().manual_seed(0)
    x0 = MU + S * torch.randn(1024, 1, 8, 8, generator=generator)
    frozen, noise = (torch.randn(x0.shape, generator=generator) for _ in range(2))
    return Batch(x0, frozen, torch.full((1024,), sigma), noise, SIGMA_N)


def loss_of(name: LossName, sigma: float, slope: float = 0.0, offset: float = 0.0) -> float:
    """Loss of the optimal denoiser, with its gain and its mean perturbed."""

    def h(x: Tensor, level: Tensor) -> Tensor:
        return MU + offset + per_row(gain(level) + slope, x) * (x - MU)

    return float(LOSSES[name](h, batch(sigma)))


@pytest.mark.parametrize(("name", "sigma"), CASES)
def test_every_loss_is_least_at_the_optimal_denoiser(name: LossName, sigma: float) -> None:
    best = loss_of(name, sigma)
    for step in (0.05, 0.15):
        assert loss_of(name, sigma, slope=step) > best
        assert loss_of(name, sigma, slope=-step) > best
        assert loss_of(name, sigma, offset=step) > best
        assert loss_of(name, sigma, offset=-step) > best


@pytest.mark.parametrize(("name", "sigma"), CASES)
def test_the_optimal_denoiser_has_a_loss_of_one_at_every_level(
    name: LossName, sigma: float
) -> None:
    assert S == SIGMA_DATA
    assert loss_of(name, sigma) == pytest.approx(1, abs=0.03)


@pytest.mark.parametrize(("name", "sigma"), CASES)
def test_gradient_vanishes_at_the_optimal_denoiser(name: LossName, sigma: float) -> None:
    slope = torch.zeros((), requires_grad=True)
    LOSSES[name](
        lambda x, level: MU + per_row(gain(level) + slope, x) * (x - MU), batch(sigma)
    ).backward()
    assert abs(float(slope.grad)) < 0.1


def test_levels_of_a_batch_are_weighted_each_by_its_own() -> None:
    x0, noise = torch.zeros(2, 1, 2, 2), torch.ones(2, 1, 2, 2)
    sigma = torch.tensor([0.5, 2.0])
    loss = float(
        clean(lambda x, _: x, Batch(x0, noise, sigma, noise))
    )  # the identity errs by sigma
    expected = [(s**2 + 0.25) / 0.25 for s in (0.5, 2.0)]
    assert math.isclose(loss, sum(expected) / 2, rel_tol=1e-6)


def test_an_ambient_loss_never_sees_the_clean_image() -> None:
    one = batch(1.0)
    moved = replace(one, x0=one.x0 + 0.4 * SIGMA_N, frozen=one.frozen - 0.4)  # the same noisy copy
    h: Callable[[Tensor, Tensor], Tensor] = lambda x, _: 0.3 * x  # noqa: E731
    assert float(ambient(h, moved)) == pytest.approx(float(ambient(h, one)), rel=1e-5)
    assert float(clean(h, moved)) != pytest.approx(float(clean(h, one)), rel=1e-2)


def test_the_mixed_loss_is_clean_up_to_sigma_n_and_ambient_above() -> None:
    def h(x: Tensor, _: Tensor) -> Tensor:
        return 0.3 * x

    for sigma, same in ((SIGMA_N, clean), (0.41, ambient), (2.0, ambient)):
        assert float(ambient_mixed(h, batch(sigma))) == float(same(h, batch(sigma)))


def test_the_double_tweedie_identity_holds_on_a_mixture() -> None:
    """E[x_n | x] = (1 - r) E[x0 | x] + r x, r = (sigma_n / sigma)^2 (Daras et al. 2024)."""
    means, spreads, weights = np.array([-1.0, 0.7]), np.array([0.2, 0.5]), np.array([0.3, 0.7])
    x, sigma, sigma_n = np.linspace(-4, 4, 101)[:, None], 1.3, 0.6

    def posterior_mean(hidden: np.ndarray, noise: float) -> np.ndarray:
        """Of a variable with these component variances, seen through that noise."""
        total = hidden + noise**2
        mass = weights * stats.norm.pdf(x, means, np.sqrt(total))
        each = means + hidden / total * (x - means)
        return (mass * each).sum(1) / mass.sum(1)

    clean_mean = posterior_mean(spreads**2, sigma)
    noisy_mean = posterior_mean(spreads**2 + sigma_n**2, math.sqrt(sigma**2 - sigma_n**2))
    ratio = (sigma_n / sigma) ** 2
    np.testing.assert_allclose(noisy_mean, (1 - ratio) * clean_mean + ratio * x[:, 0], atol=1e-6)


def ambient_memorizer(y: Tensor, sigma: float, sigma_n: float) -> Callable[[Tensor], Tensor]:
    """h that minimises the ambient loss over the noisy copies y [N, D] at one level."""
    added = sigma**2 - sigma_n**2

    def h(x: Tensor) -> Tensor:
        weights = torch.softmax(-(torch.cdist(x, y) ** 2) / (2 * added), 1)
        return (sigma**2 * weights @ y - sigma_n**2 * x) / added

    return h


def rms(values: Tensor) -> float:
    return float(values.square().mean().sqrt())


def test_the_ambient_memorizer_minimises_the_ambient_loss_of_its_images() -> None:
    generator = torch.Generator().manual_seed(1)
    x0, z = (torch.randn(8, 1, 2, 2, generator=generator).double() for _ in range(2))
    rows = torch.arange(8).repeat(500)
    sigma, noise = torch.full((4000,), 1.0).double(), torch.randn(4000, 1, 2, 2).double()
    seen = Batch(x0[rows], z[rows], sigma, noise, 0.5)
    memorizer = ambient_memorizer((x0 + 0.5 * z).flatten(1), 1.0, 0.5)

    def loss(scale: float, shift: float) -> float:
        return float(ambient(lambda x, _: scale * memorizer(x.flatten(1)).view_as(x) + shift, seen))

    best = loss(1.0, 0.0)
    for scale, shift in ((0.9, 0.0), (1.1, 0.0), (1.0, 0.1), (1.0, -0.1)):
        assert loss(scale, shift) > best


@pytest.mark.parametrize(
    ("sigma", "to_clean", "to_noisy"), [(0.8, 0.984, 0.616), (1.5, 0.597, 0.196), (5, 0.511, 0.051)]
)
def test_an_ambient_memorizer_knows_the_noisy_copies_and_not_the_clean_images(
    sigma: float, to_clean: float, to_noisy: float
) -> None:
    generator = torch.Generator().manual_seed(2)
    x0, z, n = (torch.randn(50, 2000, generator=generator).double() for _ in range(3))
    y = x0 + 0.5 * z
    found = ambient_memorizer(y, sigma, 0.5)(x0 + sigma * n)
    assert rms(found - x0) == pytest.approx(to_clean, rel=0.03)
    assert rms(found - y) == pytest.approx(to_noisy, rel=0.03)


def test_noise_that_is_drawn_again_gives_the_clean_images_away() -> None:
    generator = torch.Generator().manual_seed(3)
    x0 = 5 * torch.randn(20, 500, generator=generator).double()  # images far apart, copies near
    errors = []
    for copies in (1, 4, 64):
        z = torch.randn(copies, 20, 500, generator=generator).double()
        y = (x0 + 0.5 * z).flatten(0, 1)
        x = x0 + 16 * torch.randn(20, 500, generator=generator).double()
        errors.append(rms(ambient_memorizer(y, 16, 0.5)(x) - x0))
    assert errors[0] > 0.45
    assert errors[1] < 0.75 * errors[0]
    assert errors[2] < 0.5 * errors[1]


def test_losses_are_found_by_the_names_of_the_command_line() -> None:
    assert tuple(LOSSES) == get_args(LossName)
