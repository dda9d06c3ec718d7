"""Say of a file that is no text-to-image model what it is, and what to do instead."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import torch
from diffusers.loaders.single_file_utils import infer_diffusers_model_type

from memaudit.errors import ModelError
from memaudit.models.single.checkpoint import Checkpoint
from memaudit.models.single.layouts import LAYOUTS
from memaudit.models.single.shapes import FIRST, SIZES, context_of, shape_of
from memaudit.models.single.stored import Stored

UNKNOWN = "v1"  # what diffusers takes a file for that it does not know
EDITED = "audit the text-to-image model that it was made from"


@dataclass(frozen=True)
class Stranger:
    """A kind of file, told by a name that holds `pattern`; `all_` of them must, or one."""

    pattern: str
    what: str
    instead: str
    all_: bool = False

    def of(self, names: Mapping[str, Stored]) -> bool:
        """Whether a file is of this kind."""
        found = re.compile(self.pattern)
        fitting = [name for name in names if found.search(name)]
        return bool(fitting) and (not self.all_ or len(fitting) == len(names))


BASED = "it is a part of a model: give the file of its UNet or transformer as MODEL"
STRANGERS = (
    Stranger(
        r"^control_model\.|(^|\.)input_hint_block\.|(^|\.)controlnet_|(^|\.)zero_convs\.",
        "a ControlNet, which is told a further image",
        EDITED,
    ),
    Stranger(r"^(ip_adapter|image_proj)\.|\.ip_adapter\.", "an IP-Adapter", EDITED),
    Stranger(
        r"^(string_to_param|emb_params|clip_[lg]|t5xxl|<.*>)$",
        "a textual inversion, one word of a text encoder",
        "audit the model that it is for",
        all_=True,
    ),
    Stranger(
        r"\.time_stack\.|\.time_mixer|motion_modules\.|\.temporal_transformer\.",
        "a model of video, and memaudit audits models of single images",
        "if it also makes still images, audit the image model that it was made from",
    ),
    Stranger(r"^edm_(mean|std)$", "Playground 2.5, whose noise schedule is not read", EDITED),
    Stranger(r"^edm_vpred\.", "a CosXL, whose noise schedule is not read", EDITED),
    Stranger(
        r"^(first_stage_model\.|vae\.)?(encoder|decoder|quant_conv|post_quant_conv|bn|loss)\."
        r"(?!block\.\d+\.layer\.|layers\.\d+\.)",
        "a VAE alone",
        BASED + ", and a VAE of your own in the folder of --base-model",
        all_=True,
    ),
    Stranger(
        r"^(text_encoders|cond_stage_model|conditioner|text_model|text_projection|logit_scale|shared"
        r"|encoder\.block|encoder\.embed_tokens|encoder\.final_layer_norm|model\.layers|lm_head"
        r"|model\.embed_tokens|model\.norm|transformer\.resblocks|token_embedding|visual)\b",
        "a text encoder alone",
        BASED,
        all_=True,
    ),
    Stranger(
        r"(^|\.)csize_embedder\.|(^|\.)adaln_single\.",
        "a PixArt, whose single files are not read",
        "give the folder of the diffusers model",
    ),
)

CHANNELS = {  # of a UNet's input, beside which it is told a further image or a size
    5: Stranger("", "a UNet that is told a map of depth", EDITED),
    7: Stranger("", "an upscaler, which is told a smaller image", EDITED),
    8: Stranger("", "a UNet that is told an image to edit (InstructPix2Pix)", EDITED),
}
PACKED = {  # of FLUX.1
    128: Stranger("", "a FLUX.1 that is told a further image (Depth, Canny)", EDITED),
    384: Stranger("", "a FLUX.1 that is told an image and a mask (Fill)", EDITED),
}
REFINER = Stranger("", "the refiner of Stable Diffusion XL, which ends another's work", EDITED)
UNCLIP = Stranger("", "a UNet that is told an image as a vector (unCLIP)", EDITED)
HEARING = {1280: REFINER, 1024: UNCLIP}  # UNets that are told more than words, by their words


def refuse_strangers(checkpoint: Checkpoint) -> None:
    """Raise ModelError for files of other kinds than those that are read."""
    tensors = checkpoint.tensors
    found = next((each for each in STRANGERS if each.of(tensors)), None) or _by_shape(tensors)
    if found is not None:
        raise ModelError(f"{checkpoint.place} is {found.what}; {found.instead}")


def unknown(checkpoint: Checkpoint) -> ModelError:
    """What is said of a file of no known architecture: what diffusers takes it for."""
    taken = _taken_for(checkpoint.tensors)
    what = f"{taken}, by diffusers' reckoning" if taken else "of no architecture that is known here"
    known = ", ".join(each.name for each in LAYOUTS)
    first = ", ".join(sorted(checkpoint.tensors)[:3]) or "nothing"
    return ModelError(
        f"{checkpoint.place} is {what} (it holds {first}); single files are read of {known}. Give "
        "the folder of the diffusers model, if there is one"
    )


def _by_shape(tensors: Mapping[str, Stored]) -> Stranger | None:
    """The kind of a network by the sizes of what it is told."""
    told = shape_of(tensors, FIRST)
    if told is not None:
        more = HEARING.get(context_of(tensors) or 0) if shape_of(tensors, SIZES) else None
        return more or CHANNELS.get(told[1])
    packed = shape_of(tensors, "img_in.weight")
    flux = shape_of(tensors, "double_blocks.0.img_mod.lin.weight")
    return PACKED.get(packed[1]) if packed and flux else None


def _taken_for(tensors: Mapping[str, Stored]) -> str | None:
    shapes = {name: torch.empty(one.shape, device="meta") for name, one in tensors.items()}
    infer: Callable[..., str] = infer_diffusers_model_type
    try:
        found = infer(shapes)
    except Exception:  # of shapes that it does not expect
        return None
    return None if found == UNKNOWN else found
