"""One record tells what any model is, whatever its family."""

import json
import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pytest
import torch
from diffusers import (
    DDPMPipeline,
    DDPMScheduler,
    StableDiffusionInpaintPipeline,
    UNet2DModel,
)
from outside import IMAGES, Edm, edm
from plugging import install
from safetensors.torch import save_file
from tiny import write_sd, write_sdxl

from memaudit.demo.run import MODELS
from memaudit.models.closed_form import ClosedForm
from memaudit.models.describing import POINTS, describe, log_snr
from memaudit.models.families.registry import GROUP
from memaudit.models.inspection import Inspection
from memaudit.models.load import load_model
from memaudit.models.loaded import Loaded, ModelOptions
from memaudit.models.provenance import Provenance
from memaudit.models.weights import sha256_file

MakeUnet = Callable[..., UNet2DModel]


def told(place: Path | str, **options: object) -> Inspection:
    return describe(load_model(str(place), ModelOptions(**options)))


@pytest.fixture(scope="module")
def sd(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_sd(tmp_path_factory.mktemp("sd"))


@pytest.fixture(scope="module")
def sdxl(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_sdxl(tmp_path_factory.mktemp("sdxl"))


def test_a_pipeline_of_latents_is_told_part_by_part(sdxl):
    found = told(sdxl)
    assert (found.family, found.class_name) == ("stable-diffusion", "StableDiffusionXLPipeline")
    assert (found.prediction.type, found.prediction.sign) == ("epsilon", 1)
    assert found.space.kind == "latents"
    assert (found.space.shape, found.space.resolution) == ((4, 16, 16), (32, 32))
    assert (found.space.scaling_factor, found.space.shift_factor) == (0.18215, 0)
    assert found.conditioning.kind == "caption"
    assert found.conditioning.text_encoders == ("text_encoder", "text_encoder_2")
    assert not found.conditioning.inpainting
    roles = {part.name: (part.role, part.class_name) for part in found.parts}
    assert roles == {
        "unet": ("network", "UNet2DConditionModel"),
        "vae": ("vae", "AutoencoderKL"),
        "text_encoder": ("text encoder", "CLIPTextModel"),
        "text_encoder_2": ("text encoder", "CLIPTextModelWithProjection"),
        "tokenizer": ("tokenizer", "CLIPTokenizer"),
        "tokenizer_2": ("tokenizer", "CLIPTokenizer"),
        "scheduler": ("scheduler", "EulerDiscreteScheduler"),
    }
    for part in found.parts:
        files = [sdxl / file.name for file in found.weights if file.part == part.name]
        assert part.bytes == sum(file.stat().st_size for file in files)
        assert bool(files) == (part.parameters is not None) == (part.dtype is not None)
        assert part.parameters is None or 4 * part.parameters < part.bytes  # and a header
    for file in found.weights:
        assert file.sha256 == sha256_file(sdxl / file.name)
    assert found.bytes == sum(part.bytes for part in found.parts)
    [unet] = [part for part in found.parts if part.name == "unet"]
    assert (found.parameters, found.dtype) == (unet.parameters, "float32")


def test_the_number_format_is_that_of_each_part(sd):
    dtypes = {part.name: part.dtype for part in told(sd, dtype="bfloat16").parts if part.dtype}
    assert dtypes == {"unet": "bfloat16", "text_encoder": "bfloat16", "vae": "float32"}


def test_a_pipeline_for_inpainting_is_told_a_mask(tmp_path):
    assert told(
        write_sd(tmp_path, StableDiffusionInpaintPipeline, channels=9)
    ).conditioning.inpainting


def test_the_range_of_noise_and_the_curve_are_those_of_the_scheduler(sd):
    noise = told(sd).noise
    scheduler = DDPMScheduler(beta_schedule="scaled_linear", beta_start=0.00085, beta_end=0.012)
    abar = scheduler.alphas_cumprod.double().numpy()
    sigmas = np.sqrt((1 - abar) / abar)
    assert (noise.schedule, noise.steps, noise.assumed) == ("scaled_linear", 1000, False)
    assert noise.sigma_min == pytest.approx(sigmas[0])
    assert noise.sigma_max == pytest.approx(sigmas[-1])
    assert noise.log_snr_max == pytest.approx(np.log(abar[0] / (1 - abar[0])))
    assert noise.log_snr_min == pytest.approx(np.log(abar[-1] / (1 - abar[-1])))
    assert noise.curve is not None
    assert noise.curve.timesteps[0] == 0
    assert noise.curve.timesteps[-1] == 999
    assert len(noise.curve.timesteps) == POINTS
    assert noise.curve.sigmas == pytest.approx(sigmas[list(noise.curve.timesteps)])


@pytest.mark.parametrize("steps", [2, 3, POINTS, 4000])
def test_a_schedule_of_few_steps_or_many_is_told_once_each(
    make_unet: MakeUnet, tmp_path: Path, steps: int
) -> None:
    DDPMPipeline(make_unet(), DDPMScheduler(num_train_timesteps=steps)).save_pretrained(tmp_path)
    noise = told(tmp_path).noise
    assert noise.curve is not None
    assert noise.steps == steps
    assert len(set(noise.curve.timesteps)) == len(noise.curve.timesteps) == min(steps, POINTS)
    assert noise.curve.timesteps[-1] == steps - 1


def test_zero_terminal_snr_counts_its_last_step_and_leaves_it_out_of_the_range(
    make_unet: MakeUnet, tmp_path: Path
) -> None:
    scheduler = DDPMScheduler(rescale_betas_zero_snr=True, prediction_type="v_prediction")
    DDPMPipeline(make_unet(), scheduler).save_pretrained(tmp_path)
    noise = told(tmp_path).noise
    assert (noise.steps, noise.ends_in_noise) == (1000, True)
    assert math.isfinite(noise.sigma_max)
    assert noise.curve is not None
    assert noise.curve.timesteps[-1] == 998


def test_a_network_by_itself_is_told_with_the_schedule_that_is_assumed(
    make_unet: MakeUnet, tmp_path: Path
) -> None:
    make_unet().save_pretrained(tmp_path)
    found = told(tmp_path)
    assert (found.class_name, found.noise.schedule, found.noise.assumed) == (
        "UNet2DModel",
        "linear",
        True,
    )
    assert [part.name for part in found.parts] == ["unet"]
    DDPMScheduler().save_pretrained(tmp_path)
    found = told(tmp_path)
    assert not found.noise.assumed
    assert [part.name for part in found.parts] == ["unet", "scheduler"]


def test_a_model_of_noisy_data_says_so_and_where_its_range_begins():
    found = told(MODELS / "ambient")
    training = found.noisy_training
    assert training is not None
    assert (training.loss, training.sigma_n, training.sample_from) == ("ambient", 0.4, 0.4)
    assert training.copies
    assert found.noise.sigma_min == 0.4
    assert found.noise.curve is not None
    assert found.noise.curve.sigmas[0] < 0.01
    assert told(MODELS / "overfit").noisy_training is None


def test_adapters_are_a_part_of_their_own_beside_their_base(sd, tmp_path):
    unet = load_model(str(sd), ModelOptions()).denoiser.pipeline.unet
    tensors = {}
    for rank, name in ((2, "to_q"), (3, "to_v")):
        for key, one in unet.named_modules():
            if key.endswith(name):
                tensors[f"unet.{key}.lora_A.weight"] = torch.randn(rank, one.in_features)
                tensors[f"unet.{key}.lora_B.weight"] = torch.randn(one.out_features, rank)
    file = tmp_path / "style.safetensors"
    save_file(tensors, file, metadata={"format": "pt"})
    alone, found = told(sd), told(file, base=str(sd))
    assert found.family == "lora"
    assert found.adapters is not None
    assert (found.adapters.base, found.adapters.files) == (str(sd), (file.name,))
    of_base = {part.name: part for part in alone.parts}
    added = {part.name: part for part in found.parts}
    adapters = added.pop("adapters")
    assert added == of_base
    assert (adapters.role, adapters.class_name) == ("adapters", "LoRA of ranks 2 to 3")
    assert adapters.parameters == sum(one.numel() for one in tensors.values())
    assert adapters.bytes == file.stat().st_size
    assert found.parameters == of_base["unet"].parameters + adapters.parameters
    [told_file] = [one for one in found.weights if one.part == "adapters"]
    assert (told_file.name, told_file.sha256) == (file.name, sha256_file(file))
    assert found.digest != alone.digest


def test_the_perfect_memorizer_has_a_range_of_noise_and_no_schedule(write_folder, tiles):
    found = told(f"closed-form:{write_folder('images', tiles[:3])}")
    assert (found.family, found.class_name, found.parameters) == ("closed-form", None, None)
    assert found.memorized is not None
    assert found.memorized.images == 3
    assert (found.noise.steps, found.noise.curve, found.noise.schedule) == (None, None, None)
    assert (found.prediction.type, found.prediction.sign) == (None, None)
    assert (found.parts, found.weights) == ((), ())


def test_what_a_family_of_another_package_does_not_say_is_unknown(tmp_path, clean, monkeypatch):
    site = tmp_path / "site"
    site.mkdir()
    monkeypatch.syspath_prepend(site)
    install(site, GROUP, "exact-edm", "outside:FAMILY")
    folder = tmp_path / "model"
    folder.mkdir()
    save_file({"images": clean.contiguous()}, folder / IMAGES)
    found = told(folder)
    assert (found.family, found.class_name, found.bytes) == ("exact-edm", None, None)
    assert found.reading == {"parameterization": "edm"}
    assert found.noise.curve is None
    assert found.noise.log_snr_min == log_snr(found.noise.sigma_max)


@dataclass(frozen=True)
class Sampled(Edm):
    """A parameterization that counts steps of its sampler, not of a training."""

    steps: int = 50
    sign: str = "plus"


def test_steps_without_a_noise_and_signs_that_are_no_numbers_are_unknown(clean):
    denoiser = replace(edm(clean), parameterization=Sampled())
    found = describe(Loaded(denoiser, Provenance("edm")))
    assert (found.noise.steps, found.noise.curve, found.prediction.sign) == (None, None, None)


def test_a_denoiser_without_provenance_is_told_too():
    found = describe(Loaded(ClosedForm(torch.zeros(2, 3, 4, 4)), Provenance()))
    assert (found.family, found.model, found.digest) == (None, "", None)
    assert found.space.shape == (3, 4, 4)
    json.dumps(found.content(), allow_nan=False)
