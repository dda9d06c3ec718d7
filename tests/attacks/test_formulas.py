"""Each attack on membership against the formula of its paper, in numpy, on images of three pixels.

The papers ask a variance-preserving network for the noise in x_t = a x0 + s n, where a^2 = KEPT[t]
and s^2 = 1 - a^2. The network here knows pixels of a normal law, mean MU and standard deviation
TAU, of which the noise is known in closed form. Nothing that is expected comes from the package.
"""

import math

import numpy as np
import pytest
import torch

from memaudit.attacks.base import Bench, Grid, Pass, Shard
from memaudit.attacks.passes import pooled
from memaudit.attacks.registry import load_attack
from memaudit.config import AttackConfig
from memaudit.records import FULL
from memaudit.statistics.combine import combine

KEPT = np.cumprod(1 - np.linspace(1e-4, 0.02, 1000))  # Ho et al. 2020, arXiv 2006.11239
TIME, DRAWS = 100, 3
SIGMA = math.sqrt((1 - KEPT[TIME]) / KEPT[TIME])
MU, TAU = np.array([0.1, -0.2, 0.3]), np.array([0.3, 0.5, 0.8])
IMAGES = np.array([[0.2, -0.5, 0.9], [-0.7, 0.1, 0.4], [0.9, 0.8, -0.1], [0.0, 0.3, -0.6]])
CAPTIONS = ["a fox on a roof", "two boats", "moon", "old wood door"]
GREY = 1 / 255  # half a grey level of [-1, 1]: an error that counts as none


class Normal:
    """The posterior mean of normal pixels in sigma space; it keeps what it was asked.

    A caption moves what it expects by .02 for each letter o.
    """

    shape, device = (1, 1, 3), torch.device("cpu")
    sigma_min = math.sqrt((1 - KEPT[0]) / KEPT[0])

    def __init__(self):
        self.asked = []
        self.unclipped = self

    def denoise(self, x, sigma, prompts=()):
        self.asked.append(x.numpy().reshape(-1, 3))
        variance, spread = sigma.double().view(-1, 1, 1, 1) ** 2, torch.tensor(TAU**2)
        told = torch.tensor(np.array([*map(expected_under, prompts)])).view(-1, 1, 1, 3)
        return ((spread * x + variance * told) / (spread + variance)).float()


def expected_under(caption):
    return MU + 0.02 * caption.count("o")


def eps(x_t, t, mu=MU):
    """E[n | x_t]: that network, as the papers write it."""
    a, s = np.sqrt(KEPT[t]), np.sqrt(1 - KEPT[t])
    return s * (x_t - a * mu) / (a**2 * TAU**2 + s**2)


def noised(n, t=TIME, x0=IMAGES):
    return np.sqrt(KEPT[t]) * x0 + np.sqrt(1 - KEPT[t]) * n


def rows_of(name, draws=1):
    """The rows of an attack at one level, and the noise that was put in, [draws, image, 3]."""
    model, ids = Normal(), [str(k) for k in range(len(IMAGES))]
    captions = dict(zip(ids, CAPTIONS, strict=True)) if name == "clid" else {}
    bench = Bench(model, None, None, None, 0, 64, captions)
    x0 = torch.tensor(IMAGES, dtype=torch.float32).view(-1, 1, 1, 3)
    attack = load_attack(name, AttackConfig())
    asked = Pass(attack, FULL, Grid((SIGMA,)), draws)
    rows = attack.run(bench, Shard(ids, None, x0, None), asked)
    noise = (model.asked[0].reshape(len(IMAGES), -1, 3) - IMAGES[:, None]) / SIGMA
    return rows.assign(attack=name, phase=FULL), noise.transpose(1, 0, 2)


def decibels(energies, floor):
    return pytest.approx(10 * np.log10(energies + floor**2), abs=1e-3)


def mean_square_of_4_norm(values):
    return np.sum(values**4, axis=1) ** (2 / 4) / math.sqrt(3)


def test_sima_is_the_4_norm_of_the_noise_found_in_the_image_itself():
    rows, _ = rows_of("sima")
    expected = mean_square_of_4_norm(eps(IMAGES, TIME))
    assert rows["sima"].to_numpy() == decibels(expected, GREY / SIGMA)


def test_pia_is_the_4_norm_of_what_two_estimates_of_noise_differ_by():
    rows, _ = rows_of("pia")
    first = eps(IMAGES, 0)
    expected = mean_square_of_4_norm(first - eps(noised(first), TIME))
    assert rows["pia"].to_numpy() == decibels(expected, GREY / SIGMA)


