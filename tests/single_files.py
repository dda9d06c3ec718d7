"""Single files of the tiny pipelines."""

import json
from collections.abc import Callable, Mapping
from pathlib import Path

from safetensors.torch import load_file, save_file
from single_names import (
    Tensors,
    clip,
    flux,
    lumina2,
    open_clip,
    same,
    sana,
    sd3,
    unet,
    vae,
    z_image,
)

NETWORK, VAE = "model.diffusion_model.", "first_stage_model."
type Inverse = Callable[[Tensors], Tensors]

CLIP_L, CLIP_G = "text_encoders.clip_l.transformer.", "text_encoders.clip_g.transformer."
T5 = "text_encoders.t5xxl.transformer."
# By the writer in tiny_families: the parts that a single file has, where, and how they are named.
HELD: dict[str, dict[str, tuple[str, Inverse]]] = {
    "StableDiffusionPipeline": {
        "unet": (NETWORK, unet),
        "vae": (VAE, vae),
        "text_encoder": ("cond_stage_model.transformer.", clip),
    },
    "StableDiffusionXLPipeline": {
        "unet": (NETWORK, unet),
        "vae": (VAE, vae),
        "text_encoder": ("conditioner.embedders.0.transformer.", clip),
        "text_encoder_2": ("conditioner.embedders.1.model.", open_clip),
    },
    "StableDiffusion3Pipeline": {
        "transformer": (NETWORK, sd3),
        "vae": (VAE, vae),
        "text_encoder": (CLIP_L, clip),
        "text_encoder_2": (CLIP_G, clip),
        "text_encoder_3": (T5, same),
    },
    "FluxPipeline": {
        "transformer": (NETWORK, flux),
        "vae": ("vae.", vae),
        "text_encoder": (CLIP_L, clip),
        "text_encoder_2": (T5, same),
    },
    "Flux2Pipeline": {"transformer": ("", flux)},
    "Flux2KleinPipeline": {"transformer": (NETWORK, flux)},
    "SanaPipeline": {"transformer": ("", sana)},
    "Lumina2Pipeline": {"transformer": (NETWORK, lumina2), "vae": ("vae.", vae)},
    "QwenImagePipeline": {"transformer": (NETWORK, same)},
    "ZImagePipeline": {"transformer": (NETWORK, z_image), "vae": ("vae.", vae)},
}


def single(folder: Path, held: Mapping[str, tuple[str, Inverse]]) -> Tensors:
    """The tensors of a single file of a pipeline, from the folder of one."""
    made: Tensors = {}
    for part, (prefix, inverse) in held.items():
        [file] = (folder / part).glob("*.safetensors")
        made |= {f"{prefix}{name}": one for name, one in inverse(load_file(file)).items()}
    return made


def of_class(folder: Path) -> Tensors:
    """The same, with the parts that files of its class have."""
    name = json.loads((folder / "model_index.json").read_text())["_class_name"]
    return single(folder, HELD[name.replace("Inpaint", "")])


def write(path: Path, tensors: Tensors, **metadata: str) -> Path:
    """A .safetensors file."""
    save_file({name: one.contiguous() for name, one in tensors.items()}, path, metadata)
    return path
