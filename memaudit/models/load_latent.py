"""Open a Stable Diffusion pipeline, with or without LoRA adapters, as a denoiser of latents."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from diffusers import (
    AutoencoderKL,
    StableDiffusionPipeline,
    StableDiffusionXLPipeline,
    UNet2DConditionModel,
)
from diffusers.utils import logging as diffusers_logging
from safetensors import SafetensorError, safe_open
from torch import nn
from transformers import CLIPTextModel, CLIPTextModelWithProjection
from transformers.utils import logging as transformers_logging

from memaudit.errors import ModelError
from memaudit.models.ambient import read_ambient
from memaudit.models.latent import LatentDenoiser
from memaudit.models.loaded import DTYPES, Loaded, ModelOptions
from memaudit.models.locate import read_json
from memaudit.models.lora import ADAPTERS, base_folder
from memaudit.models.reading import reading_from_config
from memaudit.models.weights import sha256_file

UNET_AND_VAE: dict[str, Any] = {"unet": UNet2DConditionModel, "vae": AutoencoderKL}
CLASSES: dict[str, Any] = {
    "StableDiffusionPipeline": StableDiffusionPipeline,
    "StableDiffusionXLPipeline": StableDiffusionXLPipeline,
}
PARTS: dict[str, dict[str, Any]] = {  # with weights that decide the answer
    "StableDiffusionPipeline": {**UNET_AND_VAE, "text_encoder": CLIPTextModel},
    "StableDiffusionXLPipeline": {
        **UNET_AND_VAE,
        "text_encoder": CLIPTextModel,
        "text_encoder_2": CLIPTextModelWithProjection,
    },
}


def load_pipeline(folder: Path, options: ModelOptions) -> Loaded:
    """Load a pipeline that is to be audited as it is."""
    denoiser = load_latent(folder, options)
    return _with_ambient(denoiser, folder, _provenance(denoiser, folder, options))


def load_lora(folder: Path, options: ModelOptions) -> Loaded:
    """Load LoRA adapters into the pipeline that they were trained for; raises ModelError."""
    base, of_base = base_folder(folder, options)
    denoiser = load_latent(base, of_base)
    adapters = folder / ADAPTERS
    try:
        with safe_open(adapters, framework="pt") as file:
            there = [name for name in file.keys() if not name.endswith("alpha")]  # noqa: SIM118
    except (SafetensorError, OSError) as error:
        raise ModelError(
            f"{adapters} is not a whole .safetensors file: {error}; copy it again"
        ) from error
    try:
        with _quiet():
            denoiser.pipeline.load_lora_weights(folder, weight_name=ADAPTERS, use_safetensors=True)
    except Exception as error:  # whatever diffusers and peft raise at tensors they do not expect
        raise _misfit(adapters, base, _brief(error)) from error
    parts = [p for p in denoiser.pipeline.components.values() if isinstance(p, nn.Module)]
    for part in parts:
        _freeze(part, folder)
    placed = sum("lora_" in name for part in parts for name, _ in part.named_parameters())
    if not there or placed != len(there):  # diffusers only warns of it
        raise _misfit(adapters, base, f"{placed} of {len(there)} tensors have a place there")
    provenance = {
        **_provenance(denoiser, base, of_base),
        "base": str(base),
        "adapters": {ADAPTERS: sha256_file(adapters)},
    }
    return _with_ambient(denoiser, folder, provenance)


def _misfit(adapters: Path, base: Path, why: str) -> ModelError:
    return ModelError(
        f"the adapters in {adapters} cannot be put into {base}: {why}; name the pipeline that they "
        "were trained for with --base-model"
    )


def _with_ambient(denoiser: LatentDenoiser, folder: Path, provenance: dict[str, Any]) -> Loaded:
    """Heed what a model says of the noise in its training images."""
    ambient = read_ambient(folder)
    if ambient is not None and ambient.mask is not None:
        raise ModelError(
            f"{folder} says that it was trained on masked images ({ambient.loss}), and latents are "
            "never masked; remove its ambient.json if that is wrong"
        )
    if ambient is not None:
        denoiser = replace(denoiser, lowest=ambient.lowest)
        provenance = {**provenance, "ambient": ambient.content()}
    return Loaded(denoiser, provenance, ambient, folder)


def load_latent(folder: Path, options: ModelOptions) -> LatentDenoiser:
    """Load a text-to-image pipeline with a VAE; only safetensors weights are read.

    The VAE stays in fp32 whatever the dtype of the rest. Raises ModelError for other pipelines and
    for what cannot be loaded.
    """
    name = _class_name(folder)
    parts = {part: _load_part(kind, folder / part, options) for part, kind in PARTS[name].items()}
    pipeline = _assemble(folder, name, parts)
    _require_text_to_image(pipeline, folder)
    return LatentDenoiser(
        pipeline=pipeline.to(options.device),
        resolution=_resolution(pipeline, options.resolution, folder),
        reading=reading_from_config(pipeline.scheduler.config),
    )


def _load_part(kind: Any, folder: Path, options: ModelOptions) -> nn.Module:
    """Load one network of a pipeline, whole; raises ModelError if anything is missing."""
    dtype = torch.float32 if kind is AutoencoderKL else DTYPES[options.dtype]
    if not (folder / "config.json").is_file() or (folder / "adapter_config.json").exists():
        raise ModelError(
            f"{folder} holds no {kind.__name__}: expected its config.json and weights in "
            ".safetensors, and no adapter_config.json, which names other models"
        )
    try:
        with _quiet():
            part, report = kind.from_pretrained(
                folder,
                variant=_variant(folder, options.variant),
                torch_dtype=dtype,
                use_safetensors=True,
                local_files_only=True,
                output_loading_info=True,
                **({"low_cpu_mem_usage": False} if kind in UNET_AND_VAE.values() else {}),
            )
    except Exception as error:  # whatever diffusers and transformers raise at a damaged folder
        raise ModelError(
            f"the {kind.__name__} in {folder} cannot be loaded: {_brief(error)}; it needs its "
            "config.json and weights in .safetensors (a pickle can run any code, so it is never "
            "loaded)"
        ) from error
    strays = [str(key) for key in (*report["missing_keys"], *report["mismatched_keys"])]
    if kind in UNET_AND_VAE.values():  # text encoders of old carry tensors nobody needs
        strays += report["unexpected_keys"]
    if strays:
        raise ModelError(
            f"the weights in {folder} do not fit its config.json: {len(strays)} tensors are "
            f"missing, left over or of another shape, {strays[0]} first; take both from one model"
        )
    network: nn.Module = part
    _freeze(network, folder)
    return network


def _assemble(folder: Path, name: str, parts: dict[str, nn.Module]) -> Any:
    """Put a pipeline together with its tokenizers and its scheduler."""
    without = {"safety_checker": None, "requires_safety_checker": False, "feature_extractor": None}
    try:
        with _quiet():
            return CLASSES[name].from_pretrained(
                folder,
                use_safetensors=True,
                local_files_only=True,
                **parts,
                **(without if name == "StableDiffusionPipeline" else {}),
            )
    except Exception as error:  # whatever diffusers and transformers raise at a damaged folder
        raise ModelError(
            f"the {name} in {folder} cannot be loaded: {_brief(error)}; it needs the parts that "
            "its model_index.json names: copy it again"
        ) from error


def _brief(error: Exception) -> str:
    return " ".join(str(error).split())[:300] or type(error).__name__


def _resolution(pipeline: Any, asked: int | None, folder: Path) -> tuple[int, int]:
    """Height and width of the images, as the UNet's config.json or the user says."""
    size, scale = pipeline.unet.config.sample_size, pipeline.vae_scale_factor
    if asked is None and not (isinstance(size, int) and size > 0):
        raise ModelError(
            f"the UNet's config.json in {folder} gives sample_size {size!r}, expected a whole "
            "number; say the side of the images with --resolution"
        )
    side = asked or size * scale
    factor = scale * 2 ** (len(pipeline.unet.config.block_out_channels) - 1)
    if side % factor:
        raise ModelError(
            f"the resolution is {side}, expected a multiple of {factor}: the VAE and the UNet "
            "halve the image so often; say it with --resolution"
        )
    return side, side


