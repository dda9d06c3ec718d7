"""Open a Stable Diffusion pipeline as a denoiser of latents."""

from __future__ import annotations

import inspect
from dataclasses import replace
from pathlib import Path
from typing import Any, cast

from diffusers import (
    StableDiffusionInpaintPipeline,
    StableDiffusionPipeline,
    StableDiffusionXLInpaintPipeline,
    StableDiffusionXLPipeline,
    schedulers,
)
from torch import nn
from transformers import CLIPTokenizer

from memaudit.errors import ModelError
from memaudit.models.ambient import read_ambient
from memaudit.models.chosen import recorded
from memaudit.models.codec import LatentCodec
from memaudit.models.families.registry import Family
from memaudit.models.inpainting import InpaintingDenoiser
from memaudit.models.latent import LatentDenoiser
from memaudit.models.latent_parts import PARTS, load_part, part_weights, quiet
from memaudit.models.limits import SIDE, naming
from memaudit.models.loaded import Loaded, ModelOptions
from memaudit.models.locate import read_config, read_json
from memaudit.models.parameterization import variance_preserving
from memaudit.models.provenance import Provenance

CLASSES: dict[str, Any] = {
    "StableDiffusionPipeline": StableDiffusionPipeline,
    "StableDiffusionXLPipeline": StableDiffusionXLPipeline,
    "StableDiffusionInpaintPipeline": StableDiffusionInpaintPipeline,
    "StableDiffusionXLInpaintPipeline": StableDiffusionXLInpaintPipeline,
}
INPAINTING = ("StableDiffusionInpaintPipeline", "StableDiffusionXLInpaintPipeline")
XL = ("StableDiffusionXLPipeline", "StableDiffusionXLInpaintPipeline")


def owns(folder: Path) -> bool:
    """Whether a folder holds a pipeline of these classes, with a VAE."""
    index = folder / "model_index.json"
    if not index.is_file():
        return False
    parts = read_json(index)
    return "vae" in parts and parts.get("_class_name") in tuple(CLASSES)


def load(folder: Path, options: ModelOptions) -> Loaded:
    """Load a pipeline that is to be audited as it is."""
    denoiser = load_latent(folder, options)
    return with_ambient(denoiser, folder, provenance_of(denoiser, folder, options))


def with_ambient(denoiser: LatentDenoiser, folder: Path, provenance: Provenance) -> Loaded:
    """Heed what a model says of the noise in its training images."""
    ambient = read_ambient(folder)
    if ambient is not None and ambient.mask is not None:
        raise ModelError(
            f"{folder} says that it was trained on masked images ({ambient.loss}), and latents are "
            "never masked; remove its ambient.json if that is wrong"
        )
    if ambient is not None:
        denoiser = replace(denoiser, lowest=ambient.lowest)
        provenance = replace(provenance, ambient=ambient)
    return Loaded(denoiser, provenance, ambient, folder)


def load_latent(folder: Path, options: ModelOptions) -> LatentDenoiser:
    """Load a text-to-image pipeline with a VAE; only safetensors weights are read.

    The VAE stays in fp32 whatever the dtype of the rest. Raises ModelError for other pipelines and
    for what cannot be loaded.
    """
    name = _class_name(folder)
    parts = {part: load_part(kind, folder / part, options) for part, kind in PARTS[name].items()}
    pipeline = _assemble(folder, name, parts)
    _require_channels(pipeline, name, folder)
    resolution = _resolution(pipeline, options.resolution, folder)
    fills_in = pipeline.unet.config.in_channels != pipeline.vae.config.latent_channels
    kind = InpaintingDenoiser if fills_in else LatentDenoiser
    return kind(
        pipeline=pipeline.to(options.device),
        codec=LatentCodec(pipeline.vae, resolution),
        parameterization=variance_preserving(pipeline.scheduler.config),
    )


