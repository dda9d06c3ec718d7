"""Names that trainers give layers as a model's authors do, where diffusers reads no adapters by it.

Stable Diffusion 3 (sd-scripts), Lumina 2 (of which diffusers reads whole sets of layers only), and
some layers of FLUX.2.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence

QKV = ("attn.to_q", "attn.to_k", "attn.to_v")
OF_SD3 = {  # within a block, with _ for . as kohya has it; what is fused lists its parts in order
    "x_block_attn_qkv": QKV,
    "x_block_attn_proj": ("attn.to_out.0",),
    "x_block_attn2_qkv": ("attn2.to_q", "attn2.to_k", "attn2.to_v"),
    "x_block_attn2_proj": ("attn2.to_out.0",),
    "x_block_mlp_fc1": ("ff.net.0.proj",),
    "x_block_mlp_fc2": ("ff.net.2",),
    "x_block_adaLN_modulation_1": ("norm1.linear",),
    "context_block_attn_qkv": ("attn.add_q_proj", "attn.add_k_proj", "attn.add_v_proj"),
    "context_block_attn_proj": ("attn.to_add_out",),
    "context_block_mlp_fc1": ("ff_context.net.0.proj",),
    "context_block_mlp_fc2": ("ff_context.net.2",),
    "context_block_adaLN_modulation_1": ("norm1_context.linear",),
}
AROUND_SD3 = {
    "x_embedder_proj": ("pos_embed.proj",),
    "t_embedder_mlp_0": ("time_text_embed.timestep_embedder.linear_1",),
    "t_embedder_mlp_2": ("time_text_embed.timestep_embedder.linear_2",),
    "y_embedder_mlp_0": ("time_text_embed.text_embedder.linear_1",),
    "y_embedder_mlp_2": ("time_text_embed.text_embedder.linear_2",),
    "final_layer_linear": ("proj_out",),
    "final_layer_adaLN_modulation_1": ("norm_out.linear",),
}
OF_LUMINA2 = {
    "attention_qkv": QKV,
    "attention_out": ("attn.to_out.0",),
    "feed_forward_w1": ("feed_forward.linear_1",),
    "feed_forward_w2": ("feed_forward.linear_2",),
    "feed_forward_w3": ("feed_forward.linear_3",),
    "adaLN_modulation_1": ("norm1.linear",),
}
AROUND_LUMINA2 = {
    "cap_embedder_1": ("time_caption_embed.caption_embedder.1",),
    "t_embedder_mlp_0": ("time_caption_embed.timestep_embedder.linear_1",),
    "t_embedder_mlp_2": ("time_caption_embed.timestep_embedder.linear_2",),
    "final_layer_adaLN_modulation_1": ("norm_out.linear_1",),
    "final_layer_linear": ("norm_out.linear_2",),
}
AROUND_FLUX2 = {
    "guidance_in_in_layer": ("time_guidance_embed.guidance_embedder.linear_1",),
    "guidance_in_out_layer": ("time_guidance_embed.guidance_embedder.linear_2",),
    "single_stream_modulation_lin": ("single_stream_modulation.linear",),
    "double_stream_modulation_img_lin": ("double_stream_modulation_img.linear",),
    "double_stream_modulation_txt_lin": ("double_stream_modulation_txt.linear",),
    "final_layer_adaLN_modulation_1": ("norm_out.linear",),
}
NONE = r"(?!)"  # begins no name
BLOCKS = {  # of the network's class: what begins a block's name, what it becomes, the two tables
    "Flux2Transformer2DModel": (NONE, "", {}, AROUND_FLUX2),
    "SD3Transformer2DModel": (
        r"joint_blocks_(\d+)_",
        r"transformer_blocks.\1.",
        OF_SD3,
        AROUND_SD3,
    ),
    "Lumina2Transformer2DModel": (
        r"(layers|noise_refiner|context_refiner)_(\d+)_",
        r"\1.\2.",
        OF_LUMINA2,
        AROUND_LUMINA2,
    ),
}


def layers_of(network: str, name: str) -> Sequence[str]:
    """The layers of diffusers' class `network` that a layer of this name is, its rows in order."""
    if network not in BLOCKS:
        return ()
    begin, block, inside, around = BLOCKS[network]
    return around.get(name) or tuple(_in_block(name, begin, block, inside))


def _in_block(
    name: str, begin: str, block: str, inside: Mapping[str, Sequence[str]]
) -> Iterator[str]:
    found = re.match(begin, name)
    if found is not None:
        for layer in inside.get(name[found.end() :], ()):
            yield found.expand(block) + layer
