"""Attacks under weak noise, where their answers are known."""

import math

import numpy as np
import pytest
import torch
from diffusers import UNet2DModel

from memaudit.attacks import pia, secmi, sima
from memaudit.attacks.clid import prompts_of
from memaudit.attacks.residual import measured
from memaudit.attacks.sources import FLOOR, Sources, decibels, energy
from memaudit.corruption.noise import identification_limit
from memaudit.models.closed_form import ClosedForm
from memaudit.models.families.pixel import wrap

COUNT, SEEN = 40, 20
IMAGES = torch.rand(COUNT, 3, 8, 8, generator=torch.Generator().manual_seed(0)) * 2 - 1
LIMIT = identification_limit(IMAGES.flatten(1).numpy(), SEEN)
NO_ERROR = 20 * math.log10(FLOOR)


class Zero:
    """A network that takes every image for grey: all that it is given is noise."""

    sigma_min = 0.01

    @property
    def unclipped(self):
        return self

    def denoise(self, x, sigma, prompts=()):  # noqa: ARG002
        return torch.zeros_like(x)


def sources(model, x, sigma):
    added = torch.full((len(x),), float(sigma))
    return Sources(model, x, torch.zeros(len(x)), added, [""] * len(x))


def residuals_of(model, x, sigma, draws=4):
    generator = torch.Generator().manual_seed(1)
    asked = sources(model, x, sigma)
    found = [
        asked.mean(x + sigma * torch.randn(x.shape, generator=generator), asked.added) - x
        for _ in range(draws)
    ]
    return torch.stack([one.flatten(1) for one in found], 1)


def test_the_three_scores_of_three_pixels_worked_by_hand():
    residuals = torch.tensor([[[1.0, 2.0, 0.0], [3.0, 0.0, 0.0]]])
    loss, mean = (5 + 9) / 2 / 3, (4 + 1) / 3
    [row] = measured(residuals).to_dict("records")
    product = 3 / 3  # of the two draws, per pixel
    assert row["residual_correlation"] == pytest.approx(product / (loss + FLOOR**2))
    assert row["mean_residual"] == pytest.approx(10 * math.log10(mean + FLOOR**2))
    assert row["denoising_loss"] == pytest.approx(10 * math.log10(loss + FLOOR**2))


def test_an_error_that_is_the_same_in_every_draw_has_correlation_1_and_chance_0():
    same = torch.randn(5, 1, 500, generator=torch.Generator().manual_seed(2)).expand(5, 8, 500)
    chance = torch.randn(5, 8, 5000, generator=torch.Generator().manual_seed(3))
    assert measured(same)["residual_correlation"].to_numpy() == pytest.approx(1, abs=1e-4)
    assert measured(chance)["residual_correlation"].to_numpy() == pytest.approx(0, abs=0.02)


@pytest.mark.parametrize("bias", [0.0, 1e-7, 1e-4])
def test_no_error_counts_as_kept_however_reproducible_it_is(bias):
    row = measured(torch.full((1, 4, 100), bias)).iloc[0]
    assert row["residual_correlation"] < 0.001
    assert row["mean_residual"] == pytest.approx(NO_ERROR, abs=0.01)


def test_one_draw_has_no_correlation():
    assert measured(torch.ones(2, 1, 9))["residual_correlation"].tolist() == [0, 0]


@pytest.mark.parametrize("share", [0.03, 0.05, 0.1, 0.2, 0.3])
def test_every_score_of_residuals_tells_a_perfect_memorizer_s_images(share):
    table = measured(residuals_of(ClosedForm(IMAGES[:SEEN]), IMAGES, share * LIMIT))
    for column in table:
        assert table[column][:SEEN].max() < table[column][SEEN:].min(), column


def test_mean_residuals_tell_them_at_six_tenths_of_the_limit_better_than_chance():
    table = measured(residuals_of(ClosedForm(IMAGES[:SEEN]), IMAGES, 0.6 * LIMIT))
    for column in table:
        assert table[column][:SEEN].median() < table[column][SEEN:].median(), column


def test_sima_of_a_network_that_knows_nothing_is_the_norm_of_the_grown_image():
    found = sima.measure(sources(Zero(), IMAGES, 0.5))
    grown = IMAGES.double().flatten(1) * math.sqrt(1.25) / 0.5
    assert found.numpy() == pytest.approx(np.sqrt(grown.pow(4).mean(1).numpy()), rel=1e-5)


