import numpy as np
import pytest
from runs import cut
from skimage import data as photographs

from memaudit.audit.white_noise import AHEAD, FEWEST, REST, Prior, WhiteNoise

SIGMA_N = 0.4


@pytest.fixture(scope="module")
def x0():
    """200 tiles of 16 pixels, in [-1, 1]."""
    tiles = cut(photographs.astronaut(), photographs.coffee(), side=48)
    chosen = np.random.default_rng(0).permutation(len(tiles))[:200]
    return np.stack([tiles[k] for k in chosen]).transpose(0, 3, 1, 2) / 127.5 - 1


def noise(x0, seed=0):
    return SIGMA_N * np.random.default_rng(seed).standard_normal(x0.shape)


def found(x0, held, size=256):
    test = WhiteNoise(Prior.of(x0), SIGMA_N)
    for start in range(0, len(x0), size):
        test.add(x0[start : start + size], held[start : start + size])
    return test.result()


def test_white_noise_is_doubted_as_seldom_as_it_says(x0):
    results = [found(x0[:60], noise(x0[:60], seed)) for seed in range(200)]
    doubted = np.mean([result.doubt != "" for result in results])
    assert doubted <= 0.05 + 2 * np.sqrt(0.05 * 0.95 / 200)
    ahead = np.array([result.ahead for result in results])
    assert 0.4 < ahead.mean() < 0.6
    assert np.mean(ahead <= AHEAD) < 0.075
    assert np.mean([result.rest <= REST for result in results]) < 0.035


def smoother(x):
    return (np.roll(x, 1, 2) + np.roll(x, -1, 2) + np.roll(x, 1, 3) + np.roll(x, -1, 3)) / 4


@pytest.mark.parametrize(
    "other",
    [
        lambda x: 0.9 * x + 0.1 * smoother(x),
        lambda x: 1.1 * x - 0.1 * smoother(x),
        lambda x: 0.9 * x + 0.1 * np.roll(x, 1, 3),
        lambda x: x + 0.02,
        lambda x: np.concatenate([x[:1, ::-1], x[1:]]),
    ],
    ids=["smoother", "sharper", "shifted", "lighter", "one-image"],
)
def test_other_pixels_are_seen(x0, other):
    assert "hold more than white noise" in found(x0, other(x0) - x0 + noise(x0)).doubt


def test_noise_that_is_not_white_is_seen(x0):
    plain = noise(x0)
    coloured = plain + 0.2 * np.roll(plain, 1, 3)
    assert found(x0, coloured / coloured.std() * SIGMA_N).rest <= REST


def test_rounding_is_white(x0):
    rounded = noise(x0) + np.random.default_rng(5).integers(-1, 2, x0.shape) / 127.5
    assert found(x0, rounded).doubt == ""


def test_few_copies_are_not_enough_to_tell(x0):
    few = x0[: FEWEST - 1]
    assert f"with {FEWEST - 1} copies, expected at least {FEWEST}" in found(few, noise(few)).doubt


def test_batches_do_not_change_it(x0):
    whole, parts = found(x0, noise(x0)), found(x0, noise(x0), size=7)
    assert parts.rest == pytest.approx(whole.rest)
    assert parts.ahead == pytest.approx(whole.ahead)
    assert parts.rms == pytest.approx(whole.rms)
