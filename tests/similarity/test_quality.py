"""Quality metrics where the answer is known."""

import numpy as np
import pytest
import torch

from memaudit.similarity.quality import FEWEST, frechet_distance, measure_quality


def gaussian(mean, deviations, n=200, seed=0):
    """A sample whose mean and diagonal covariance are exactly these."""
    sample = np.random.default_rng(seed).standard_normal((n, len(mean)))
    sample -= sample.mean(0)
    white = sample @ np.linalg.inv(np.linalg.cholesky(np.cov(sample, rowvar=False))).T
    return torch.from_numpy(white * deviations + mean)


def unit(n, dimensions, seed=0, towards=0.0):
    vectors = np.random.default_rng(seed).standard_normal((n, dimensions))
    vectors[:, 0] += towards
    return (vectors / np.linalg.norm(vectors, axis=1, keepdims=True)).astype(np.float32)


def test_the_frechet_distance_of_gaussians_is_that_of_the_closed_form():
    one, other = np.array([1.0, 2.0, 0.5]), np.array([3.0, 1.0, 0.5])
    shift = np.array([0.5, -1.0, 2.0])
    found = frechet_distance(gaussian(np.zeros(3), one), gaussian(shift, other, seed=1))
    assert found == pytest.approx((shift**2).sum() + ((one - other) ** 2).sum())


def test_equal_images_have_the_best_quality():
    vectors = unit(40, 16)
    quality = measure_quality(vectors, vectors)
    assert quality.frechet == pytest.approx(0, abs=1e-6)
    assert (quality.precision, quality.recall) == (1, 1)
    assert (quality.n, quality.samples, quality.kid_subset) == (40, 40, 20)


def test_the_kernel_distance_of_two_samples_of_one_law_is_not_biased():
    pairs = [(unit(60, 16, 2 * k), unit(60, 16, 2 * k + 1)) for k in range(30)]
    distances = np.array([measure_quality(*pair).kid for pair in pairs])
    assert abs(distances.mean()) < 3 * distances.std(ddof=1) / np.sqrt(len(pairs))
    assert min(measure_quality(*pair).frechet for pair in pairs) > 0.02  # which this one is


def test_images_of_another_kind_have_a_worse_quality():
    controls = unit(100, 16, 0)
    near = measure_quality(unit(100, 16, 1), controls)
    far = measure_quality(unit(100, 16, 1, towards=8), controls)
    assert far.frechet > 5 * near.frechet
    assert far.kid > near.kid + 3 * near.kid_std
    assert far.precision + far.recall < near.precision + near.recall


def test_a_single_image_over_and_over_has_no_recall():
    same = np.repeat(unit(1, 16), 50, axis=0)
    assert measure_quality(same, unit(50, 16, 1)).recall == 0


def test_more_dimensions_than_images_change_no_distance():
    few = measure_quality(unit(40, 16, 0), unit(40, 16, 1))
    wide = [np.pad(unit(40, 16, seed), ((0, 0), (0, 300))) for seed in (0, 1)]
    rotation, _ = np.linalg.qr(np.random.default_rng(5).standard_normal((316, 316)))
    many = measure_quality(*((one @ rotation).astype(np.float32) for one in wide))
    assert many.frechet == pytest.approx(few.frechet, rel=1e-5)
    assert many.kid == pytest.approx(few.kid, rel=1e-4)
    assert (many.precision, many.recall) == (few.precision, few.recall)
    assert many.dimensions == 316


def test_as_many_of_each_side_are_compared():
    generated, controls = unit(90, 8, 0), unit(30, 8, 1)
    quality = measure_quality(generated, controls)
    alone = measure_quality(generated[:30], controls)
    assert (quality.n, quality.samples) == (30, 90)
    assert quality.frechet == alone.frechet


def test_too_few_images_give_a_reason_and_no_number():
    quality = measure_quality(unit(FEWEST - 1, 8), unit(50, 8))
    assert (quality.frechet, quality.kid, quality.precision, quality.recall) == (None,) * 4
    assert "found 19 generated images and 50 controls, expected at least 20" in quality.reason
