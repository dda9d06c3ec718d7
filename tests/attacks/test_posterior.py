"""Posterior sampling where the posterior is known: Gaussians, a mixture of two, a memorizer."""

from dataclasses import dataclass

import numpy as np
import pytest
import torch
from torch import Tensor

from memaudit.attacks.posterior import Restore, conjugate_gradients
from memaudit.corruption.linear import Cosines, Seen, View
from memaudit.models.closed_form import ClosedForm
from memaudit.models.codec import Coded, PixelCodec

SHAPE, COUNT, SIGMA = (1, 2, 3), 6000, 0.1
SEEN = torch.tensor([1.0, 1.0, 1.0, 0.0, 0.0, 0.0])
HIDDEN = SEEN == 0


@dataclass(frozen=True, eq=False)
class Mixture(Coded):
    """E[x0 | x] of a mixture of Gaussians over images of six pixels."""

    weights: Tensor  # [K]
    means: Tensor  # [K, 6]
    covariances: Tensor  # [K, 6, 6]
    sigma_min: float = 1e-3
    sigma_max: float = 1e4
    codec = PixelCodec(SHAPE, torch.device("cpu"))

    @property
    def components(self):
        """Weight, mean and covariance of each."""
        return tuple(zip(self.weights, self.means, self.covariances, strict=True))

    def denoise(self, x: Tensor, sigma: Tensor, prompts: object = ()) -> Tensor:  # noqa: ARG002
        flat, level = x.flatten(1).double(), sigma.double()
        eye = torch.eye(6, dtype=torch.float64)
        logits, answers = [], []
        for weight, mean, covariance in zip(
            self.weights, self.means, self.covariances, strict=True
        ):
            whole = covariance + level[0] ** 2 * eye  # one level a batch
            away = torch.linalg.solve(whole, (flat - mean).T).T
            fit = -((flat - mean) * away).sum(1) / 2 - torch.logdet(whole) / 2
            logits.append(weight.log() + fit)
            answers.append(mean + away @ covariance)
        shares = torch.softmax(torch.stack(logits, 1), 1)
        mean = (shares[..., None] * torch.stack(answers, 1)).sum(1)
        return mean.float().view_as(x)

    def posterior(self, y: Tensor) -> tuple[Tensor, Tensor]:
        """Mean and covariance of the hidden pixels, given the seen ones with noise."""
        seen, logits, means, spreads = SEEN > 0, [], [], []
        for weight, mean, covariance in zip(
            self.weights, self.means, self.covariances, strict=True
        ):
            known = covariance[seen][:, seen] + SIGMA**2 * torch.eye(3, dtype=torch.float64)
            gain = torch.linalg.solve(known, covariance[seen][:, HIDDEN]).T
            away = y[seen] - mean[seen]
            fit = -(away @ torch.linalg.solve(known, away)) / 2 - torch.logdet(known) / 2
            logits.append(weight.log() + fit)
            means.append(mean[HIDDEN] + gain @ away)
            spreads.append(covariance[HIDDEN][:, HIDDEN] - gain @ covariance[seen][:, HIDDEN])
        shares = torch.softmax(torch.stack(logits), 0)
        middle = sum(share * one for share, one in zip(shares, means, strict=True))
        spread = sum(
            share * (one + torch.outer(mean - middle, mean - middle))
            for share, one, mean in zip(shares, spreads, means, strict=True)
        )
        return middle, spread


def covariance(seed: int) -> Tensor:
    root = torch.randn(6, 6, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
    return 0.04 * root @ root.T + 0.02 * torch.eye(6, dtype=torch.float64)


GAUSSIAN = Mixture(torch.ones(1, dtype=torch.float64), torch.full((1, 6), 0.2), covariance(0)[None])
APART = torch.tensor([0.1, -0.1, 0.1, 0.4, -0.3, 0.3], dtype=torch.float64)
TWO = Mixture(
    torch.tensor([0.6, 0.4], dtype=torch.float64),
    torch.stack([APART, -APART]),
    torch.stack([covariance(1), covariance(1)]),
)


def restored(model, y: Tensor, restore: Restore, count: int = COUNT) -> Tensor:
    view = View(SEEN.view(1, *SHAPE).expand(count, -1, -1, -1), Cosines())
    seen = Seen((y.float() * SEEN).view(1, *SHAPE).expand(count, -1, -1, -1), view, SIGMA)
    generators = [np.random.Generator(np.random.Philox(k)) for k in range(count)]
    return restore(model, seen, generators).flatten(1).double()


@pytest.mark.parametrize("model", [GAUSSIAN, TWO], ids=["Gaussian", "two components"])
def test_mean_and_covariance_of_what_is_hidden_are_those_of_the_posterior(model):
    y = torch.tensor([0.1, 0.3, -0.2, 0, 0, 0], dtype=torch.float64)
    mean, spread = model.posterior(y)
    hidden = restored(model, y, Restore(60, corrections=3))[:, HIDDEN]
    assert float((hidden.mean(0) - mean).norm() / spread.trace().sqrt()) < 0.05
    assert float((torch.cov(hidden.T) - spread).norm() / spread.norm()) < 0.05


def test_what_was_seen_comes_back_as_it_was_seen():
    y = torch.tensor([0.1, 0.3, -0.2, 0, 0, 0], dtype=torch.float64)
    rows = restored(GAUSSIAN, y, Restore(3, 1), count=4)
    torch.testing.assert_close(rows[:, ~HIDDEN], y[~HIDDEN].expand(4, 3), rtol=0, atol=1e-6)


def test_conjugate_gradients_solve_in_as_many_steps_as_there_are_numbers():
    matrix = covariance(2).float()
    right = torch.randn(3, 6, generator=torch.Generator().manual_seed(3))
    solved = conjugate_gradients(lambda rows: rows @ matrix, right, 8)
    torch.testing.assert_close(solved @ matrix, right, rtol=1e-3, atol=1e-3)


def test_a_memorizer_that_is_told_what_is_seen_answers_with_the_image_that_fits():
    images = torch.rand(5, 1, 2, 3, generator=torch.Generator().manual_seed(4)) * 2 - 1
    for k in range(5):
        found = restored(ClosedForm(images), images[k].flatten().double(), Restore(6, 1), count=3)
        torch.testing.assert_close(
            found[:, HIDDEN], images[k].flatten().double()[HIDDEN].expand(3, 3), rtol=0, atol=1e-3
        )


def test_the_posterior_of_a_memorizer_shares_what_cannot_be_told_apart():
    twins = torch.zeros(2, 1, 2, 3)
    twins[0, 0, 1], twins[1, 0, 1] = 0.5, -0.5  # alike where they are seen
    found = restored(
        ClosedForm(twins), torch.zeros(6, dtype=torch.float64), Restore(8, 1), count=400
    )
    assert float((found[:, HIDDEN].mean(1) > 0).double().mean()) == pytest.approx(0.5, abs=0.07)
    assert found[:, HIDDEN].abs().numpy() == pytest.approx(0.5, abs=1e-3)
