"""From the names that a part has in single files to those of diffusers and transformers.

Each takes the tensors of a part, under names without the part's own, and the network they are for.
The work is done by the converters of diffusers' single-file loading; added is what these take for
granted: prefixes, and the widths of FLUX.1 and Lumina 2.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Any

import torch
from diffusers.loaders import single_file_utils as of_diffusers
from torch import Tensor

type Tensors = dict[str, Tensor]
type Convert = Callable[[Tensors, Any], Tensors]

SD2, XL2 = "cond_stage_model.model.", "conditioner.embedders.1.model."  # where OpenCLIP stands
FUSED = re.compile(r"single_blocks\.(\d+)\.linear1\.(weight|bias)")
ROWS = 7 * 3072  # of that tensor in FLUX.1, the only width that diffusers' converter knows
HALVES = ("attn.to_q", "attn.to_k", "attn.to_v", "proj_mlp")
QKV = ".attention.qkv.weight"
UNWRAPPED = re.compile(r"(embeddings|encoder|final_layer_norm)\.")


def same(tensors: Tensors, network: Any) -> Tensors:  # noqa: ARG001
    """Names that are those of diffusers or transformers."""
    return tensors


def unet(tensors: Tensors, network: Any) -> Tensors:
    """The UNet of Stable Diffusion 1, 2 and XL."""
    named = {f"{of_diffusers.LDM_UNET_KEY}{name}": one for name, one in tensors.items()}
    return _made(of_diffusers.convert_ldm_unet_checkpoint(named, network.config))


def vae(tensors: Tensors, network: Any) -> Tensors:
    """The VAE of all latent models but the newest."""
    return _made(of_diffusers.convert_ldm_vae_checkpoint(tensors, network.config))


def sd3(tensors: Tensors, network: Any) -> Tensors:  # noqa: ARG001
    """The transformer of Stable Diffusion 3 and 3.5."""
    return _made(of_diffusers.convert_sd3_transformer_checkpoint_to_diffusers(tensors))


def flux(tensors: Tensors, network: Any) -> Tensors:
    """The transformer of FLUX.1, of any width."""
    fused = {name: one for name, one in tensors.items() if FUSED.fullmatch(name)}
    empty = {name: one.new_empty((ROWS, 0)) for name, one in fused.items()}
    made = _made(of_diffusers.convert_flux_transformer_checkpoint_to_diffusers(tensors | empty))
    width = network.inner_dim
    for name, one in fused.items():
        block, kind = FUSED.fullmatch(name).groups()  # type: ignore[union-attr]
        pieces = torch.split(one, [width, width, width, len(one) - 3 * width])
        for half, piece in zip(HALVES, pieces, strict=True):
            made[f"single_transformer_blocks.{block}.{half}.{kind}"] = piece
    return made


def flux2(tensors: Tensors, network: Any) -> Tensors:  # noqa: ARG001
    """The transformer of FLUX.2."""
    return _made(of_diffusers.convert_flux2_transformer_checkpoint_to_diffusers(tensors))


def lumina2(tensors: Tensors, network: Any) -> Tensors:
    """The transformer of Lumina-Image 2.0, of any width."""
    config = network.config
    keys = config.hidden_size // config.num_attention_heads * config.num_kv_heads
    made: Tensors = {}
    for name, one in tensors.items():
        if name.endswith(QKV):
            pieces = torch.split(one, [config.hidden_size, keys, keys])
            for half, piece in zip("qkv", pieces, strict=True):
                made[name.replace(QKV, f".attention.to_{half}.weight")] = piece
        else:
            made[name] = one
    return _made(of_diffusers.convert_lumina2_to_diffusers(made))


def sana(tensors: Tensors, network: Any) -> Tensors:  # noqa: ARG001
    """The transformer of Sana."""
    return _made(of_diffusers.convert_sana_transformer_to_diffusers(tensors))


def z_image(tensors: Tensors, network: Any) -> Tensors:  # noqa: ARG001
    """The transformer of Z-Image."""
    return _made(of_diffusers.convert_z_image_transformer_checkpoint_to_diffusers(tensors))


def clip(tensors: Tensors, network: Any) -> Tensors:
    """A CLIP of transformers; in old files its names lack `text_model.`."""
    made = {
        f"text_model.{name}" if UNWRAPPED.match(name) else name: one
        for name, one in tensors.items()
    }
    return _of_text_model(made, network)


def projected_clip(tensors: Tensors, network: Any) -> Tensors:
    """The first CLIP of Stable Diffusion 3, whose projection is the identity where none is held."""
    made = clip(tensors, network)
    width = network.config.hidden_size
    return {"text_projection.weight": torch.eye(width), **made}


def open_clip(prefix: str) -> Convert:
    """An OpenCLIP; `prefix` is where it stands, by which diffusers knows what of it is not used."""

    def convert(tensors: Tensors, network: Any) -> Tensors:
        named = {f"{prefix}{name}": one for name, one in tensors.items()}
        made = of_diffusers.convert_open_clip_checkpoint(network, named, prefix=prefix)
        return _of_text_model(made, network)

    return convert


def _of_text_model(tensors: Tensors, network: Any) -> Tensors:
    """As the class at hand has it: perhaps without a projection, or with `text_model.` left out."""
    outer = "" if hasattr(network, "text_model") else "text_model."
    return {
        name.removeprefix(outer): one
        for name, one in tensors.items()
        if name != "text_projection.weight" or hasattr(network, "text_projection")
    }


def _made(converted: Mapping[str, Any]) -> Tensors:
    """What a converter made; it gives None for what it looked for and did not find."""
    return {name: one for name, one in converted.items() if one is not None}
