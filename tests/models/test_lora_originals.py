"""Adapters under the names that a model's authors give its layers go where these layers are."""

from dataclasses import replace

import pytest
import torch
from diffusers import SD3Transformer2DModel
from diffusers.loaders.single_file_utils import convert_sd3_transformer_checkpoint_to_diffusers
from lora_files import (
    Change,
    Changes,
    ask,
    copied,
    dotted,
    expect_same,
    flat,
    merge,
    with_file,
    write,
)
from torch import nn

from memaudit.models.lora.originals import AROUND_SD3, OF_SD3

ATTENTION = ("attn.to_q", "attn.to_k", "attn.to_v")
ADDED = ("attn.add_q_proj", "attn.add_k_proj", "attn.add_v_proj")


def _of_block(original: str, layer: str, **names: str | tuple[str, ...]) -> dict[str, list[str]]:
    """Names within a block: __ stands for a dot, since keywords have none."""
    return {
        f"{original}.{name.replace('__', '.')}": [
            f"{layer}.{one}" for one in ((layers,) if isinstance(layers, str) else layers)
        ]
        for name, layers in names.items()
    }


# The authors' names, and what these are in diffusers, in the order of the rows; ~ marks halves
# that diffusers has the other way round.
LAYERS = {
    "FluxPipeline": {
        **_of_block(
            "double_blocks.0",
            "transformer_blocks.0",
            img_attn__qkv=ATTENTION,
            txt_attn__qkv=ADDED,
            img_attn__proj="attn.to_out.0",
            txt_attn__proj="attn.to_add_out",
            img_mlp__0="ff.net.0.proj",
            img_mlp__2="ff.net.2",
            txt_mlp__0="ff_context.net.0.proj",
            txt_mlp__2="ff_context.net.2",
            img_mod__lin="norm1.linear",
            txt_mod__lin="norm1_context.linear",
        ),
        "single_blocks.0.linear2": ["single_transformer_blocks.0.proj_out"],
        "single_blocks.0.modulation.lin": ["single_transformer_blocks.0.norm.linear"],
        "img_in": ["x_embedder"],
        "txt_in": ["context_embedder"],
        "time_in.in_layer": ["time_text_embed.timestep_embedder.linear_1"],
        "guidance_in.out_layer": ["time_text_embed.guidance_embedder.linear_2"],
        "vector_in.in_layer": ["time_text_embed.text_embedder.linear_1"],
        "final_layer.linear": ["proj_out"],
        "final_layer.adaLN_modulation.1": ["~norm_out.linear"],
    },
    "Flux2Pipeline": {
        **_of_block(
            "double_blocks.0",
            "transformer_blocks.0",
            img_attn__qkv=ATTENTION,
            txt_attn__qkv=ADDED,
            img_attn__proj="attn.to_out.0",
            txt_attn__proj="attn.to_add_out",
            img_mlp__0="ff.linear_in",
            txt_mlp__2="ff_context.linear_out",
        ),
        "single_blocks.0.linear1": ["single_transformer_blocks.0.attn.to_qkv_mlp_proj"],
        "single_blocks.0.linear2": ["single_transformer_blocks.0.attn.to_out"],
        "img_in": ["x_embedder"],
        "guidance_in.in_layer": ["time_guidance_embed.guidance_embedder.linear_1"],
        "single_stream_modulation.lin": ["single_stream_modulation.linear"],
        "double_stream_modulation_txt.lin": ["double_stream_modulation_txt.linear"],
        "final_layer.linear": ["proj_out"],
        "final_layer.adaLN_modulation.1": ["~norm_out.linear"],
    },
    "StableDiffusion3Pipeline": {
        **_of_block(
            "joint_blocks.0",
            "transformer_blocks.0",
            x_block__attn__qkv=ATTENTION,
            context_block__attn__qkv=ADDED,
            x_block__attn__proj="attn.to_out.0",
            x_block__mlp__fc1="ff.net.0.proj",
            x_block__mlp__fc2="ff.net.2",
            x_block__adaLN_modulation__1="norm1.linear",
        ),
        "joint_blocks.0.context_block.adaLN_modulation.1": [
            "~transformer_blocks.0.norm1_context.linear"
        ],
        "x_embedder.proj": ["pos_embed.proj"],
        "context_embedder": ["context_embedder"],
        "t_embedder.mlp.0": ["time_text_embed.timestep_embedder.linear_1"],
        "y_embedder.mlp.2": ["time_text_embed.text_embedder.linear_2"],
        "final_layer.linear": ["proj_out"],
        "final_layer.adaLN_modulation.1": ["~norm_out.linear"],
    },
    "Lumina2Pipeline": {
        **_of_block(
            "layers.0",
            "layers.0",
            attention__qkv=ATTENTION,
            attention__out="attn.to_out.0",
            feed_forward__w1="feed_forward.linear_1",
            feed_forward__w2="feed_forward.linear_2",
            feed_forward__w3="feed_forward.linear_3",
            adaLN_modulation__1="norm1.linear",
        ),
        **_of_block("context_refiner.0", "context_refiner.0", attention__qkv=ATTENTION),
        "cap_embedder.1": ["time_caption_embed.caption_embedder.1"],
        "final_layer.linear": ["norm_out.linear_2"],
    },
    "ZImagePipeline": {
        **_of_block(
            "layers.0.attention",
            "layers.0.attention",
            qkv=("to_q", "to_k", "to_v"),
            out="to_out.0",
        ),
        **_of_block(
            "context_refiner.0.attention",
            "context_refiner.0.attention",
            qkv=("to_q", "to_k", "to_v"),
        ),
        "layers.0.feed_forward.w1": ["layers.0.feed_forward.w1"],
    },
    "StableDiffusionXLPipeline": {
        "input_blocks.0.0": ["conv_in"],
        "out.2": ["conv_out"],
        "time_embed.2": ["time_embedding.linear_2"],
        "label_emb.0.0": ["add_embedding.linear_1"],
        "input_blocks.1.0.in_layers.2": ["down_blocks.0.resnets.0.conv1"],
        "input_blocks.1.0.emb_layers.1": ["down_blocks.0.resnets.0.time_emb_proj"],
        "input_blocks.2.0.op": ["down_blocks.0.downsamplers.0.conv"],
        "input_blocks.3.0.skip_connection": ["down_blocks.1.resnets.0.conv_shortcut"],
        **_of_block(
            "input_blocks.3.1.transformer_blocks.0",
            "down_blocks.1.attentions.0.transformer_blocks.0",
            attn1__to_q="attn1.to_q",
            attn2__to_out__0="attn2.to_out.0",
            ff__net__0__proj="ff.net.0.proj",
        ),
        "middle_block.0.in_layers.2": ["mid_block.resnets.0.conv1"],
        "output_blocks.1.1.proj_in": ["up_blocks.0.attentions.1.proj_in"],
        "output_blocks.1.2.conv": ["up_blocks.0.upsamplers.0.conv"],
        "output_blocks.2.0.out_layers.3": ["up_blocks.1.resnets.0.conv2"],
    },
}


