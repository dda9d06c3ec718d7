from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import get_args

import pytest
import torch
from torch import Tensor

from memaudit.attacks import samplers
from memaudit.attacks.corrupted import Corrupted
from memaudit.attacks.reconstruction import ODE, ONE_STEP, SAMPLE, Solve, preferred
from memaudit.config import Reconstruction, Sampler
from memaudit.corruption.noise import corrupt, generator, standard_normal
from memaudit.errors import InputError
from memaudit.models.closed_form import ClosedForm
from memaudit.records import Image

MODES = get_args(Reconstruction)
SAMPLERS = get_args(Sampler)


@dataclass(frozen=True, eq=False)
class Counted(ClosedForm):
    """The perfect memorizer, with a note of every evaluation."""

    calls: list[int] = field(default_factory=list)

    def denoise(self, x: Tensor, sigma: Tensor, prompts: Sequence[str] = ()) -> Tensor:
        self.calls.append(len(x))
        return super().denoise(x, sigma, prompts)


@pytest.fixture
def images(tiles: list[Image]) -> Tensor:
    stacked = torch.stack([torch.from_numpy(tile.copy()) for tile in tiles[:12]])
    return stacked.permute(0, 3, 1, 2) / 127.5 - 1


def reconstructed(
    images: Tensor, rows: list[int], sigma: float, mode: Reconstruction, sampler: Sampler = "euler"
) -> Tensor:
    levels = torch.full((len(rows),), sigma)
    generators = [generator(0, str(row), sigma, 0) for row in rows]
    noise = standard_normal(generators, tuple(images.shape[1:]))
    x = corrupt(images[rows], levels, noise)
    return Solve(mode, sampler, 6)(ClosedForm(images), Corrupted(x, levels, generators, []))


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("sampler", SAMPLERS)
def test_perfect_memorizer_returns_its_source_at_low_noise(
    images: Tensor, mode: Reconstruction, sampler: Sampler
) -> None:
    back = reconstructed(images, [0, 5, 9], 0.3, mode, sampler)
    torch.testing.assert_close(back, images[[0, 5, 9]], rtol=0, atol=1e-3)


@pytest.mark.parametrize("mode", MODES)
def test_row_does_not_depend_on_the_rest_of_its_batch(images: Tensor, mode: Reconstruction) -> None:
    together = reconstructed(images, list(range(12)), 3.0, mode)
    for row in (0, 7, 11):
        alone = reconstructed(images, [row], 3.0, mode)[0]
        torch.testing.assert_close(together[row], alone, rtol=0, atol=1e-4)


def test_sample_goes_on_with_the_generator_of_the_corruption(images: Tensor) -> None:
    levels, shape = torch.full((1,), 2.0), tuple(images.shape[1:])
    source = generator(0, "0", 2.0, 0)
    x = corrupt(images[:1], levels, standard_normal([source], shape))
    ours = reconstructed(images, [0], 2.0, "sample")
    sigmas = samplers.sampling_sigmas(levels, ClosedForm(images).sigma_min, 6)
    by_hand = samplers.ancestral(
        ClosedForm(images).denoise, x, sigmas, lambda: standard_normal([source], shape)
    )
    assert torch.equal(ours, by_hand)


def test_one_step_is_the_posterior_mean_and_sampling_is_sharper(images: Tensor) -> None:
    mean = reconstructed(images, list(range(12)), 8.0, "one-step")
    sharp = reconstructed(images, list(range(12)), 8.0, "ode")

    def distance(x: Tensor) -> float:
        return float(torch.cdist(x.flatten(1), images.flatten(1)).min(1).values.mean())

    assert distance(sharp) < distance(mean) / 2


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("sampler", SAMPLERS)
@pytest.mark.parametrize("steps", [1, 5])
def test_evaluations_are_counted_right(
    images: Tensor, mode: Reconstruction, sampler: Sampler, steps: int
) -> None:
    model = Counted(images)
    x, levels = images[:1], torch.ones(1)
    solve = Solve(mode, sampler, steps)
    solve(model, Corrupted(x, levels, [generator(0, "0", 1.0, 0)], [""]))
    assert len(model.calls) == solve.evaluations


def test_full_sampling_is_preferred_and_a_sampled_draw_to_a_mean() -> None:
    assert preferred([ONE_STEP, SAMPLE, ODE, "another"]) == ODE
    assert preferred([ONE_STEP, SAMPLE]) == SAMPLE
    assert preferred([ONE_STEP]) == ONE_STEP
    with pytest.raises(InputError, match=rf"\['another'\], expected one of {ODE}, .*--reconstruct"):
        preferred(["another"])
