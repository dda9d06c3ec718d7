"""Any family fits that says what its network sees and how the answer becomes x0."""

from collections.abc import Callable

import pytest
import torch
from outside import edm, flow
from torch import Tensor

from memaudit.models.closed_form import ClosedForm
from memaudit.models.pixel import PixelDenoiser
from memaudit.models.self_check import self_check

SIGMAS = torch.tensor([0.02, 0.3, 1.0, 4.0, 20.0])
families = pytest.mark.parametrize("make", [edm, flow])
Make = Callable[[Tensor], PixelDenoiser]


@families
def test_an_exact_network_of_another_family_gives_the_exact_posterior_mean(
    make: Make, clean: Tensor
) -> None:
    noise = torch.randn((5, *clean.shape[1:]), generator=torch.Generator().manual_seed(0))
    x = clean[:5] + SIGMAS.view(-1, 1, 1, 1) * noise
    exact = ClosedForm(clean).denoise(x, SIGMAS)
    torch.testing.assert_close(make(clean).denoise(x, SIGMAS), exact, rtol=0, atol=1e-4)


@families
def test_the_range_of_levels_is_that_of_the_parameterization(make: Make, clean: Tensor) -> None:
    denoiser = make(clean)
    assert denoiser.sigma_min == denoiser.parameterization.sigma_min < SIGMAS[0]
    assert denoiser.sigma_max == denoiser.parameterization.sigma_max > SIGMAS[-1]


@families
def test_the_self_check_compares_the_readings_of_another_family(make: Make, clean: Tensor) -> None:
    check = self_check(make(clean), clean)
    assert check.best_alternative.endswith(("with its sign flipped", "pixels in 0 .. 1"))
    assert check.best_log_ratio > 0