def adapters(network: nn.Module, table: dict[str, list[str]]) -> tuple[Changes, Changes]:
    """Adapters by the authors' names, and the same by diffusers'."""
    original, own = {}, {}
    random = torch.Generator().manual_seed(0)
    for number, (name, layers) in enumerate(table.items()):
        modules = [network.get_submodule(layer.removeprefix("~")) for layer in layers]
        rows, columns = [len(one.weight) for one in modules], modules[0].weight.shape[1:]
        rank = 2 + number % 3
        down = torch.randn(rank, *columns, generator=random) / columns.numel() ** 0.5
        up = torch.randn(sum(rows), rank, *[1] * (len(columns) - 1), generator=random) / 5
        whole = original[name] = Change(down, up, alpha=[1.0, 2.0, 4.0][number % 3])
        for layer, part in zip(layers, up.split(rows), strict=True):
            turned = torch.cat(part.chunk(2)[::-1]) if layer.startswith("~") else part
            own[layer.removeprefix("~")] = replace(whole, up=turned)
    return original, own


@pytest.mark.parametrize("name", LAYERS)
@pytest.mark.parametrize(
    "layout",
    [
        flat("lora_unet_"),
        dotted("diffusion_model."),
        dotted("base_model.model."),
        dotted("", "lora_down", "lora_up", alphas=True),
    ],
    ids=["kohya", "ComfyUI", "fal", "bare"],
)
def test_the_names_of_a_models_authors_are_read(tiny_pipeline, tmp_path, name, layout):
    denoiser = copied(tiny_pipeline(name))
    original, own = adapters(denoiser.backbone.network, LAYERS[name])
    merge(denoiser.backbone.network, own)
    file = write(tmp_path / "style.safetensors", layout(original))
    expect_same(ask(with_file(tiny_pipeline(name), file)), ask(denoiser), ask(tiny_pipeline(name)))


