"""Every loss, on data whose best denoiser is known in closed form."""

from collections.abc import Callable
from dataclasses import replace

import pytest
import torch
from mixtures import GAUSSIAN, SHAPE, TWO, Mixture
from torch import Tensor

from memaudit.config import LossName
from memaudit.train.batch import SIGMA_DATA, Batch, Draws, weighted
from memaudit.train.losses import LOSSES

N, SIGMA_N, SHARE = 8192, 0.4, 0.3
LEVELS: dict[LossName, tuple[float, ...]] = {
    "clean": (0.1, 0.5, 3.0),
    "ambient": (0.5, 0.8, 3.0),
    "ambient-mixed": (0.1, 0.5, 3.0),
    "ambient-mask": (0.1, 0.5, 3.0),
    "sure": (SIGMA_N,),
    "gsure": (SIGMA_N, 0.8, 2.0),
}
CASES = [(name, sigma) for name, sigmas in LEVELS.items() for sigma in sigmas]
every_case = pytest.mark.parametrize(("name", "sigma"), CASES)
every_law = pytest.mark.parametrize("law", [GAUSSIAN, TWO], ids=["gaussian", "two components"])


def batch(law: Mixture, sigma: float, name: LossName = "clean") -> Batch:
    generator = torch.Generator().manual_seed(0)
    x0 = law.sample(N, generator)
    frozen, noise = (torch.randn(x0.shape, generator=generator).double() for _ in range(2))
    seen, further = (
        (torch.rand(x0.shape, generator=generator) >= SHARE).double() for _ in range(2)
    )
    one = Batch(x0, frozen, torch.full((N,), sigma).double(), noise, SIGMA_N)
    one = replace(one, draws=Draws(generator, x0.shape), done=0.0)
    return replace(one, mask=seen, further=seen * further) if name == "ambient-mask" else one


def loss_of(law: Mixture, case: tuple[LossName, float], move: Callable[[Tensor], Tensor]) -> Tensor:
    """Loss of the best denoiser with something added that `move` makes of x."""
    name, sigma = case
    seen = batch(law, sigma, name)
    mask = seen.further if name == "ambient-mask" else None
    return LOSSES[name](lambda x, s: law.posterior_mean(x, s, mask) + move(x), seen)


@every_law
@every_case
def test_every_loss_is_least_at_the_best_denoiser(
    law: Mixture, name: LossName, sigma: float
) -> None:
    best = loss_of(law, (name, sigma), torch.zeros_like)
    for step in (-0.2, 0.2):
        bend = [lambda x: step * torch.ones_like(x), lambda x: step * torch.sin(2 * x)]  # noqa: B023
        for move in (*bend, lambda x: step * x / (1 + sigma)):  # noqa: B023
            assert loss_of(law, (name, sigma), move) > best


@every_law
@every_case
def test_the_gradient_of_every_loss_vanishes_at_the_best_denoiser(
    law: Mixture, name: LossName, sigma: float
) -> None:
    """Beside the gradient at a denoiser that is .2 off."""

    def slope(at: float) -> float:
        knob = torch.tensor(at, dtype=torch.float64, requires_grad=True)
        loss_of(law, (name, sigma), lambda x: knob * torch.cos(x)).backward()
        return float(knob.grad)

    assert abs(slope(0.0)) < 0.2 * abs(slope(0.2))


@every_law
def test_what_is_hidden_is_learned_under_the_mask_and_not_under_what_is_hidden_on_top(
    law: Mixture,
) -> None:
    seen = batch(law, 0.5, "ambient-mask")

    def loss(batch: Batch, step: float) -> float:
        hidden = 1 - seen.further
        return float(
            LOSSES["ambient-mask"](
                lambda x, s: law.posterior_mean(x, s, seen.further) + step * hidden, batch
            )
        )

    assert loss(seen, 0.3) > 1.02 * loss(seen, 0.0)
    narrow = replace(seen, mask=seen.further)
    assert loss(narrow, 0.3) == pytest.approx(loss(narrow, 0.0), rel=1e-12)


