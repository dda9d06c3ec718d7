"""Every layer of models in their real sizes is found under the names of kohya, without weights."""

import re
from typing import Any

import pytest
import torch
from diffusers import (
    FluxPipeline,
    FluxTransformer2DModel,
    StableDiffusionXLPipeline,
    UNet2DConditionModel,
)
from torch import nn

from memaudit.models.lora.adapter import Adapter
from memaudit.models.lora.fitted import fit
from memaudit.models.lora.places import Places

OF_XL = {
    "sample_size": 128,
    "addition_embed_type": "text_time",
    "addition_time_embed_dim": 256,
    "attention_head_dim": [5, 10, 20],
    "block_out_channels": [320, 640, 1280],
    "cross_attention_dim": 2048,
    "down_block_types": ["DownBlock2D", "CrossAttnDownBlock2D", "CrossAttnDownBlock2D"],
    "up_block_types": ["CrossAttnUpBlock2D", "CrossAttnUpBlock2D", "UpBlock2D"],
    "projection_class_embeddings_input_dim": 2816,
    "transformer_layers_per_block": [1, 2, 10],
    "use_linear_projection": True,
}
AROUND = {
    "conv_in": "input_blocks.0.0",
    "conv_out": "out.2",
    "time_embedding.linear_1": "time_embed.0",
    "time_embedding.linear_2": "time_embed.2",
    "add_embedding.linear_1": "label_emb.0.0",
    "add_embedding.linear_2": "label_emb.0.2",
}
OF_RESNET = {
    "conv1": "in_layers.2",
    "conv2": "out_layers.3",
    "time_emb_proj": "emb_layers.1",
    "conv_shortcut": "skip_connection",
}


def pipeline_of(kind: type, **network: nn.Module) -> Any:
    """What `Places` asks of a pipeline, of a class whose adapters diffusers converts."""
    members = {**network, "components": network, "__init__": lambda _: None}
    return type(kind.__name__, (kind,), members)()


def original(layer: str) -> str:
    """What Stability AI calls a layer of its UNet: three blocks, with two layers down, three up."""
    if layer in AROUND:
        return AROUND[layer]
    side, inner = re.match(r"(down_blocks\.\d|up_blocks\.\d|mid_block)\.(.*)", layer).groups()
    kind, number, rest = inner.split(".", 2)
    block, number = int(side[-1]) if side[-1].isdigit() else 0, int(number)
    last = OF_RESNET[rest] if kind == "resnets" else rest
    place = 0 if kind == "resnets" else 1
    if side == "mid_block":
        return f"middle_block.{2 * number if kind == 'resnets' else 1}.{last}"
    if kind == "downsamplers":
        return f"input_blocks.{3 * (block + 1)}.0.op"
    if kind == "upsamplers":
        return f"output_blocks.{3 * block + 2}.2.conv"
    if side.startswith("down"):
        return f"input_blocks.{3 * block + number + 1}.{place}.{last}"
    return f"output_blocks.{3 * block + number}.{place}.{last}"


def adapter(name: str, out: int, *columns: int) -> Adapter:
    return Adapter(name, {"down": torch.empty(1, *columns), "up": torch.empty(out, 1)})


@pytest.fixture(scope="module")
def flux() -> Places:
    with torch.device("meta"):
        network = FluxTransformer2DModel(guidance_embeds=True)
    return Places(pipeline_of(FluxPipeline, transformer=network), network)


def test_every_layer_of_stable_diffusion_xl_is_found():
    with torch.device("meta"):
        unet = UNet2DConditionModel(**OF_XL)
    places = Places(pipeline_of(StableDiffusionXLPipeline, unet=unet), unet)
    layers = {
        name: one for name, one in unet.named_modules() if isinstance(one, nn.Linear | nn.Conv2d)
    }
    assert len(layers) == 794
    for name, layer in layers.items():
        key = f"lora_unet_{original(name).replace('.', '_')}"
        [found] = fit([adapter(key, *layer.weight.shape)], places, "the adapters")
        assert found.layer == name


@pytest.mark.parametrize("block", [0, 18])
def test_every_layer_of_a_double_block_of_flux_is_found(flux, block):
    for stream in ("img", "txt"):
        for name, (out, into) in {
            "attn_qkv": (9216, 3072),
            "attn_proj": (3072, 3072),
            "mlp_0": (12288, 3072),
            "mlp_2": (3072, 12288),
            "mod_lin": (18432, 3072),
        }.items():
            key = f"lora_unet_double_blocks_{block}_{stream}_{name}"
            found = fit([adapter(key, out, into)], flux, "the adapters")
            assert {one.layer.startswith(f"transformer_blocks.{block}.") for one in found} == {True}
            assert len(found) == (3 if "qkv" in name else 1)


@pytest.mark.parametrize("rank", [2, 4])  # a rank of 4 may be four blocks, one for each layer
def test_the_first_layer_of_a_single_block_of_flux_is_four_layers(flux, rank):
    up, down = torch.randn(21504, rank), torch.randn(rank, 3072)
    whole = Adapter("lora_unet_single_blocks_37_linear1", {"down": down, "up": up})
    fitted = fit([whole], flux, "the adapters")
    block = "single_transformer_blocks.37."
    layers = ("attn.to_q", "attn.to_k", "attn.to_v", "proj_mlp")
    assert [one.layer for one in fitted] == [block + layer for layer in layers]
    assert torch.equal(torch.cat([one.tensors["up"] for one in fitted]), up)
    assert all(torch.equal(one.tensors["down"], down) for one in fitted)
