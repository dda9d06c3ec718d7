"""Stable Diffusion pipelines, tiny and random, read as denoisers of latents."""

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from diffusers import DDPMScheduler
from tiny import SCHEDULE, write_sd, write_sdxl
from torch import Tensor

from memaudit.errors import ModelError
from memaudit.models.closed_form import ClosedForm
from memaudit.models.families.stable_diffusion import Unet, load_latent
from memaudit.models.latent import LatentDenoiser
from memaudit.models.loaded import ModelOptions

CAPTIONS = ["a cat", "", "two cats on a mat"]
SIGMAS = torch.tensor([0.3, 1.0, 6.0])


@pytest.fixture(scope="module", params=[write_sd, write_sdxl], ids=["sd", "sdxl"])
def folder(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    written: Path = request.param(tmp_path_factory.mktemp("pipeline"))
    return written


@pytest.fixture(scope="module")
def denoiser(folder: Path) -> LatentDenoiser:
    return load_latent(folder, ModelOptions())


@pytest.fixture
def latents(denoiser: LatentDenoiser) -> Tensor:
    return torch.randn((3, *denoiser.shape), generator=torch.Generator().manual_seed(0))


def conditions(denoiser: LatentDenoiser, latents: Tensor) -> dict[str, Any]:
    """What the UNet is told of the captions."""
    backbone = denoiser.backbone
    assert isinstance(backbone, Unet)
    return backbone.conditions(latents, [backbone.encode(caption) for caption in CAPTIONS])


def test_the_space_is_that_of_the_vae(denoiser: LatentDenoiser) -> None:
    assert denoiser.resolution == (32, 32)
    assert denoiser.shape == (4, 16, 16)
    assert denoiser.sigma_max == pytest.approx(14.61, abs=0.01)


def test_images_become_the_scaled_mode_of_the_posterior_and_come_back(
    denoiser: LatentDenoiser,
) -> None:
    images = torch.randint(0, 256, (2, 3, 32, 32), dtype=torch.uint8)
    vae = denoiser.pipeline.vae
    with torch.no_grad():
        mode = vae.encode(images / 127.5 - 1).latent_dist.mode()
        decoded = vae.decode(mode).sample
    assert torch.equal(denoiser.encode(images), mode * vae.config.scaling_factor)
    there_and_back = denoiser.decode(denoiser.encode(images))
    expected = ((decoded.clamp(-1, 1) + 1) * 127.5).round().to(torch.uint8)
    assert int((there_and_back.int() - expected.int()).abs().max()) <= 1


def test_x0_is_that_of_the_scheduler_at_its_own_steps(
    denoiser: LatentDenoiser, latents: Tensor
) -> None:
    scheduler = DDPMScheduler(**SCHEDULE, clip_sample=False)
    for t in (10, 400, 900):
        sigma = denoiser.sigma_of_timestep(t)
        x_t = latents / (1 + sigma**2) ** 0.5
        told = conditions(denoiser, latents)
        with torch.no_grad():
            output = denoiser.pipeline.unet(x_t, t, **told).sample
            ours = denoiser.denoise(latents, torch.full((3,), sigma), CAPTIONS)
        theirs = scheduler.step(output, t, x_t).pred_original_sample
        assert torch.allclose(ours, theirs, rtol=1e-4, atol=1e-4 * float(theirs.abs().max()))


def test_captions_reach_the_network_row_by_row(denoiser: LatentDenoiser, latents: Tensor) -> None:
    with torch.no_grad():
        told = denoiser.denoise(latents, SIGMAS, CAPTIONS)
        others = denoiser.denoise(latents, SIGMAS, ["a cat", "a dog", "two cats on a mat"])
        untold = denoiser.denoise(latents, SIGMAS)
    changed = (told - others).abs().amax((1, 2, 3)) > 1e-5
    assert changed.tolist() == [False, True, False]
    assert torch.allclose(untold[1], told[1], atol=1e-5)


def test_the_conditions_are_those_of_the_pipeline(
    denoiser: LatentDenoiser, latents: Tensor
) -> None:
    encoded = denoiser.pipeline.encode_prompt(
        prompt=CAPTIONS,
        device="cpu",
        num_images_per_prompt=1,
        do_classifier_free_guidance=False,
    )
    told = conditions(denoiser, latents)
    assert torch.allclose(told["encoder_hidden_states"], encoded[0], atol=1e-5)
    if "added_cond_kwargs" in told:
        assert torch.allclose(told["added_cond_kwargs"]["text_embeds"], encoded[2], atol=1e-5)
        assert told["added_cond_kwargs"]["time_ids"].tolist() == [[32, 32, 0, 0, 32, 32]] * 3


def test_every_misreading_answers_otherwise(denoiser: LatentDenoiser, latents: Tensor) -> None:
    with torch.no_grad():
        right = denoiser.denoise(latents, SIGMAS)
        wrong = {name: other.denoise(latents, SIGMAS) for name, other in denoiser.misreadings()}
    assert len(wrong) >= 10
    assert all(float((each - right).abs().max()) > 1e-3 for each in wrong.values())


def test_a_pickled_part_is_refused(tmp_path: Path) -> None:
    folder = write_sd(tmp_path / "model")
    weights = folder / "unet/diffusion_pytorch_model.safetensors"
    weights.unlink()
    torch.save({}, weights.with_suffix(".bin"))
    with pytest.raises(ModelError, match="safetensors"):
        load_latent(folder, ModelOptions())


def test_weights_that_are_not_finite_are_refused(tmp_path: Path) -> None:
    folder = write_sd(tmp_path / "model")
    broken = load_latent(folder, ModelOptions())
    next(broken.pipeline.unet.parameters()).fill_(float("nan"))
    broken.pipeline.save_pretrained(folder)
    with pytest.raises(ModelError, match="NaN or infinity"):
        load_latent(folder, ModelOptions())


def test_another_pipeline_is_refused_by_name(tmp_path: Path) -> None:
    (tmp_path / "model_index.json").write_text(json.dumps({"_class_name": "FluxPipeline"}))
    with pytest.raises(ModelError, match="is a FluxPipeline; expected a StableDiffusionPipeline"):
        load_latent(tmp_path, ModelOptions())


def test_a_side_that_the_network_cannot_halve_is_refused(folder: Path) -> None:
    with pytest.raises(ModelError, match="multiple of 4"):
        load_latent(folder, ModelOptions(resolution=30))


def test_the_perfect_memorizer_stands_in_the_space_of_the_latents(denoiser: LatentDenoiser) -> None:
    images = torch.randint(0, 256, (5, 3, 32, 32), dtype=torch.uint8)
    x0 = denoiser.encode(images)
    memorizer = ClosedForm(x0, space=denoiser.codec)
    assert memorizer.shape == denoiser.shape
    assert memorizer.resolution == denoiser.resolution
    assert torch.equal(memorizer.encode(images), x0)
    x = x0 + 0.05 * torch.randn(x0.shape, generator=torch.Generator().manual_seed(0))
    answer = memorizer.denoise(x, torch.full((5,), 0.05))
    assert torch.allclose(answer, x0, atol=1e-5)
    assert torch.equal(memorizer.decode(answer), denoiser.decode(answer))