def test_the_names_of_xlabs_are_read(tiny_pipeline, tmp_path):
    denoiser = copied(tiny_pipeline("FluxPipeline"))
    double, single = "transformer_blocks.0.", "single_transformer_blocks.0."
    table = {
        "double_blocks.0.processor.qkv_lora1": [double + one for one in ATTENTION],
        "double_blocks.0.processor.qkv_lora2": [double + one for one in ADDED],
        "double_blocks.0.processor.proj_lora1": [double + "attn.to_out.0"],
        "double_blocks.0.processor.proj_lora2": [double + "attn.to_add_out"],
        "single_blocks.0.processor.qkv_lora": [single + one for one in ATTENTION],
        "single_blocks.0.processor.proj_lora": [single + "proj_out"],
    }
    original, own = adapters(denoiser.backbone.network, table)
    merge(denoiser.backbone.network, own)
    tensors = {}
    for name, change in original.items():
        tensors[f"{name}.down.weight"] = change.down
        tensors[f"{name}.up.weight"] = change.up * change.scale
    file = write(tmp_path / "lora.safetensors", tensors)
    expect_same(
        ask(with_file(tiny_pipeline("FluxPipeline"), file)),
        ask(denoiser),
        ask(tiny_pipeline("FluxPipeline")),
    )


def test_the_table_of_stable_diffusion_3_is_that_of_diffusers_for_whole_models():
    """Two blocks, of which the last is told less and has its halves turned."""
    config = {
        "num_layers": 2,
        "attention_head_dim": 4,
        "num_attention_heads": 2,
        "joint_attention_dim": 8,
        "caption_projection_dim": 8,
        "pooled_projection_dim": 8,
        "sample_size": 8,
        "dual_attention_layers": (0,),
    }
    network = SD3Transformer2DModel(**config)
    shapes = {f"{name}.weight": one.weight.shape for name, one in _layers(network).items()}
    originals, rows = {}, {}
    for block in (0, 1):
        for name, layers in OF_SD3.items():
            whole = [f"transformer_blocks.{block}.{layer}.weight" for layer in layers]
            if all(one in shapes for one in whole):
                originals[f"joint_blocks.{block}.{_dotted(name)}"] = whole
    originals |= {_dotted(name): [f"{layers[0]}.weight"] for name, layers in AROUND_SD3.items()}
    originals["context_embedder"] = ["context_embedder.weight"]
    checkpoint = {"pos_embed": torch.zeros(1)}
    for number, (name, layers) in enumerate(originals.items()):
        count = sum(shapes[layer][0] for layer in layers)
        rows[name] = torch.arange(count)[:, None] + 1000 * number
        checkpoint |= {f"{name}.weight": rows[name], f"{name}.bias": torch.zeros(count)}
    converted = convert_sd3_transformer_checkpoint_to_diffusers(dict(checkpoint))
    for name, layers in originals.items():
        parts = rows[name].split([shapes[layer][0] for layer in layers])
        for layer, part in zip(layers, parts, strict=True):
            turned = "norm_out" in layer or "1.norm1_context" in layer
            expected = torch.cat(part.chunk(2)[::-1]) if turned else part
            assert torch.equal(converted[layer], expected), (name, layer)


def _layers(network: nn.Module) -> dict[str, nn.Module]:
    kinds = (nn.Linear, nn.Conv2d)
    return {name: one for name, one in network.named_modules() if isinstance(one, kinds)}


def _dotted(name: str) -> str:
    """The authors' names as they are in a checkpoint."""
    for flat_name, own in (
        ("context_block_", "context_block."),
        ("x_block_", "x_block."),
        ("attn_", "attn."),
        ("attn2_", "attn2."),
        ("mlp_", "mlp."),
        ("adaLN_modulation_", "adaLN_modulation."),
        ("final_layer_", "final_layer."),
        ("embedder_", "embedder."),
    ):
        name = name.replace(flat_name, own)
    return name