def test_pia_of_a_network_that_knows_nothing_is_worked_by_hand():
    sigma, lowest = 0.5, 0.01
    first = IMAGES.double() * math.sqrt(1 + lowest**2) / lowest
    second = (IMAGES.double() + sigma * first) / sigma
    found = pia.measure(sources(Zero(), IMAGES, sigma))
    expected = (first - second).flatten(1).pow(4).mean(1).sqrt()
    assert found.numpy() == pytest.approx(expected.numpy(), rel=1e-3)


def test_pian_puts_in_noise_of_the_mean_size_of_normal_noise():
    sigma = 0.5
    shape = IMAGES.double() / IMAGES.double().abs().mean((1, 2, 3), keepdim=True)
    first = shape * math.sqrt(2 / math.pi)
    found = pia.measure_normalised(sources(Zero(), IMAGES, sigma))
    expected = (IMAGES.double() / sigma).flatten(1).pow(4).mean(1).sqrt()
    assert first.abs().mean((1, 2, 3)).numpy() == pytest.approx(math.sqrt(2 / math.pi))
    assert found.numpy() == pytest.approx(expected.numpy(), rel=1e-3)


def test_a_step_up_and_back_ends_where_it_began_if_the_answer_stays_the_same():
    found = secmi.measure(sources(Zero(), IMAGES, 0.35))
    assert decibels(found) == pytest.approx([NO_ERROR] * COUNT, abs=0.01)


def test_the_ladder_of_secmi_is_that_of_the_paper_on_the_linear_schedule():
    kept = np.cumprod(1 - np.linspace(1e-4, 0.02, 1000))
    sigmas = np.sqrt((1 - kept) / kept)
    ladder = secmi.rungs(torch.tensor([sigmas[100]]), torch.tensor([0.001]))
    assert [float(one) for one in ladder] == pytest.approx(sigmas[0:120:10].tolist(), rel=1e-5)


def test_energy_is_a_mean_square_for_every_order_of_the_norm():
    ones = torch.full((2, 3, 4, 4), 2.0)
    assert energy(ones).tolist() == [4, 4]
    assert energy(ones, 4).tolist() == pytest.approx([4, 4])


def test_a_noisy_copy_is_asked_for_by_its_own_posterior_mean():
    """Of a single memorized copy y the network's h is such that the mean comes out as y."""
    copy, sigma_n, added = IMAGES[:1], 0.3, 0.4

    class OfCopy(Zero):
        def denoise(self, x, sigma, prompts=()):  # noqa: ARG002
            variance = sigma.view(-1, 1, 1, 1) ** 2
            return (variance * copy - sigma_n**2 * x) / (variance - sigma_n**2)

    one = Sources(OfCopy(), copy, torch.tensor([sigma_n]), torch.tensor([added]), [""])
    noisy = copy + added * torch.randn(copy.shape, generator=torch.Generator().manual_seed(4))
    assert one.mean(noisy, one.added).numpy() == pytest.approx(copy.numpy(), abs=1e-5)


def test_a_caption_is_cut_into_thirds_by_characters():
    assert prompts_of("abcdefgh") == ["abcdefgh", "abc", "de", "fgh", ""]
    assert prompts_of("") == [""] * 5


@pytest.mark.parametrize(
    "measure",
    [
        sima.measure,
        pia.measure,
        pia.measure_normalised,
        secmi.measure,
        lambda asked: asked.mean(asked.x, asked.added),
    ],
    ids=["sima", "pia", "pian", "secmi", "residuals"],
)
def test_the_estimate_is_the_network_s_own_where_the_model_s_sampler_clips(measure):
    torch.manual_seed(0)
    network = UNet2DModel(
        sample_size=8,
        block_out_channels=(8, 16),
        down_block_types=("DownBlock2D", "DownBlock2D"),
        up_block_types=("UpBlock2D", "UpBlock2D"),
        norm_num_groups=4,
        layers_per_block=1,
    ).requires_grad_(False)
    config = {"beta_schedule": "linear"}
    raw, clipped = (wrap(network, {**config, "clip_sample": clips}) for clips in (False, True))
    saturated = (2 * IMAGES).clamp(-1, 1)
    assert not clipped.denoise(saturated, torch.ones(COUNT)).equal(
        raw.denoise(saturated, torch.ones(COUNT))
    )
    found, expected = (measure(sources(model, saturated, 0.5)) for model in (clipped, raw))
    assert found.numpy() == pytest.approx(expected.numpy(), rel=1e-6)