@every_law
@pytest.mark.parametrize("sigma", [SIGMA_N, 0.8, 2.0])
def test_steins_estimate_has_the_mean_of_the_error_it_stands_for(
    law: Mixture, sigma: float
) -> None:
    """For any h, here one that is not the best; gsure at sigma_n is what sure is made of."""
    h: Callable[[Tensor, Tensor], Tensor] = lambda x, _: 0.8 * torch.tanh(1.5 * x)  # noqa: E731
    seen = batch(law, sigma)
    x = seen.x_n + (sigma**2 - SIGMA_N**2) ** 0.5 * seen.noise
    truth = float(weighted((h(x, seen.sigma) - seen.x0).square(), seen.sigma**2))
    assert float(LOSSES["gsure"](h, seen)) == pytest.approx(truth, rel=0.06)
    if sigma == SIGMA_N:
        assert float(LOSSES["sure"](h, seen)) == pytest.approx(truth, rel=0.06)


def test_gsure_counts_the_pixels_that_are_seen_alone() -> None:
    """Of independent pixels the seen ones come to the same error; hidden ones hold noise alone."""
    seen = batch(GAUSSIAN, 0.8)
    half = torch.ones(N, *SHAPE).double()
    half[:, :, 0] = 0

    def answers(move: float) -> Callable[[Tensor, Tensor], Tensor]:
        return lambda x, _: 0.3 * x + move * (1 - half)

    masked = replace(seen, mask=half)
    at_rest, moved = (float(LOSSES["gsure"](answers(move), masked)) for move in (0.0, 5.0))
    first = float(LOSSES["gsure"](answers(0.0), replace(masked, draws=None, x0=seen.x0 * half)))
    assert moved == pytest.approx(at_rest, rel=0.05)
    assert first == pytest.approx(at_rest, rel=0.1)


@pytest.mark.parametrize(("done", "share"), [(0.0, 0.0), (0.25, 0.5), (0.5, 1.0), (1.0, 1.0)])
def test_the_denoised_copies_count_more_and_more_in_sure(done: float, share: float) -> None:
    seen = batch(GAUSSIAN, 1.5)

    def loss(at: float) -> float:
        fresh = Draws(torch.Generator().manual_seed(1), seen.x0.shape)
        h: Callable[[Tensor, Tensor], Tensor] = lambda x, s: (  # noqa: E731
            x / (1 + 4 * s.view(-1, 1, 1, 1) ** 2)
        )
        return float(LOSSES["sure"](h, replace(seen, done=at, draws=fresh)))

    assert loss(done) - loss(0.0) == pytest.approx(share * (loss(1.0) - loss(0.0)), abs=1e-9)


def test_no_gradient_flows_into_the_copies_that_sure_denoises() -> None:
    seen = replace(batch(GAUSSIAN, 1.5), done=1.0)
    knob = torch.zeros((), dtype=torch.float64, requires_grad=True)

    def at_sigma_n_only(x: Tensor, sigma: Tensor) -> Tensor:
        return 0.3 * x + knob * (sigma == SIGMA_N).view(-1, 1, 1, 1)

    LOSSES["sure"](at_sigma_n_only, seen).backward()
    with_denoising = float(knob.grad)
    knob.grad = None
    fresh = Draws(torch.Generator().manual_seed(0), seen.x0.shape)
    LOSSES["sure"](at_sigma_n_only, replace(seen, done=0.0, draws=fresh)).backward()
    assert with_denoising == pytest.approx(float(knob.grad), rel=1e-9)


def test_the_weight_makes_the_best_loss_of_a_gaussian_one() -> None:
    one = torch.full((4,), 0.7)
    error = torch.full((4, 1, 2, 2), SIGMA_DATA**2 * 0.49 / (SIGMA_DATA**2 + 0.49))
    assert float(weighted(error, one**2)) == pytest.approx(1, rel=1e-5)
