import pytest
import torch
from torch import Tensor

from memaudit.errors import ConfigError
from memaudit.models import closed_form
from memaudit.models.closed_form import ClosedForm
from memaudit.models.device import resolve_device
from memaudit.stages.corrupt import identification_limit


def gaussian(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


def brute_force(images: Tensor, x: Tensor, sigma: Tensor) -> Tensor:
    """The posterior mean one row at a time in float64."""
    rows = []
    for row, level in zip(x.double(), sigma.double(), strict=True):
        squares = ((row - images.double()) ** 2).sum((1, 2, 3))
        weights = torch.softmax(-squares / (2 * level**2), dim=0)
        rows.append((weights.view(-1, 1, 1, 1) * images.double()).sum(0))
    return torch.stack(rows)


@pytest.mark.parametrize("members", [7, closed_form.BLOCK + 5])
def test_posterior_mean_is_that_of_brute_force(members: int) -> None:
    images = gaussian(members, 3, 2, 2)
    sigma = torch.tensor([0.01, 0.2, 0.7, 2.0, 50.0])
    x = images[-5:] + sigma.view(-1, 1, 1, 1) * gaussian(5, 3, 2, 2, seed=1)
    answer = ClosedForm(images).denoise(x, sigma)
    assert answer.dtype == torch.float32
    torch.testing.assert_close(answer.double(), brute_force(images, x, sigma), rtol=0, atol=1e-6)


def test_at_tiny_noise_it_returns_the_nearest_image_exactly() -> None:
    images = gaussian(50, 3, 4, 4)
    x = images[[3, 17]] + 0.2 * gaussian(2, 3, 4, 4, seed=1)
    answer = ClosedForm(images).denoise(x, torch.full((2,), 1e-3))
    assert torch.equal(answer, images[[3, 17]])


def test_at_huge_noise_it_returns_the_average_image() -> None:
    images = gaussian(50, 3, 4, 4)
    answer = ClosedForm(images).denoise(1e4 * gaussian(1, 3, 4, 4), torch.tensor([1e6]))
    torch.testing.assert_close(answer[0], images.mean(0), rtol=0, atol=1e-2)


@pytest.mark.parametrize(
    ("ratio", "low", "high"),
    [(0.3, 0.999, 1.0), (0.5, 0.85, 0.99), (0.9, 0.1, 0.45), (1.5, 0.0, 0.1)],
)
def test_source_is_identified_below_the_limit_only(ratio: float, low: float, high: float) -> None:
    members = 400
    images = gaussian(members, 3, 16, 16)
    flat = images.flatten(1)
    sigma = ratio * identification_limit(flat.numpy(), members)
    x = images[:200] + sigma * gaussian(200, 3, 16, 16, seed=1)
    mean = ClosedForm(images).denoise(x, torch.full((200,), sigma)).flatten(1)
    weights = torch.linalg.lstsq(flat.T, mean.T).solution  # mean = sum of weights times images
    assert low <= float(weights[:, :200].diagonal().mean()) <= high + 1e-4


def test_it_has_no_schedule_and_nothing_to_misread() -> None:
    memorizer = ClosedForm(gaussian(4, 3, 8, 6))
    assert memorizer.shape == (3, 8, 6)
    assert memorizer.resolution == (8, 6)
    assert list(memorizer.misreadings()) == []
    with pytest.raises(ConfigError, match="--timestep 500 needs a model with a schedule"):
        memorizer.sigma_of_timestep(500)


def test_missing_gpu_is_refused_by_name() -> None:
    assert resolve_device("cpu") == torch.device("cpu")
    if torch.cuda.is_available():
        assert resolve_device("auto").type == "cuda"
    else:
        assert resolve_device("auto").type == "cpu"
        with pytest.raises(ConfigError, match="use --device cpu or auto"):
            resolve_device("cuda")
