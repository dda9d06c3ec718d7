import math

import numpy as np
import pytest
from skimage import data as photographs
from skimage.metrics import peak_signal_noise_ratio, structural_similarity

from memaudit.attacks.rivals import PixelSample
from memaudit.attacks.scores import (
    PERFECT_PSNR,
    paired_scores,
    pixel_scores,
    relative_scores,
    similarity_scores,
)
from memaudit.data import resize
from memaudit.records import Image, Matches


@pytest.fixture(scope="module")
def pair() -> tuple[Image, Image]:
    cat = resize(photographs.chelsea(), (48, 48), "center-crop")
    noise = np.random.default_rng(0).normal(0, 12, cat.shape)
    return cat, np.clip(cat + noise, 0, 255).astype(np.uint8)


def test_psnr_and_ssim_are_those_of_scikit_image(pair: tuple[Image, Image]) -> None:
    a, b = pair
    scores = pixel_scores(np.stack([a, b]), np.stack([b, a[::-1]]))
    for row, (source, image) in enumerate([(a, b), (b, a[::-1])]):
        assert scores["psnr"][row] == pytest.approx(peak_signal_noise_ratio(source, image))
        expected = structural_similarity(source, image, channel_axis=2)
        assert scores["ssim"][row] == pytest.approx(expected)


def test_l2_is_the_root_mean_square_in_units_of_full_range() -> None:
    black = np.zeros((2, 8, 8, 3), np.uint8)
    gray = np.stack([np.full((8, 8, 3), 51, np.uint8), np.full((8, 8, 3), 255, np.uint8)])
    scores = pixel_scores(black, gray)
    assert scores["l2"].tolist() == pytest.approx([0.2, 1.0])
    assert scores["tile_l2"].tolist() == pytest.approx([0.2, 1.0])


def test_tile_l2_is_that_of_the_worst_sixteenth() -> None:
    source = np.zeros((1, 16, 16, 3), np.uint8)
    image = source.copy()
    image[0, 4:8, 8:12] = 102  # exactly one tile, 0.4 of full range
    image[0, 0, 0] = 255
    scores = pixel_scores(source, image)
    assert scores["tile_l2"][0] == pytest.approx(0.4)
    assert scores["l2"][0] == pytest.approx(math.sqrt((16 * 0.4**2 + 1) / 256))


def test_sizes_that_four_does_not_divide_still_have_tiles() -> None:
    source = np.zeros((1, 3, 10, 3), np.uint8)
    image = source.copy()
    image[0, 2, 9] = 255
    assert pixel_scores(source, image)["tile_l2"][0] == pytest.approx(math.sqrt(1 / 2))


def test_identical_images_score_perfectly(pair: tuple[Image, Image]) -> None:
    row = pixel_scores(pair[0][None], pair[0][None]).iloc[0]
    assert row["psnr"] == PERFECT_PSNR
    assert row["ssim"] == pytest.approx(1)
    assert row["l2"] == row["tile_l2"] == 0


@pytest.mark.parametrize("size", [1, 2, 3, 6])
def test_images_smaller_than_the_ssim_window_are_scored(size: int) -> None:
    source = np.random.default_rng(0).integers(0, 256, (1, size, size, 3), np.uint8)
    same, other = pixel_scores(source, source), pixel_scores(source, 255 - source)
    assert same["ssim"][0] == pytest.approx(1)
    assert other["ssim"][0] < 0.9
    assert np.isfinite(other.to_numpy()).all()


def matches() -> Matches:
    """A source that is nearest, one that is second and one that is nowhere."""
    return Matches(
        own=np.array([0.98, 0.5, -0.5], np.float32),
        own_rank=np.array([1, 2, 90]),
        neighbour_ids=[["b", "c"], ["a", "c"], ["a", "b"]],
        neighbours=np.array([[0.28, 0.1], [0.68, 0.1], [0.92, 0.68]], np.float32),
    )


def test_margin_is_own_similarity_minus_the_nearest_other() -> None:
    scores = similarity_scores(matches())
    assert scores["margin"].tolist() == pytest.approx([0.7, -0.18, -1.42], abs=1e-6)
    assert scores["nearest_other"].tolist() == ["b", "a", "a"]
    assert scores["nearest_other_similarity"].tolist() == pytest.approx([0.28, 0.68, 0.92])
    assert scores["own_rank"].tolist() == [1, 2, 90]


def test_distance_ratio_is_nearest_over_second_nearest() -> None:
    def distance(similarity: float) -> float:
        return math.sqrt(2 - 2 * similarity)

    expected = [
        distance(0.98) / distance(0.28),
        distance(0.68) / distance(0.5),
        distance(0.92) / distance(0.68),
    ]
    ratios = similarity_scores(matches())["distance_ratio"].tolist()
    assert ratios == pytest.approx(expected, rel=1e-5)
    assert ratios[0] < 1 / 3 < ratios[1]


def test_perfect_match_has_a_distance_ratio_near_zero() -> None:
    perfect = Matches(
        own=np.array([1.0000001], np.float32),
        own_rank=np.array([1]),
        neighbour_ids=[["b"]],
        neighbours=np.array([[0.5]], np.float32),
    )
    assert 0 <= similarity_scores(perfect)["distance_ratio"][0] < 1e-5


def test_relative_distances_leave_out_the_group_of_the_source() -> None:
    grey = np.stack([np.full((8, 8, 3), value, np.uint8) for value in (0, 51, 102, 204)])
    sample = PixelSample.of(grey, np.array([0, 1, 1, 2]), pool=4)
    image = np.full((1, 8, 8, 3), 51, np.uint8)
    distances = sample.distances(image, np.array([1]))
    assert distances[0, :2].tolist() == pytest.approx([0.2, 0.6])
    assert np.isinf(distances[0, 2:]).all()
    row = relative_scores(np.array([0.1]), image, sample, np.array([1])).iloc[0]
    assert row["adaptive_l2"] == pytest.approx(0.1 / (0.5 * 0.4))
    assert row["l2_ratio"] == pytest.approx(0.5)


def test_of_a_sample_as_many_neighbours_count_as_it_holds_of_the_nearest_fifty() -> None:
    grey = np.stack([np.full((4, 4, 3), 10 * k, np.uint8) for k in range(1, 21)])
    image = np.zeros((1, 4, 4, 3), np.uint8)
    sample = PixelSample.of(grey, np.arange(20), pool=500)  # 1 in 25: the nearest two
    row = relative_scores(np.array([0.1]), image, sample, np.array([99])).iloc[0]
    assert row["adaptive_l2"] == pytest.approx(0.1 / (0.5 * 15 / 255), rel=1e-4)


def test_without_other_images_the_relative_distances_say_nothing() -> None:
    image = np.full((1, 4, 4, 3), 51, np.uint8)
    alone = PixelSample.of(image, np.array([7]), pool=1)
    row = relative_scores(np.array([0.3]), image, alone, np.array([7])).iloc[0]
    assert row.tolist() == pytest.approx([2, 1])


def test_the_gain_is_how_much_nearer_the_model_comes_than_the_reference() -> None:
    own = np.array([0.9, 0.4, 0.5, 0.5], np.float32)
    scores = paired_scores(own, np.array([0.2, 0.7, 0.5 + 1e-6, np.nan]))
    assert scores["similarity_gain"][:2].tolist() == pytest.approx([0.7, -0.3])
    assert scores["similarity_gain"][2] == 0  # what two batches differ by is no gain
    assert scores["reference_similarity"][:2].tolist() == [0.2, 0.7]
    assert scores.iloc[3].isna().all()
