"""Open a Stable Diffusion pipeline, with or without LoRA adapters, as a denoiser of latents."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from diffusers import StableDiffusionPipeline, StableDiffusionXLPipeline
from diffusers.utils import logging as diffusers_logging
from safetensors import SafetensorError, safe_open
from torch import nn
from transformers.utils import logging as transformers_logging

from memaudit.errors import ModelError
from memaudit.models.ambient import read_ambient
from memaudit.models.latent import LatentDenoiser
from memaudit.models.loaded import DTYPES, Loaded, ModelOptions
from memaudit.models.locate import read_json
from memaudit.models.lora import ADAPTERS, base_folder
from memaudit.models.reading import reading_from_config
from memaudit.models.weights import sha256_file

CLASSES: dict[str, Any] = {
    "StableDiffusionPipeline": StableDiffusionPipeline,
    "StableDiffusionXLPipeline": StableDiffusionXLPipeline,
}


PARTS = ("unet", "vae", "text_encoder", "text_encoder_2")  # with weights that decide the answer


def load_pipeline(folder: Path, options: ModelOptions) -> Loaded:
    """Load a pipeline that is to be audited as it is."""
    denoiser = load_latent(folder, options)
    return Loaded(denoiser, _provenance(denoiser, folder, options), folder=folder)


def load_lora(folder: Path, options: ModelOptions) -> Loaded:
    """Load LoRA adapters into the pipeline that they were trained for; raises ModelError."""
    base, of_base = base_folder(folder, options)
    denoiser = load_latent(base, of_base)
    adapters = folder / ADAPTERS
    try:
        with _quiet():
            denoiser.pipeline.load_lora_weights(folder, weight_name=ADAPTERS, use_safetensors=True)
        _require_all(denoiser, adapters)
    except (SafetensorError, OSError, ValueError, RuntimeError, TypeError, KeyError) as error:
        lines = " ".join(str(error).split()) or type(error).__name__
        raise ModelError(
            f"the adapters in {adapters} cannot be put into {base}: {lines[:300]}; name the "
            "pipeline that they were trained for with --base-model"
        ) from error
    _freeze(denoiser.pipeline.unet, folder)
    ambient = read_ambient(folder)
    if ambient is not None:
        denoiser = replace(denoiser, lowest=ambient.lowest)
    provenance = {
        **_provenance(denoiser, base, of_base),
        "ambient": None if ambient is None else ambient.content(),
        "base": str(base),
        "adapters": {ADAPTERS: sha256_file(adapters)},
    }
    return Loaded(denoiser, provenance, ambient, folder)


def load_latent(folder: Path, options: ModelOptions) -> LatentDenoiser:
    """Load a text-to-image pipeline with a VAE; only safetensors weights are read.

    The VAE stays in fp32 whatever the dtype of the rest. Raises ModelError for other pipelines and
    for what cannot be loaded.
    """
    pipeline = _load_pipeline(folder, _class_name(folder), options)
    for part in pipeline.components.values():
        if isinstance(part, nn.Module):
            _freeze(part, folder)
    _require_text_to_image(pipeline, folder)
    side = options.resolution or int(pipeline.unet.config.sample_size * pipeline.vae_scale_factor)
    factor = pipeline.vae_scale_factor * 2 ** (len(pipeline.unet.config.block_out_channels) - 1)
    if side % factor:
        raise ModelError(
            f"the resolution is {side}, expected a multiple of {factor}: the VAE and the UNet "
            "halve the image so often; say it with --resolution"
        )
    return LatentDenoiser(
        pipeline=pipeline.to(options.device),
        resolution=(side, side),
        reading=reading_from_config(pipeline.scheduler.config),
    )


def _freeze(part: nn.Module, folder: Path) -> None:
    """Let no gradient reach a network, and refuse weights that are not finite."""
    part.requires_grad_(False)
    for name, parameter in part.named_parameters():
        if not bool(torch.isfinite(parameter).all()):
            raise ModelError(
                f"the weights of {type(part).__name__} in {folder} hold NaN or infinity "
                f"({name}); copy the model again"
            )


def _require_text_to_image(pipeline: Any, folder: Path) -> None:
    """Refuse networks that see more than noisy latents, as those for inpainting do."""
    found, expected = pipeline.unet.config.in_channels, pipeline.vae.config.latent_channels
    if found != expected:
        raise ModelError(
            f"the UNet in {folder} takes {found} channels, expected the {expected} of its VAE's "
            "latents; models for inpainting or editing are not text-to-image models"
        )


def _require_all(denoiser: LatentDenoiser, adapters: Path) -> None:
    """Refuse adapters of which a part found no place: diffusers only warns of it."""
    with safe_open(adapters, framework="pt") as file:
        there = [name for name in file.keys() if not name.endswith("alpha")]  # noqa: SIM118
    parts = [p for p in denoiser.pipeline.components.values() if isinstance(p, nn.Module)]
    placed = sum("lora_" in name for part in parts for name, _ in part.named_parameters())
    if placed != len(there):
        raise ValueError(f"{placed} of {len(there)} tensors have a place there")


def _provenance(denoiser: LatentDenoiser, folder: Path, options: ModelOptions) -> dict[str, Any]:
    unet: Any = denoiser.pipeline.unet
    return {
        "family": "latent",
        "class": type(denoiser.pipeline).__name__,
        "scheduler": dict(denoiser.pipeline.scheduler.config),
        "prediction_type": denoiser.reading.prediction,
        "schedule": denoiser.reading.schedule.name,
        "ambient": None,
        "dtype": options.dtype,
        "parameters": sum(p.numel() for p in unet.parameters()),
        "weights": {
            f"{part}/{path.name}": sha256_file(path)
            for part in PARTS
            for path in sorted((folder / part).glob("*.safetensors"))
            if _is_variant(path, options.variant)
        },
    }


def _is_variant(path: Path, variant: str | None) -> bool:
    between = path.name.split(".")[1:-1]  # model.fp16.safetensors
    return not between if variant is None else any(one.startswith(variant) for one in between)


def _class_name(folder: Path) -> str:
    if not (folder / "model_index.json").is_file():
        raise ModelError(
            f"{folder} is no pipeline folder: it holds no model_index.json; give the folder of a "
            f"{' or '.join(CLASSES)}"
        )
    name = read_json(folder / "model_index.json").get("_class_name")
    if name not in CLASSES:
        raise ModelError(f"{folder} is a {name}; expected a {' or '.join(CLASSES)}")
    return str(name)


def _load_pipeline(folder: Path, name: str, options: ModelOptions) -> Any:
    without = {"safety_checker": None, "requires_safety_checker": False, "feature_extractor": None}
    try:
        with _quiet():
            return CLASSES[name].from_pretrained(
                folder,
                variant=options.variant,
                dtype={"vae": torch.float32, "default": DTYPES[options.dtype]},
                use_safetensors=True,
                local_files_only=True,
                **(without if name == "StableDiffusionPipeline" else {}),
            )
    except (SafetensorError, OSError, ValueError, RuntimeError, TypeError, KeyError) as error:
        lines = " ".join(str(error).split()) or type(error).__name__
        raise ModelError(
            f"the {name} in {folder} cannot be loaded: {lines[:300]}; it needs the parts that its "
            "model_index.json names, with weights in .safetensors (a pickle can run any code, so "
            "it is never loaded)"
        ) from error


@contextmanager
def _quiet() -> Iterator[None]:
    """Keep diffusers and transformers from drawing progress bars, and diffusers from advising."""
    shown = [each for each in (diffusers_logging, transformers_logging) if _shows_bars(each)]
    verbosity = diffusers_logging.get_verbosity()
    diffusers_logging.set_verbosity_error()
    for each in shown:
        each.disable_progress_bar()
    try:
        yield
    finally:
        diffusers_logging.set_verbosity(verbosity)
        for each in shown:
            each.enable_progress_bar()


def _shows_bars(logging: Any) -> bool:
    return bool(logging.is_progress_bar_enabled())
