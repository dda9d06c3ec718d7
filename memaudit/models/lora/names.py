"""What the name of a tensor says in a file of adapters: its layer, its role and whose layout."""

from __future__ import annotations

import re
from dataclasses import dataclass

HALVES = ("down", "up")
ROLES = (  # what follows the name of the layer, by role
    (
        "down",
        re.compile(r"(\.lora_A(\.[^.]+)?|\.lora_down|[._]lora(_linear_layer)?\.down)\.weight$"),
    ),
    ("up", re.compile(r"(\.lora_B(\.[^.]+)?|\.lora_up|[._]lora(_linear_layer)?\.up)\.weight$")),
    ("mid", re.compile(r"\.lora_mid\.weight$")),
    ("bias", re.compile(r"(\.lora_B(\.[^.]+)?|\.lora_up)\.bias$")),
    ("dora_scale", re.compile(r"\.dora_scale$")),
    ("magnitude", re.compile(r"\.lora_magnitude_vector(\.(?!weight)[^.]+)?(\.weight)?$")),
    *(
        (f"lokr_{factor}", re.compile(rf"\.lokr_{factor}(\.[^.]+)?$"))
        for factor in ("w1", "w1_a", "w1_b", "w2", "w2_a", "w2_b", "t2")
    ),
    ("alpha", re.compile(r"([._]lora)?\.alpha$")),
)
# XLabs has two streams in one processor, so that the layer has a number behind its `lora`.
OF_XLABS = re.compile(r"^(.*\.processor\.(?:qkv|proj)_lora[12]?)\.(down|up)\.weight$")
MERGE = (
    "Merge it into its model with the tool that trained it, and give the folder of the merged model"
)
WORDS = (
    "embeddings of words (textual inversion)",
    "Save the adapters without them: what they teach the network is audited by itself",
)
CONTROL = (
    "a part of a control LoRA (Depth, Canny, ...)",
    "Their models are told a further image, and are not audited",
)
OTHERS = (  # what is known of tensors that are read as no adapter, and what to do
    *(
        (re.compile(ending), (f"an adapter of another kind ({kind})", MERGE))
        for ending, kind in (
            (r"\.hada_(w[12]|t[12])", "LoHa"),
            (r"\.(oft_|boft_)", "OFT"),
            (r"\.[ab][12]\.weight$", "GLoRA"),
            (r"\.(on_input|ia3_l)\b", "(IA)^3"),
            (r"\.(vera_|randlora_|hra_u|c3a_|bone_)", "another of peft"),
            (r"\.lora_embedding_[AB]", "of a table of words"),
        )
    ),
    (re.compile(r"\.lokr_"), ("a factor of LoKr that has no place in it", MERGE)),
    (
        re.compile(r"\.(diff(_b)?|w_norm|b_norm|set_weight|reshape_weight)$"),
        ("a whole change of weights", MERGE),
    ),
    (re.compile(r"(query|key)_norm\.scale$|^lora_controlnet"), CONTROL),
    (re.compile(r"^(bundle_emb|emb_params|clip_[lg]$|string_to_|<)|learned_embeds|\.emb_"), WORDS),
)
UNKNOWN = ("no part of an adapter that is read", MERGE)
LONG = 500  # characters of a name, which no trainer needs
LAYOUTS = (  # whose names these are; the first that fits
    (re.compile(r"processor\.(qkv|proj)_lora[12]?\."), "XLabs"),
    (re.compile(r"^lora_(unet|te\d?)_"), "kohya"),
    (re.compile(r"^lora_transformer_"), "OneTrainer"),
    (re.compile(r"^lycoris_"), "LyCORIS"),
    (re.compile(r"^((model\.)?diffusion_model|text_encoders)\."), "ComfyUI"),
    (re.compile(r"^base_model\.model\."), "peft"),
    (re.compile(r"^(unet|transformer|text_encoder(_[23])?)\."), "diffusers"),
    (re.compile(r"(^|\.)(double|single)_blocks\."), "Black Forest Labs"),
)
BARE = "names of layers alone"


@dataclass(frozen=True)
class Named:
    """The layer and the role that the name of a tensor gives."""

    layer: str
    role: str


def named(tensor: str) -> Named | None:
    """What the name of a tensor says, if it is one of an adapter."""
    of_xlabs = OF_XLABS.match(tensor[:LONG])
    if of_xlabs is not None:
        return Named(of_xlabs[1], of_xlabs[2])
    for role, ending in ROLES if len(tensor) <= LONG else ():
        found = ending.search(tensor)
        if found is not None and found.start():
            return Named(tensor[: found.start()], role)
    return None


def is_of_adapter(tensor: str) -> bool:
    """Whether a tensor shows that its file is one of adapters, of a kind that is read or not."""
    said = named(tensor)
    if said is not None:
        return said.role != "alpha"
    telling = (ending for ending, other in OTHERS if other not in (WORDS, CONTROL))
    return any(ending.search(tensor) for ending in telling)  # whole models hold those of CONTROL


def other(tensor: str) -> tuple[str, str]:
    """What is known of a tensor that is read as no adapter, and what to do about it."""
    return next((known for ending, known in OTHERS if ending.search(tensor)), UNKNOWN)


def layout_of(tensor: str) -> str:
    """Whose way of naming layers this is."""
    return next((name for begin, name in LAYOUTS if begin.search(tensor)), BARE)
