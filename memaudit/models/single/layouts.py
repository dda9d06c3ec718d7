"""What single files of each architecture hold: which parts, and under which names."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from memaudit.models.single import converters
from memaudit.models.single.converters import SD2, XL2, Convert

# Where a VAE stands, and CLIP, T5: as their authors wrote them, and as ComfyUI writes all of them.
VAE = {"first_stage_model.": converters.vae, "vae.": converters.vae}
CLIP_L, CLIP_G = "text_encoders.clip_l.transformer.", "text_encoders.clip_g.transformer."
T5 = {"text_encoders.t5xxl.transformer.": converters.same}


@dataclass(frozen=True)
class Layout:
    """An architecture: `marks` are tensors of its network that no other has, one of each writer.

    A `*` in a mark is a number. `network` is the part that answers and `convert` makes its names;
    `beside` says of the other parts under which prefixes they may stand.
    """

    name: str
    classes: tuple[str, ...]
    network: str
    convert: Convert
    marks: tuple[str, ...]
    beside: Mapping[str, Mapping[str, Convert]]


UNET_MARKS = (  # what hears the text
    "input_blocks.*.1.transformer_blocks.0.attn2.to_k.weight",
    "down_blocks.*.attentions.0.transformer_blocks.0.attn2.to_k.weight",
)
LAYOUTS = (
    Layout(
        "Stable Diffusion 1 or 2",
        ("StableDiffusionPipeline", "StableDiffusionInpaintPipeline"),
        "unet",
        converters.unet,
        UNET_MARKS,
        {
            "vae": VAE,
            "text_encoder": {
                "cond_stage_model.transformer.": converters.clip,
                SD2: converters.open_clip(SD2),
                "conditioner.embedders.0.model.": converters.open_clip(SD2),
            },
        },
    ),
    Layout(
        "Stable Diffusion XL",
        ("StableDiffusionXLPipeline", "StableDiffusionXLInpaintPipeline"),
        "unet",
        converters.unet,
        UNET_MARKS,
        {
            "vae": VAE,
            "text_encoder": {"conditioner.embedders.0.transformer.": converters.clip},
            "text_encoder_2": {XL2: converters.open_clip(XL2)},
        },
    ),
    Layout(
        "Stable Diffusion 3",
        ("StableDiffusion3Pipeline",),
        "transformer",
        converters.sd3,
        ("joint_blocks.0.context_block.adaLN_modulation.1.weight", "pos_embed.pos_embed"),
        {
            "vae": VAE,
            "text_encoder": {CLIP_L: converters.projected_clip},
            "text_encoder_2": {CLIP_G: converters.clip},
            "text_encoder_3": T5,
        },
    ),
    Layout(
        "FLUX.1",
        ("FluxPipeline",),
        "transformer",
        converters.flux,
        ("double_blocks.0.img_mod.lin.weight", "single_transformer_blocks.0.proj_mlp.weight"),
        {"vae": VAE, "text_encoder": {CLIP_L: converters.clip}, "text_encoder_2": T5},
    ),
    Layout(
        "FLUX.2",
        ("Flux2Pipeline", "Flux2KleinPipeline"),
        "transformer",
        converters.flux2,
        (
            "double_stream_modulation_img.lin.weight",
            "double_stream_modulation_img.linear.weight",
        ),
        {},
    ),
    Layout(
        "Sana",
        ("SanaPipeline",),
        "transformer",
        converters.sana,
        (
            "blocks.0.mlp.inverted_conv.conv.weight",
            "transformer_blocks.0.ff.conv_inverted.weight",
        ),
        {},
    ),
    Layout(
        "Lumina-Image 2.0",
        ("Lumina2Pipeline",),
        "transformer",
        converters.lumina2,
        ("layers.0.adaLN_modulation.1.weight", "time_caption_embed.caption_embedder.0.weight"),
        {"vae": VAE},
    ),
    Layout(
        "Qwen-Image",
        ("QwenImagePipeline",),
        "transformer",
        converters.same,
        ("transformer_blocks.0.txt_mod.1.weight",),
        {},
    ),
    Layout(
        "Z-Image",
        ("ZImagePipeline",),
        "transformer",
        converters.z_image,
        ("layers.0.adaLN_modulation.0.weight",),
        {"vae": VAE},
    ),
)


@dataclass(frozen=True)
class Held:
    """A part that a file holds: the names of the network's tensors, and those in the file."""

    part: str
    names: Mapping[str, str]
    convert: Convert


def layouts_of(names: Iterable[str]) -> tuple[Layout, ...]:
    """The architectures that a file may be of, by its names; Stable Diffusion's look alike."""
    there = set(names)
    return tuple(each for each in LAYOUTS if prefix_of(each, there) is not None)


def prefix_of(layout: Layout, names: set[str]) -> str | None:
    """What stands before the names of the network, if that is there."""
    for mark in layout.marks:
        pattern = re.compile(r"(.*\.)?" + re.escape(mark).replace(r"\*", r"\d+"))
        match = next(filter(None, map(pattern.fullmatch, sorted(names))), None)
        if match is not None:
            return match[1] or ""
    return None


def held(layout: Layout, names: Iterable[str]) -> dict[str, Held]:
    """The parts of an architecture that a file holds."""
    there = list(names)
    made: dict[str, Held] = {}
    taken: set[str] = set()
    for part, places in layout.beside.items():
        for prefix, convert in places.items():
            inside = _inside(prefix, there)
            if inside and part not in made:
                made[part] = Held(part, inside, convert)
                taken.update(inside.values())
    prefix = prefix_of(layout, set(there)) or ""
    inside = _inside(prefix, [name for name in there if name not in taken])
    return {layout.network: Held(layout.network, inside, layout.convert), **made}


def _inside(prefix: str, names: Iterable[str]) -> dict[str, str]:
    return {name.removeprefix(prefix): name for name in names if name.startswith(prefix)}
