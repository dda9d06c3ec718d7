"""Inpainting pipelines, read as diffusers reads them."""

from dataclasses import replace
from pathlib import Path

import pytest
import torch
from diffusers import StableDiffusionInpaintPipeline, StableDiffusionXLInpaintPipeline
from tiny import write_sd, write_sdxl

from memaudit.corruption.linear import Cosines, Seen, View
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