def _assemble(folder: Path, name: str, parts: dict[str, nn.Module]) -> Any:
    """Put a pipeline together with its tokenizers and its scheduler, and nothing else it names."""
    without = {"safety_checker": None, "requires_safety_checker": False, "feature_extractor": None}
    advice = "it needs the parts that its model_index.json names: copy it again"
    with quiet(), naming(f"the {name} in {folder}", advice):
        tokenizers = {
            part.replace("text_encoder", "tokenizer"): CLIPTokenizer.from_pretrained(
                folder / part.replace("text_encoder", "tokenizer"), local_files_only=True
            )
            for part in parts
            if part.startswith("text_encoder")
        }
        return CLASSES[name](
            **parts,
            **tokenizers,
            scheduler=_scheduler(folder / "scheduler"),
            **({"add_watermarker": False} if name in XL else without),
        )


def _scheduler(folder: Path) -> Any:
    """The scheduler, for its configuration; of the classes of diffusers and no other."""
    name = read_config(folder / "scheduler_config.json", lenient=True).get("_class_name")
    kind: Any = getattr(schedulers, str(name), None)
    if not inspect.isclass(kind) or not issubclass(kind, schedulers.SchedulerMixin):
        raise ModelError(
            f"{folder / 'scheduler_config.json'} names no scheduler of diffusers but {name!r}; "
            "expected one such as DDIMScheduler under _class_name. Copy the model again"
        )
    return cast(Any, kind).from_pretrained(folder, local_files_only=True)


def _resolution(pipeline: Any, asked: int | None, folder: Path) -> tuple[int, int]:
    """Height and width of the images, as the UNet's config.json or the user says."""
    size, scale = pipeline.unet.config.sample_size, pipeline.vae_scale_factor
    if asked is None and not (isinstance(size, int) and size > 0):
        raise ModelError(
            f"the UNet's config.json in {folder} gives sample_size {size!r}, expected a whole "
            "number; say the side of the images with --resolution"
        )
    side = asked or size * scale
    if asked is None and side > SIDE:
        raise ModelError(
            f"the model in {folder} says that its images are {side} px wide, expected {SIDE} at "
            "most; say the side of the images with --resolution"
        )
    factor = scale * 2 ** (len(pipeline.unet.config.block_out_channels) - 1)
    if side % factor:
        raise ModelError(
            f"the resolution is {side}, expected a multiple of {factor}: the VAE and the UNet "
            "halve the image so often; say it with --resolution"
        )
    return side, side


def _require_channels(pipeline: Any, name: str, folder: Path) -> None:
    """Refuse networks that see more than noisy latents, and of inpainting a mask and latents."""
    found, latents = pipeline.unet.config.in_channels, pipeline.vae.config.latent_channels
    beside = (latents, 2 * latents + 1) if name in INPAINTING else (latents,)
    if found not in beside:
        raise ModelError(
            f"the UNet in {folder} takes {found} channels, expected the {latents} of its VAE's "
            f"latents{f' or {beside[-1]} with a mask' * (name in INPAINTING)}; models for "
            "inpainting are those that their model_index.json calls so, and models for editing "
            "are not audited"
        )
    factor = pipeline.vae.config.scaling_factor
    if not isinstance(factor, int | float) or not factor > 0:
        raise ModelError(
            f"the VAE's config.json in {folder} gives scaling_factor {factor!r}, expected a number "
            "above 0; copy the model again"
        )


def provenance_of(denoiser: LatentDenoiser, folder: Path, options: ModelOptions) -> Provenance:
    """What is kept of where a denoiser came from."""
    unet: Any = denoiser.pipeline.unet
    name = type(denoiser.pipeline).__name__
    chosen = [part_weights(kind, folder / part, options) for part, kind in PARTS[name].items()]
    provenance = Provenance(
        family="latent",
        reading=denoiser.parameterization.described(),
        dtype=options.dtype,
        parameters=sum(p.numel() for p in unet.parameters()),
        details={"class": name, "scheduler": dict(denoiser.pipeline.scheduler.config)},
    )
    return recorded(provenance, chosen, folder)


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


FAMILY = Family(load, owns)
