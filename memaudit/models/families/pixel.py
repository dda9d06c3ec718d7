"""Open an unconditional pixel model of diffusers as a denoiser."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, cast

import torch
from diffusers import UNet2DModel
from torch import Tensor

from memaudit.errors import ModelError
from memaudit.models.ambient import fixed_mask, read_ambient
from memaudit.models.chosen import Chosen, Network, choose, recorded
from memaudit.models.codec import PixelCodec
from memaudit.models.families.registry import Family
from memaudit.models.latent_parts import quiet
from memaudit.models.limits import check_size, naming
from memaudit.models.loaded import DTYPES, Loaded, ModelOptions
from memaudit.models.locate import read_config, read_json
from memaudit.models.parameterization import variance_preserving
from memaudit.models.parts import Part, part_of
from memaudit.models.pixel import PixelDenoiser
from memaudit.models.provenance import Provenance
from memaudit.models.weights import (
    freeze,
    numbers_in,
    require_fitting,
    staged,
)

SCHEDULER = "scheduler_config.json"


def owns(folder: Path) -> bool:
    """Whether a folder holds an unconditional UNet2DModel, with a scheduler that is understood."""
    index = folder / "model_index.json"
    if index.is_file() and "vae" in read_json(index):
        return False
    try:
        unet_folder, scheduler_config = _read_layout(folder)
        _require_unconditional(read_json(unet_folder / "config.json"), unet_folder)
        variance_preserving(scheduler_config)
    except ModelError:
        return False
    return True


def load(folder: Path, options: ModelOptions) -> Loaded:
    """Load a pipeline folder without a VAE, or a bare UNet2DModel."""
    unet_folder, scheduler_config = _read_layout(folder)
    _require_unconditional(read_config(unet_folder / "config.json"), unet_folder)
    chosen = choose(Network("unet", unet_folder, named=unet_folder == folder), options)
    config = read_config(chosen.configured / "config.json")
    _require_unconditional(config, chosen.configured)
    network = _load_unet(chosen, options)
    ambient = read_ambient(folder)
    told = ambient is not None and ambient.told_its_mask
    denoiser = wrap(network, scheduler_config, options.sides, told)
    if ambient is not None:
        denoiser = replace(denoiser, lowest=ambient.lowest, mask=fixed_mask(ambient, denoiser))
    provenance = Provenance(
        family="pixel",
        reading=denoiser.parameterization.described(),
        ambient=ambient,
        mask=_describe(denoiser.mask),
        dtype=options.dtype,
        parameters=sum(p.numel() for p in network.parameters()),
        details={"class": config["_class_name"], "scheduler": dict(scheduler_config)},
        parts={
            "unet": part_of("unet", network, chosen.named(unet_folder)),
            **_scheduler_part(scheduler_config),
        },
    )
    return Loaded(denoiser, recorded(provenance, [chosen], unet_folder), ambient, folder)


def wrap(
    network: UNet2DModel,
    scheduler_config: Mapping[str, Any],
    resolution: tuple[int, int] | None = None,
    masked: bool = False,
) -> PixelDenoiser:
    """Read a UNet2DModel through its scheduler's configuration.

    `masked`: its last input channel is the mask of what it sees, which it must be told.
    """
    config = network.config
    channels = int(config.in_channels) - masked
    if channels not in (1, 3) or config.out_channels not in (channels, 2 * channels):
        raise ModelError(
            f"the UNet maps {channels} channels to {config.out_channels}; a pixel model maps 1 or "
            "3 channels to as many, or to twice as many with a learned variance"
        )
    return PixelDenoiser(
        network=network,
        codec=PixelCodec((channels, *_resolution(config, resolution)), network.device),
        parameterization=variance_preserving(scheduler_config),
        clip=_clip(scheduler_config),
    )


def _scheduler_part(config: Mapping[str, Any]) -> dict[str, Part]:
    if "assumed" in config:
        return {}
    return {"scheduler": Part("scheduler", str(config.get("_class_name", "")))}


def _describe(mask: Tensor | None) -> str | None:
    """Say through which mask a network is asked."""
    if mask is None:
        return None
    return (
        f"one mask of the trained kind for all images, from the training's seed, which shows "
        f"{float(mask.mean()):.3f} of each; the network fills in the rest"
    )


def _read_layout(folder: Path) -> tuple[Path, Mapping[str, Any]]:
    """-> the UNet's folder and the scheduler's configuration."""
    index = folder / "model_index.json"
    if index.is_file():
        parts = read_json(index)
        if "unet" not in parts or "text_encoder" in parts:
            raise ModelError(
                f"{folder} is a {parts.get('_class_name', 'pipeline')}; this version audits "
                "unconditional pixel models (a pipeline with a UNet2DModel and no text encoder) "
                "and the latent ones of Stable Diffusion"
            )
        # Older pipelines on the hub keep everything at the root, as diffusers reads it too.
        unet, scheduler = folder / "unet", folder / "scheduler"
        return (
            unet if unet.is_dir() else folder,
            _read_scheduler(scheduler if scheduler.is_dir() else folder),
        )
    if (folder / "config.json").is_file():
        return folder, _scheduler_of((folder, folder.parent / "scheduler"))
    if not (folder / "unet" / "config.json").is_file():  # as training scripts keep every N steps
        found = ", ".join(sorted(p.name for p in folder.iterdir())[:6]) or "nothing"
        raise ModelError(
            f"{folder} holds no model: expected model_index.json (a pipeline) or config.json (a "
            f"bare UNet2DModel), found {found}"
        )
    return folder / "unet", _scheduler_of((folder / "scheduler", folder.parent / "scheduler"))


def _scheduler_of(places: Sequence[Path]) -> Mapping[str, Any]:
    """The first configuration of a scheduler that is there; where none is, one is assumed."""
    for place in places:
        if (place / SCHEDULER).is_file():
            return _read_scheduler(place)
    return {"_class_name": "DDPMScheduler", "beta_schedule": "linear", "assumed": True}


def _read_scheduler(folder: Path) -> dict[str, Any]:
    return read_config(folder / SCHEDULER, lenient=True)  # some hold -Infinity where it is honest


def _require_unconditional(config: Mapping[str, Any], folder: Path) -> None:
    name = config.get("_class_name")
    if name != "UNet2DModel":
        raise ModelError(
            f"{folder} holds a {name or 'model without a class name'}; this version audits "
            "UNet2DModel (unconditional pixel models); give the folder of one"
        )
    if config.get("num_class_embeds") or config.get("class_embed_type"):
        raise ModelError(f"{folder} is class-conditional; this version audits unconditional models")
    if config.get("time_embedding_type", "positional") != "positional":
        raise ModelError(
            f"{folder} embeds time as {config['time_embedding_type']!r} (a score model of the "
            "NCSN++ kind); this version audits variance-preserving models with positional time"
        )


def _load_unet(chosen: Chosen, options: ModelOptions) -> UNet2DModel:
    folder, weights = chosen.configured, chosen.files
    config = read_config(folder / "config.json")
    with quiet(), naming(f"the UNet in {folder}", "check that its files are of one model"):
        check_size(UNet2DModel, config, numbers_in(weights), folder)
        with staged(folder, weights) as stage:
            network, report = UNet2DModel.from_pretrained(
                stage,
                torch_dtype=DTYPES[options.dtype],
                use_safetensors=True,
                local_files_only=True,
                low_cpu_mem_usage=False,
                output_loading_info=True,
            )
    strays = [*report["missing_keys"], *report["mismatched_keys"], *report["unexpected_keys"]]
    require_fitting(strays, folder)
    freeze(network, folder)
    return cast(UNet2DModel, network.to(options.device, memory_format=torch.channels_last))


def _resolution(config: Any, override: tuple[int, int] | None) -> tuple[int, int]:
    """Height and width, as the UNet's config.json or the user says."""
    size = config.sample_size if override is None else override
    if size is None:
        raise ModelError("the model's config.json gives no sample_size; say --resolution")
    sides = (size, size) if isinstance(size, int) else tuple(size)
    factor = 2 ** (len(config.block_out_channels) - 1)
    if len(sides) != 2 or not all(isinstance(n, int) and n > 0 and n % factor == 0 for n in sides):
        raise ModelError(
            f"the resolution is {size!r}, expected a multiple of {factor}, because the UNet halves "
            f"the image {len(config.block_out_channels) - 1} times; say it with --resolution"
        )
    return sides


def _clip(config: Mapping[str, Any]) -> float | None:
    if not config.get("clip_sample", False):
        return None
    limit = config.get("clip_sample_range", 1.0)
    if not isinstance(limit, int | float) or not limit > 0:
        raise ModelError(
            f"the scheduler's clip_sample_range is {limit!r}, expected a number above 0; correct "
            "its scheduler_config.json"
        )
    return float(limit)


FAMILY = Family(load, owns)
