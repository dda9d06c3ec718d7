"""Inpainting pipelines, read as diffusers reads them."""

from dataclasses import replace
from pathlib import Path

import pytest
import torch
from diffusers import StableDiffusionInpaintPipeline, StableDiffusionXLInpaintPipeline
from tiny import write_sd, write_sdxl

from memaudit.attacks.posterior import Restore, guided
from memaudit.corruption.linear import Cosines, Seen, View
from memaudit.corruption.noise import generator
from memaudit.errors import ModelError
from memaudit.models.inpainting import InpaintingDenoiser
from memaudit.models.latent import LatentDenoiser
from memaudit.models.load import load_model
from memaudit.models.loaded import ModelOptions

KINDS = {
    "1": (write_sd, StableDiffusionInpaintPipeline),
    "XL": (write_sdxl, StableDiffusionXLInpaintPipeline),
}


@pytest.fixture(scope="module", params=[*KINDS])
def model(request, tmp_path_factory) -> InpaintingDenoiser:
    write, kind = KINDS[request.param]
    folder = write(tmp_path_factory.mktemp("inpainting"), kind=kind, channels=9)
    denoiser = load_model(str(folder), ModelOptions()).denoiser
    assert isinstance(denoiser, InpaintingDenoiser)
    return denoiser


def halves(model: InpaintingDenoiser) -> tuple[Seen, torch.Tensor, torch.Tensor]:
    """What is seen of two images with the left half hidden, the images and the mask of pixels."""
    images = torch.randint(0, 256, (2, 3, 32, 32), generator=torch.Generator().manual_seed(0))
    gain = torch.ones(2, 1, *model.shape[1:])
    gain[..., : model.shape[2] // 2] = 0
    mask = torch.zeros(2, 1, 32, 32)
    mask[..., :16] = 1
    grey = torch.where(mask > 0, 128, images).to(torch.uint8)
    encoded = model.encode(grey)
    noise = torch.zeros_like(encoded)
    seen = Seen.of(encoded, View(gain, Cosines()), 0.1, noise)
    return Seen(seen.y, seen.view, seen.sigma, encoded), images, mask


def test_it_is_shown_what_the_pipeline_of_diffusers_shows_its_network(model):
    with torch.no_grad():  # theirs is a draw of the VAE's posterior, ours its mode
        model.pipeline.vae.quant_conv.weight[4:] = 0
        model.pipeline.vae.quant_conv.bias[4:] = -30
    seen, images, mask = halves(model)
    pixels = images / 127.5 - 1
    masked = torch.where(mask > 0, 128 / 127.5 - 1, pixels)
    theirs, latents = model.pipeline.prepare_mask_latents(
        mask, masked, 2, 32, 32, torch.float32, torch.device("cpu"), None, False
    )
    told = model.given(seen)
    x_t = torch.randn(2, *model.shape, generator=torch.Generator().manual_seed(1))
    shown = told._shown(x_t)
    torch.testing.assert_close(shown[:, :4], x_t)
    torch.testing.assert_close(shown[:, 4:5], theirs)
    torch.testing.assert_close(shown[:, 5:], latents, rtol=1e-4, atol=1e-4)


def test_what_is_seen_changes_its_answer(model):
    seen, _, _ = halves(model)
    x = torch.randn(2, *model.shape, generator=torch.Generator().manual_seed(2))
    sigma = torch.full((2,), 2.0)
    untold, told = model.denoise(x, sigma), model.given(seen).denoise(x, sigma)
    assert untold.shape == told.shape == x.shape
    assert float((untold - told).abs().max()) > 1e-4


def test_guidance_draws_the_answer_to_its_caption(model):
    seen, _, _ = halves(model)
    told = model.given(seen)
    x = torch.randn(2, *model.shape, generator=torch.Generator().manual_seed(2))
    sigma, captions = torch.full((2,), 2.0), ["a red cat", "two dogs"]
    answer, without = told.denoise(x, sigma, captions), told.denoise(x, sigma, ["", ""])
    assert torch.equal(guided(told, captions, 1.0, x, sigma), answer)
    drawn = guided(told, captions, 8.0, x, sigma)
    torch.testing.assert_close(drawn, 8 * answer - 7 * without, rtol=1e-4, atol=1e-4)
    assert float((drawn - answer).abs().max()) > 1e-4


def test_strength_is_a_share_of_the_schedule(model):
    assert model.sigma_at(0.99) == model.sigma_of_timestep(989)
    assert model.sigma_at(0.5) == model.sigma_of_timestep(499)


def test_below_a_strength_of_one_it_begins_with_the_image_itself(model):
    seen, images, _ = halves(model)
    sources = model.encode(images.to(torch.uint8))
    near, far = (
        (restored(model, seen, Restore(3, 1, strength=strength), sources) - sources).square().mean()
        for strength in (0.02, 1.0)
    )
    assert float(near) < 0.2 * float(far)


def restored(model, seen: Seen, restore: Restore, sources: torch.Tensor) -> torch.Tensor:
    return restore(model, seen, [generator(0, name, 1.0, 0) for name in "ab"], ["", ""], sources)


def test_it_is_not_told_what_noise_covers(model):
    seen, _, _ = halves(model)
    assert model.given(replace(seen, covered=True)) is None


def test_until_it_is_told_all_of_the_image_is_hidden(model):
    seen, _, _ = halves(model)
    nothing = Seen(seen.y, View(torch.zeros(2, 1, *model.shape[1:]), Cosines()), 0.1)
    x = torch.randn(2, *model.shape, generator=torch.Generator().manual_seed(3))
    sigma = torch.full((2,), 2.0)
    torch.testing.assert_close(model.given(nothing).denoise(x, sigma), model.denoise(x, sigma))


def test_a_pipeline_for_inpainting_with_a_plain_network_is_a_text_to_image_model(tmp_path):
    write_sd(tmp_path, kind=StableDiffusionInpaintPipeline)
    denoiser = load_model(str(tmp_path), ModelOptions()).denoiser
    assert type(denoiser) is LatentDenoiser


def test_other_numbers_of_channels_are_refused(tmp_path: Path):
    write_sd(tmp_path, kind=StableDiffusionInpaintPipeline, channels=8)
    with pytest.raises(ModelError, match=r"takes 8 channels, expected the 4 .* or 9 with a mask"):
        load_model(str(tmp_path), ModelOptions())
