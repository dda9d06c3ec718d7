import math

import pytest
import torch
from torch import Tensor

from memaudit.corruption.noise import HALF, identification_limit
from memaudit.errors import ConfigError
from memaudit.models import closed_form
from memaudit.models.ambient import MARGIN, Ambient
from memaudit.models.closed_form import AmbientClosedForm, ClosedForm
from memaudit.models.device import resolve_device
from memaudit.models.shown import Shown


def gaussian(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


def brute_force(images: Tensor, x: Tensor, sigma: Tensor, times: Tensor | None = None) -> Tensor:
    """The posterior mean one row at a time in float64; images were shown `times` [N] or [B, N]."""
    shown = torch.ones(len(images)) if times is None else times
    rows = []
    for row, level, count in zip(x, sigma, shown.expand(len(x), -1), strict=True):
        squares = ((row.double() - images.double()) ** 2).sum((1, 2, 3))
        nearest = squares[count > 0].min()
        weights = count.double() * torch.exp((nearest - squares) / (2 * level.double() ** 2))
        weights /= weights.sum()
        rows.append((weights.view(-1, 1, 1, 1) * images.double()).sum(0))
    return torch.stack(rows)


def weights_on_sources(model: ClosedForm, sigma: float, sources: int, seed: int = 1) -> Tensor:
    """The weights of the first images in their own reconstructions: mean = sum of w_i x_i."""
    flat = model.images.flatten(1)
    x = model.images[:sources] + sigma * gaussian(sources, *model.shape, seed=seed)
    mean = model.denoise(x, torch.full((sources,), sigma)).flatten(1)
    weights: Tensor = torch.linalg.lstsq(flat.T, mean.T).solution
    return weights[:, :sources].diagonal()


@pytest.mark.parametrize("members", [7, closed_form.BLOCK + 5])
def test_posterior_mean_is_that_of_brute_force(members: int) -> None:
    images = gaussian(members, 3, 2, 2)
    sigma = torch.tensor([0.01, 0.2, 0.7, 2.0, 50.0])
    x = images[-5:] + sigma.view(-1, 1, 1, 1) * gaussian(5, 3, 2, 2, seed=1)
    answer = ClosedForm(images).denoise(x, sigma)
    assert answer.dtype == torch.float32
    torch.testing.assert_close(answer.double(), brute_force(images, x, sigma), rtol=0, atol=1e-6)


def test_through_a_mask_only_what_is_seen_tells_the_images_apart() -> None:
    images, mask = gaussian(9, 3, 4, 4), (gaussian(1, 1, 4, 4, seed=2) > 0).float()
    sigma = torch.tensor([0.1, 0.7, 3.0])
    x = images[:3] + sigma.view(-1, 1, 1, 1) * gaussian(3, 3, 4, 4, seed=1)
    masked = ClosedForm(images, mask=mask)
    rows = []
    for row, level in zip(x.double(), sigma.double(), strict=True):
        squares = (mask * (row - images.double()) ** 2).sum((1, 2, 3))
        weights = torch.softmax(-squares / (2 * level**2), dim=0)
        rows.append((weights.view(-1, 1, 1, 1) * images.double()).sum(0))
    answer = masked.denoise(x, sigma)
    torch.testing.assert_close(answer.double(), torch.stack(rows), rtol=0, atol=1e-6)
    assert torch.equal(answer, masked.denoise(torch.where(mask > 0, x, 7.0), sigma))


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
    sigma = ratio * identification_limit(images.flatten(1).numpy(), members)
    weights = weights_on_sources(ClosedForm(images), sigma, 200)
    assert low <= float(weights.mean()) <= high + 1e-4


@pytest.mark.parametrize(("times", "expected", "within"), [(1, 0.02, 0.015), (64, 0.33, 0.08)])
def test_far_above_the_limit_only_a_repeated_image_is_still_identified(
    times: int, expected: float, within: float
) -> None:
    members, found = 700, []
    images = gaussian(members, 3, 16, 16)
    sigma = 1.5 * identification_limit(images.flatten(1).numpy(), members)
    rows = torch.cat([torch.arange(members), torch.zeros(times - 1, dtype=torch.int64)])
    for source in range(40):
        model = ClosedForm(images.roll(-source, 0), shown=Shown(members, rows))
        found.append(weights_on_sources(model, sigma, 1, seed=1 + source).mean())
    assert float(torch.stack(found).mean()) == pytest.approx(expected, abs=within)


@pytest.mark.parametrize("times", [1, 4, 16, 64])
def test_the_noise_that_leaves_half_of_the_weight_grows_with_the_copies(times: int) -> None:
    members, found = 400, []
    images = gaussian(members, 3, 16, 16)
    limit = identification_limit(images.flatten(1).numpy(), members)
    rivals = (members - 1 + times) / times
    sigma = HALF * limit * (math.log(members) / math.log(rivals)) ** 0.5
    rows = torch.cat([torch.arange(members), torch.zeros(times - 1, dtype=torch.int64)])
    for source in range(60):
        model = ClosedForm(images.roll(-source, 0), shown=Shown(members, rows))
        found.append(weights_on_sources(model, sigma, 1, seed=1 + source).mean())
    assert float(torch.stack(found).mean()) == pytest.approx(0.5, abs=0.12)


@pytest.mark.parametrize("members", [7, closed_form.BLOCK + 5])
def test_images_weigh_as_often_as_they_were_shown(members: int) -> None:
    images, times = gaussian(members, 3, 2, 2), torch.arange(members) % 5 + 1
    shown = Shown(members, torch.arange(members).repeat_interleave(times))
    sigma = torch.tensor([0.01, 0.2, 0.7, 2.0, 50.0])
    x = images[-5:] + sigma.view(-1, 1, 1, 1) * gaussian(5, 3, 2, 2, seed=1)
    answer = ClosedForm(images, shown=shown).denoise(x, sigma)
    expected = brute_force(images, x, sigma, times)
    torch.testing.assert_close(answer.double(), expected, rtol=0, atol=1e-6)


def test_an_image_that_stands_there_k_times_is_one_of_weight_k() -> None:
    images, rows = gaussian(6, 3, 4, 4), torch.tensor([0, 1, 2, 2, 2, 3, 4, 4, 5])
    x, sigma = images[:3] + 2 * gaussian(3, 3, 4, 4, seed=1), torch.tensor([0.5, 2.0, 8.0])
    weighed = ClosedForm(images, shown=Shown(6, rows))
    torch.testing.assert_close(
        weighed.denoise(x, sigma), ClosedForm(images[rows]).denoise(x, sigma)
    )
    training = Ambient("ambient", 0.3, 0)
    noisy = AmbientClosedForm(images, training=training, shown=Shown(6, rows))
    repeated = AmbientClosedForm(images[rows], training=training)
    torch.testing.assert_close(noisy.denoise(x, sigma), repeated.denoise(x, sigma))


def test_a_caption_of_its_own_tells_an_image_at_any_noise() -> None:
    images = gaussian(5, 3, 4, 4)
    captions = tuple("abcde")
    memorizer = ClosedForm(images, shown=Shown(5, torch.arange(5), captions))
    assert memorizer.conditioning == "caption"
    x = 1e4 * gaussian(5, 3, 4, 4, seed=1)
    assert torch.equal(memorizer.denoise(x, torch.full((5,), 1e4), captions), images)


def test_captions_that_are_all_the_same_change_nothing() -> None:
    images, rows = gaussian(5, 3, 4, 4), torch.tensor([0, 1, 1, 2, 3, 4, 4])
    told = ClosedForm(images, shown=Shown(5, rows, ("a cat",) * 7))
    untold = ClosedForm(images, shown=Shown(5, rows))
    assert untold.conditioning == ClosedForm(images).conditioning == "none"
    x, sigma = images[:3] + gaussian(3, 3, 4, 4, seed=1), torch.full((3,), 2.0)
    for prompts in (("a cat",) * 3, ()):
        assert torch.equal(told.denoise(x, sigma, prompts), untold.denoise(x, sigma, prompts))


def test_a_caption_leaves_the_images_that_it_was_shown_with() -> None:
    images, rows = gaussian(4, 3, 4, 4), torch.tensor([0, 1, 1, 1, 2, 3])
    captions = ("dog", "dog", "dog", "cat", "cat", "")
    prompts = ("dog", "cat", "", "horse")
    times = torch.tensor([[1, 2, 0, 0], [0, 1, 1, 0], [1, 3, 1, 1], [1, 3, 1, 1]])
    x, sigma = images + gaussian(4, 3, 4, 4, seed=1), torch.full((4,), 3.0)
    told = ClosedForm(images, shown=Shown(4, rows, captions))
    expected = brute_force(images, x, sigma, times)
    answer = told.denoise(x, sigma, prompts).double()
    torch.testing.assert_close(answer, expected, rtol=0, atol=1e-6)
    assert torch.equal(told.denoise(x, sigma), told.denoise(x, sigma, ("",) * 4))


def test_a_mixed_memorizer_hears_captions_at_all_noise() -> None:
    images, copies = gaussian(3, 3, 4, 4), gaussian(3, 3, 4, 4, seed=1)
    shown = Shown(3, torch.arange(3), ("a", "b", "c"))
    below = ClosedForm(images, shown=shown)
    training = Ambient("ambient-mixed", 0.5, 0)
    mixed = AmbientClosedForm(copies, training=training, below=below, shown=shown)
    x, sigma = 9 * gaussian(2, 3, 4, 4, seed=2), torch.tensor([0.2, 3.0])
    answer = mixed.denoise(x, sigma, ("c", "a"))
    assert torch.equal(answer[0], images[2])
    rate = (0.5 / 3) ** 2
    torch.testing.assert_close(answer[1], (copies[0] - rate * x[1]) / (1 - rate))


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


@pytest.mark.parametrize(
    ("sigma", "to_clean", "to_copy"), [(0.8, 0.984, 0.616), (1.5, 0.597, 0.196), (5, 0.511, 0.051)]
)
def test_the_memorizer_of_noisy_copies_returns_the_copy_and_not_the_clean_image(
    sigma: float, to_clean: float, to_copy: float
) -> None:
    images, sigma_n = gaussian(50, 5, 20, 20), 0.5
    copies = images + sigma_n * gaussian(50, 5, 20, 20, seed=1)
    memorizer = AmbientClosedForm(copies, training=Ambient("ambient", sigma_n, 0))
    x = images + sigma * gaussian(50, 5, 20, 20, seed=2)
    answer = memorizer.denoise(x, torch.full((50,), sigma))
    assert float((answer - images).square().mean().sqrt()) == pytest.approx(to_clean, rel=0.03)
    assert float((answer - copies).square().mean().sqrt()) == pytest.approx(to_copy, rel=0.03)


def test_the_memorizer_of_noisy_copies_makes_the_ambient_loss_least() -> None:
    copies = gaussian(3, 3, 2, 2)
    memorizer = AmbientClosedForm(copies, training=Ambient("ambient", 0.5, 0))
    sigma = torch.full((9000,), 1.2)
    x_n = copies.repeat(3000, 1, 1, 1)
    x = x_n + (1.2**2 - 0.5**2) ** 0.5 * gaussian(9000, 3, 2, 2, seed=1)
    r, answer = (0.5 / 1.2) ** 2, memorizer.denoise(x, sigma)

    def loss(h: Tensor) -> float:
        return float(((1 - r) * h + r * x - x_n).square().mean())

    for other in (answer + 0.05, 1.05 * answer, 0.95 * answer, answer + 0.05 * x):
        assert loss(answer) < loss(other)


def test_below_sigma_n_a_mixed_memorizer_returns_clean_images_and_an_ambient_one_starts_there() -> (
    None
):
    images, copies = gaussian(20, 3, 4, 4), gaussian(20, 3, 4, 4, seed=1)
    ambient = AmbientClosedForm(copies, training=Ambient("ambient", 0.5, 0))
    assert ambient.sigma_min == MARGIN * 0.5
    training, below = Ambient("ambient-mixed", 0.5, 0), ClosedForm(images)
    mixed = AmbientClosedForm(copies, training=training, below=below)
    assert mixed.sigma_min == ClosedForm(images).sigma_min
    x, sigma = images[:2] + 0.1, torch.tensor([0.2, 2.0])
    answer = mixed.denoise(x, sigma)
    assert torch.equal(answer[0], below.denoise(x, sigma)[0])
    assert torch.equal(answer[1], ambient.denoise(x, sigma)[1])