def _freeze(part: nn.Module, folder: Path) -> None:
    """Let no gradient reach a network and no dropout change it; refuse what is not finite."""
    part.requires_grad_(False).eval()
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
    factor = pipeline.vae.config.scaling_factor
    if not isinstance(factor, int | float) or not factor > 0:
        raise ModelError(
            f"the VAE's config.json in {folder} gives scaling_factor {factor!r}, expected a number "
            "above 0; copy the model again"
        )


def _provenance(denoiser: LatentDenoiser, folder: Path, options: ModelOptions) -> dict[str, Any]:
    unet: Any = denoiser.pipeline.unet
    name = type(denoiser.pipeline).__name__
    return {
        "family": "latent",
        "class": name,
        "scheduler": dict(denoiser.pipeline.scheduler.config),
        "prediction_type": denoiser.reading.prediction,
        "schedule": denoiser.reading.schedule.name,
        "ambient": None,
        "dtype": options.dtype,
        "parameters": sum(p.numel() for p in unet.parameters()),
        "weights": {
            f"{part}/{path.name}": sha256_file(path)
            for part in PARTS[name]
            for path in _files(folder / part, _variant(folder / part, options.variant))
        },
    }


def _variant(folder: Path, asked: str | None) -> str | None:
    """The variant of one part; parts that have no file of it are taken plain."""
    return asked if asked is not None and _files(folder, asked) else None


def _files(folder: Path, variant: str | None) -> list[Path]:
    """The weights of a part: model.safetensors, or model.fp16.safetensors."""

    def fits(path: Path) -> bool:
        between = path.name.split(".")[1:-1]
        return not between if variant is None else any(b.startswith(variant) for b in between)

    return [path for path in sorted(folder.glob("*.safetensors")) if fits(path)]


def _class_name(folder: Path) -> str:
    if not (folder / "model_index.json").is_file():
        raise ModelError(
            f"{folder} is no pipeline folder: it holds no model_index.json; give the folder of a "
            f"{' or '.join(CLASSES)}"
        )
    name = read_json(folder / "model_index.json").get("_class_name")
    if name not in tuple(CLASSES):
        raise ModelError(f"{folder} is a {name}; expected a {' or '.join(CLASSES)}")
    return str(name)


@contextmanager
def _quiet() -> Iterator[None]:
    """Keep diffusers and transformers from drawing progress bars and giving advice."""
    shown = [each for each in (diffusers_logging, transformers_logging) if _shows_bars(each)]
    speaking = {each: each.get_verbosity() for each in (diffusers_logging, transformers_logging)}
    for each in speaking:
        each.set_verbosity_error()
    for each in shown:
        each.disable_progress_bar()
    try:
        yield
    finally:
        for each, verbosity in speaking.items():
            each.set_verbosity(verbosity)
        for each in shown:
            each.enable_progress_bar()


def _shows_bars(logging: Any) -> bool:
    return bool(logging.is_progress_bar_enabled())
