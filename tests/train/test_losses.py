import math

import pytest
import torch
from torch import Tensor

from memaudit.models.denoiser import per_row
from memaudit.train.losses import LOSSES, SIGMA_DATA, clean

MU, S = 0.2, 0.5


def gain(sigma: Tensor) -> Tensor:
    """Of the optimal denoiser of N(MU, S^2): D(x) = MU + gain (x - MU)."""
    return S**2 / (S**2 + sigma**2)


def batch(sigma: float) -> tuple[Tensor, Tensor, Tensor]:
    generator = torch.Generator().manual_seed(0)
    x0 = MU + S * torch.randn(256, 1, 8, 8, generator=generator)
    return x0, torch.full((256,), sigma), torch.randn(x0.shape, generator=generator)


def loss_of(sigma: float, slope: float = 0.0, offset: float = 0.0) -> float:
    """Clean loss of the optimal denoiser, with its gain and its mean perturbed."""

    def h(x: Tensor, level: Tensor) -> Tensor:
        return MU + offset + per_row(gain(level) + slope, x) * (x - MU)

    return float(clean(h, *batch(sigma)))


@pytest.mark.parametrize("sigma", [0.1, 0.5, 3.0])
def test_clean_loss_is_least_at_the_optimal_denoiser(sigma: float) -> None:
    best = loss_of(sigma)
    for step in (0.03, 0.1):
        assert loss_of(sigma, slope=step) > best
        assert loss_of(sigma, slope=-step) > best
        assert loss_of(sigma, offset=step) > best
        assert loss_of(sigma, offset=-step) > best


@pytest.mark.parametrize("sigma", [0.05, 0.5, 5.0])
def test_clean_loss_of_the_optimal_denoiser_is_one_at_every_level(sigma: float) -> None:
    assert S == SIGMA_DATA
    assert loss_of(sigma) == pytest.approx(1, abs=0.03)


def test_gradient_vanishes_at_the_optimal_denoiser() -> None:
    slope = torch.zeros((), requires_grad=True)
    clean(lambda x, level: MU + per_row(gain(level) + slope, x) * (x - MU), *batch(0.5)).backward()
    assert abs(float(slope.grad)) < 0.05


def test_levels_of_a_batch_are_weighted_each_by_its_own() -> None:
    x0, noise = torch.zeros(2, 1, 2, 2), torch.ones(2, 1, 2, 2)
    sigma = torch.tensor([0.5, 2.0])
    loss = float(clean(lambda x, _: x, x0, sigma, noise))  # the identity errs by sigma
    expected = [(s**2 + 0.25) / 0.25 for s in (0.5, 2.0)]
    assert math.isclose(loss, sum(expected) / 2, rel_tol=1e-6)


def test_losses_are_found_by_the_names_of_the_command_line() -> None:
    assert LOSSES["clean"] is clean