def test_pian_scales_the_first_estimate_to_the_mean_size_of_normal_noise():
    rows, _ = rows_of("pian")
    first = eps(IMAGES, 0)
    first = math.sqrt(2 / math.pi) * 3 * first / np.abs(first).sum(1, keepdims=True)
    expected = mean_square_of_4_norm(first - eps(noised(first), TIME))
    assert rows["pian"].to_numpy() == decibels(expected, GREY / SIGMA)


def test_secmi_is_the_squared_error_of_ten_steps_to_x_t_and_one_beyond_and_back():
    def step(x_t, t, to):
        x0 = (x_t - np.sqrt(1 - KEPT[t]) * eps(x_t, t)) / np.sqrt(KEPT[t])
        return np.sqrt(KEPT[to]) * x0 + np.sqrt(1 - KEPT[to]) * eps(x_t, t)

    x_t = IMAGES
    for t in range(0, TIME, 10):
        x_t = step(x_t, t, t + 10)
    back = step(step(x_t, TIME, TIME + 10), TIME + 10, TIME)
    rows, _ = rows_of("secmi")
    expected = np.sum((back - x_t) ** 2, axis=1) / 3
    found = 10 ** (rows["secmi"].to_numpy() / 10) - GREY**2
    assert found == pytest.approx(expected, rel=1e-3)


def test_the_denoising_loss_is_the_squared_error_of_the_noise_averaged_over_draws():
    rows, noise = rows_of("denoising-loss", DRAWS)
    losses = [np.sum((n - eps(noised(n), TIME)) ** 2, axis=1) for n in noise]
    expected = SIGMA**2 * sum(losses) / DRAWS / 3  # an error of n is one of sigma n of the image
    assert rows["denoising_loss"].to_numpy() == decibels(expected, GREY)


def residuals(noise):
    """One-step estimates of the image less the image, [draws, image, 3]."""
    a, s = np.sqrt(KEPT[TIME]), np.sqrt(1 - KEPT[TIME])
    return np.stack([(noised(n) - s * eps(noised(n), TIME)) / a - IMAGES for n in noise])


def test_the_mean_residual_is_the_squared_distance_to_the_mean_of_the_estimates():
    rows, noise = rows_of("mean-residual", DRAWS)
    expected = np.sum((sum(residuals(noise)) / DRAWS) ** 2, axis=1) / 3
    assert rows["mean_residual"].to_numpy() == decibels(expected, GREY)


def test_the_residual_correlation_is_that_of_all_pairs_of_draws():
    rows, noise = rows_of("residual-correlation", DRAWS)
    r = residuals(noise)
    pairs = [(r[i] * r[j]).sum(1) for i in range(DRAWS) for j in range(DRAWS) if i != j]
    size = (DRAWS - 1) * ((r**2).sum((0, 2)) + DRAWS * 3 * GREY**2)
    assert rows["residual_correlation"].to_numpy() == pytest.approx(sum(pairs) / size, abs=1e-5)


def clid_by_hand(noise):
    """L(c), and the mean of L(c_i) - L(c) over the thirds of the caption and none."""
    losses = []
    for image, caption, n in zip(IMAGES, CAPTIONS, noise[0], strict=True):
        third = len(caption) / 3
        low, high = round(third), round(2 * third)
        told = [caption, caption[:low], caption[low:high], caption[high:], ""]
        x_t = noised(n, x0=image)
        errors = [n - eps(x_t, TIME, expected_under(one)) for one in told]
        losses.append([np.sum(error**2) / 3 for error in errors])
    whole, *others = np.array(losses).T
    return whole, sum(others) / 4 - whole


def test_clid_is_the_loss_under_the_caption_and_what_its_parts_lose():
    rows, noise = rows_of("clid")
    loss, gain = clid_by_hand(noise)
    assert rows["caption_loss"].to_numpy() == pytest.approx(loss, rel=1e-4)
    assert rows["caption_gain"].to_numpy() == pytest.approx(gain, abs=1e-5)


def test_clid_adds_both_robustly_scaled():
    rows, noise = rows_of("clid")

    def scaled(values):
        offset = values - np.median(values)
        return offset / np.median(np.abs(offset))

    loss, gain = clid_by_hand(noise)
    expected = scaled(gain) - scaled(loss)
    score = combine(rows, pooled(load_attack("clid", AttackConfig()))).to_numpy()
    [slope, offset] = np.polyfit(expected, score, 1)
    assert slope > 0
    assert score == pytest.approx(slope * expected + offset, abs=1e-3)
