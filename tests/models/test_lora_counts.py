"""Adapters that have no place in their pipeline, or no effect on it, are refused."""

import pytest
import torch
from lora_files import (
    Changes,
    changes_of,
    copied,
    dotted,
    flat,
    halves,
    layers_of,
    opened,
    write,
)
from peft.tuners.tuners_utils import BaseTunerLayer
from torch import Tensor

from memaudit.errors import ModelError
from memaudit.models.families.adapters import read_adapters
from memaudit.models.lora.fitted import fit
from memaudit.models.lora.places import Places
from memaudit.models.lora.proof import expect_as_written
from memaudit.models.lora.put import put

SD, XL, FLUX, SANA = (
    f"{name}Pipeline" for name in ("StableDiffusion", "StableDiffusionXL", "Flux", "Sana")
)
LAYER = "lora_unet_mid_block_attentions_0_proj_in"


def test_adapters_of_another_model_say_how_many_fit(refused, of_attention, tiny_pipeline):
    tensors = flat("lora_unet_")(of_attention) | halves("lora_unet_double_blocks_0_img_attn_qkv")
    there = len(tensors)
    refused(tensors, f"{there - 2} of {there} tensors have a place .*img_attn_qkv has none; --base")
    flux = changes_of(layers_of(tiny_pipeline(FLUX).backbone.network))
    refused(dotted("transformer.")(flux), "0 of 60 tensors have a place there, and")


def test_a_file_of_another_model_is_not_looked_through_to_its_end(refused):
    tensors = {}
    for number in range(200):
        tensors |= halves(f"lora_unet_nowhere_{number}")
    refused(tensors, "0 of 400 tensors have a place there, as far as was looked, and")


def test_two_adapters_of_one_layer_that_differ_are_refused(refused, of_attention):
    other = {name: one.clone() + 1 for name, one in dotted("unet.")(of_attention).items()}
    refused(
        flat("lora_unet_")(of_attention) | other,
        r"hold two adapters of .*: .* and .*, which differ; .* mixes the layouts",
    )


def test_adapters_of_a_part_that_is_not_there_are_refused(refused, of_attention):
    more = halves("lora_te2_text_model_encoder_layers_0_self_attn_q_proj")
    refused(flat("lora_unet_")(of_attention) | more, "lora_te2_text_model.* has none")


def test_adapters_of_one_of_two_encoders_that_are_alike_must_say_of_which(refused, tiny_pipeline):
    clip = tiny_pipeline(XL).pipeline.text_encoder_2
    layers = {k: one for k, one in layers_of(clip).items() if "q_proj" in k}
    refused(
        dotted("")(changes_of(layers)), "text_encoder and text_encoder_2 have alike; .*begin", XL
    )


def test_a_wider_input_is_that_of_a_model_which_is_told_more(refused):
    wide = {"x_embedder": torch.nn.Linear(32, 32)}
    refused(dotted("transformer.")(changes_of(wide)), "wider input .*not audited", FLUX)


def test_a_grouped_convolution_takes_no_adapter(refused):
    layer = "transformer.transformer_blocks.0.ff.conv_depth"
    tensors = {
        f"{layer}.lora_A.weight": torch.ones(2, 1, 3, 3),
        f"{layer}.lora_B.weight": torch.ones(80, 2, 1, 1),
    }
    refused(tensors, "conv_depth has none", SANA)


def test_adapters_that_are_zero_are_refused(refused, of_attention):
    tensors = flat("lora_unet_")(of_attention)
    zero = {k: torch.zeros_like(one) if "lora_up" in k else one for k, one in tensors.items()}
    refused(zero, r"each of the \d+ adapters .* is zero \(B = 0\), .*later step")
    layer = next(iter(of_attention))
    kron = {f"unet.{layer}.lokr_w1": torch.zeros(4, 4), f"unet.{layer}.lokr_w2": torch.ones(8, 8)}
    refused(kron, "each of the 1 adapters")


def stronger(changes: Changes, times: float) -> dict[str, Tensor]:
    tensors = flat("lora_unet_")(changes)
    return {name: one * times if "lora_up" in name else one for name, one in tensors.items()}


def test_an_effect_that_is_lost_in_rounding_is_refused(tiny_folder, of_attention, tmp_path):
    file = write(tmp_path / "style.safetensors", stronger(of_attention, 1e-3))
    opened(file, tiny_folder(SD))
    words = r"change what its unet answers by .* of its length, .* rounding does: .*float32"
    with pytest.raises(ModelError, match=words):
        opened(file, tiny_folder(SD), dtype="bfloat16")


def test_an_encoder_that_says_the_same_with_adapters_is_refused(
    refused, of_attention, tiny_pipeline
):
    clip = tiny_pipeline(SD).pipeline.text_encoder
    weak = changes_of({k: one for k, one in layers_of(clip).items() if "q_proj" in k}, 1e-9)
    tensors = flat("lora_unet_")(of_attention) | flat("lora_te_")(weak)
    refused(tensors, "change what its text_encoder answers by")


def test_adapters_that_are_too_strong_are_refused(tiny_folder, of_attention, tmp_path):
    file = write(tmp_path / "style.safetensors", stronger(of_attention, 1e6))
    with pytest.raises(ModelError, match=r"too large for float16; take --dtype float32"):
        opened(file, tiny_folder(SD), dtype="float16")
    values = {name.replace("to_q", "to_v"): change for name, change in of_attention.items()}
    values = {name: one for name, one in values.items() if "attn1" in name}
    file = write(tmp_path / "style.safetensors", stronger(values, 1e38))
    with pytest.raises(ModelError, match="NaN or infinity: they are too strong"):
        opened(file, tiny_folder(SD))


def test_an_adapter_that_peft_computes_otherwise_is_refused(tiny_pipeline, of_attention, tmp_path):
    denoiser = copied(tiny_pipeline(SD))
    network = denoiser.backbone.network
    file = write(tmp_path / "style.safetensors", flat("lora_unet_")(of_attention))
    fitted = fit(read_adapters(file), Places(denoiser.pipeline, network), "they")
    put(fitted, network, "they")
    layer = network.get_submodule(fitted[0].layer)
    expect_as_written(layer, fitted[0], "they")
    assert isinstance(layer, BaseTunerLayer)
    layer.scale_layer(2.0)
    with pytest.raises(ModelError, match=r"by another amount, .* another version of peft"):
        expect_as_written(layer, fitted[0], "they")
    layer.enable_adapters(False)
    with pytest.raises(ModelError, match="not computed as they are written"):
        expect_as_written(layer, fitted[0], "they")
