import math

import numpy as np
import pytest
import torch
from scipy import stats

from memaudit.corruption import noise as corrupt

SHAPE = (3, 16, 16)


def noise(seed: int = 0, example: str = "ab12", sigma: float = 1.5, draw: int = 0) -> torch.Tensor:
    return corrupt.standard_normal([corrupt.generator(seed, example, sigma, draw)], SHAPE)[0]


def test_noise_is_the_same_on_every_machine() -> None:
    expected = torch.tensor([-0.985102832, 0.202521861, 1.125010133, 0.109856643])
    torch.testing.assert_close(noise().flatten()[:4], expected, rtol=0, atol=1e-6)


def test_noise_depends_on_seed_image_level_and_draw() -> None:
    others = [noise(seed=1), noise(example="ab13"), noise(sigma=1.6), noise(draw=1)]
    for other in others:
        assert abs(float(torch.corrcoef(torch.stack([noise(), other]).flatten(1))[0, 1])) < 0.15
    assert torch.equal(noise(), noise())


def test_noise_ignores_digits_of_a_level_beyond_the_sixth() -> None:
    assert torch.equal(noise(sigma=1.5), noise(sigma=1.5000001))


def test_noise_of_an_image_does_not_depend_on_its_batch() -> None:
    keys = [("a", 0.5), ("b", 0.5), ("b", 2.0), ("c", 0.5)]
    generators = [corrupt.generator(7, example, sigma, 0) for example, sigma in keys]
    batch = corrupt.standard_normal(generators, SHAPE)
    for row, (example, sigma) in zip(batch, keys, strict=True):
        assert torch.equal(row, noise(seed=7, example=example, sigma=sigma))


def test_noise_is_standard_normal_and_white() -> None:
    sample = torch.stack([noise(draw=draw) for draw in range(64)])
    assert stats.kstest(sample.flatten().numpy(), "norm").pvalue > 1e-3
    products = (sample[..., 1:] * sample[..., :-1]).flatten()
    assert abs(float(products.mean())) < 4 / math.sqrt(len(products))


def test_corrupted_image_is_the_image_plus_sigma_times_noise() -> None:
    x0 = torch.arange(6.0).view(2, 1, 1, 3)
    x = corrupt.corrupt(x0, torch.tensor([0.5, 10.0]), torch.full((2, 1, 1, 3), 2.0))
    assert x.flatten().tolist() == [1, 2, 3, 23, 24, 25]


def test_identification_limit_of_known_distances() -> None:
    corners = 3.0 * np.eye(5, dtype=np.float32)  # all pairs sqrt(18) apart
    limit = corrupt.identification_limit(corners, 200)
    assert limit == pytest.approx(math.sqrt(18) / math.sqrt(2 * math.log(200)))
    assert corrupt.identification_limit(corners, 1) == corrupt.identification_limit(corners, 2)


def test_grid_spans_its_share_of_the_limit_evenly_in_the_logarithm() -> None:
    grid = corrupt.noise_grid(10.0, 5)
    assert grid[0] == 0.3
    assert grid[-1] == 6.0
    ratios = np.array(grid[1:]) / grid[:-1]
    assert ratios == pytest.approx(np.full(4, 20**0.25), rel=1e-3)
    assert grid == [float(f"{sigma:.4g}") for sigma in grid]


def test_grid_of_one_level_is_the_middle() -> None:
    assert corrupt.noise_grid(10.0, 1) == [pytest.approx(math.sqrt(0.3 * 6), rel=1e-3)]


@pytest.mark.parametrize(
    ("limit", "lowest", "grid"),
    [
        (10.0, 0.002, [0.2, 0.37]),
        (10.0, 0.3, [0.3, 0.555]),  # as wide, from the least noise on that the model knows
        (1.0, 0.3, [0.3, 0.555]),
    ],
)
def test_weak_levels_begin_where_the_model_does(limit, lowest, grid) -> None:
    assert corrupt.weak_grid(limit, 2, lowest) == grid


@pytest.mark.parametrize(
    ("members", "copies", "levels"),
    [
        (1000, 1, []),
        (1000, 2, []),
        (40, 2, []),  # a pair among few images
        (1000, 33, []),  # the share 1.0 takes N ** .51 copies: ln(N / c) = .49 ln N
        (1000, 34, [10.0]),
        (1000, 266, [10.0]),  # and 1.6 takes N ** .8086
        (1000, 267, [10.0, 16.0]),
        (1000, 1000, [10.0, 16.0]),
        (1, 0.5, []),
    ],
)
def test_levels_above_the_grid_are_those_where_copies_keep_half_of_the_weight(
    members: int, copies: float, levels: list[float]
) -> None:
    assert corrupt.levels_above(10.0, members, members / copies) == levels


@pytest.mark.parametrize(("sigma", "snr"), [(1.0, 0.0), (10.0, -20.0), (8.35, -18.43)])
def test_snr_in_decibels_and_back(sigma: float, snr: float) -> None:
    assert corrupt.snr_db(sigma) == pytest.approx(snr, abs=0.01)
    assert corrupt.sigma_of_snr_db(corrupt.snr_db(sigma)) == pytest.approx(sigma)
