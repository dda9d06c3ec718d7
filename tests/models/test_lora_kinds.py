"""LoCon, DoRA and LoKr change a model as their papers say, whatever the layout."""

from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from lora_files import ask, copied, expect_same, with_file, write
from peft import LoKrConfig, LoraConfig, get_peft_model
from torch import Tensor

from memaudit.models.families.adapters import read_adapters
from memaudit.models.latent import LatentDenoiser

SD, FLUX, FLUX2, Z = "StableDiffusionPipeline", "FluxPipeline", "Flux2Pipeline", "ZImagePipeline"
BLOCK = "down_blocks.1.attentions.0.transformer_blocks.0.attn1"
CONV = "down_blocks.0.resnets.0.conv1"


@pytest.fixture
def check(tiny_pipeline, tmp_path) -> Callable[[str, dict[str, Tensor], dict[str, Tensor]], Path]:
    """Expect of a file what a network does whose weights are these."""

    def expect(name: str, tensors: dict[str, Tensor], weights: dict[str, Tensor]) -> Path:
        denoiser = copied(tiny_pipeline(name))
        with torch.no_grad():
            for layer, weight in weights.items():
                module = denoiser.backbone.network.get_submodule(layer)
                module.weight.copy_(weight.reshape(module.weight.shape))
        file = write(tmp_path / "style.safetensors", tensors)
        expect_same(
            ask(with_file(tiny_pipeline(name), file)), ask(denoiser), ask(tiny_pipeline(name))
        )
        return file

    return expect


def weight_of(tiny_pipeline: Callable[[str], LatentDenoiser], name: str, layer: str) -> Tensor:
    module = tiny_pipeline(name).backbone.network.get_submodule(layer)
    return module.weight.detach().clone()


def random(*shape: int) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(len(shape)))


def kohya(layer: str) -> str:
    return f"lora_unet_{layer.replace('.', '_')}"


def test_a_tucker_core_stands_between_the_halves_of_a_convolution(tiny_pipeline, check):
    old, key = weight_of(tiny_pipeline, SD, CONV), kohya(CONV)
    up, mid, down = random(16, 3, 1, 1), random(3, 2, 3, 3), random(2, 16, 1, 1)
    tensors = {f"{key}.lora_up.weight": up, f"{key}.lora_mid.weight": mid}
    tensors |= {f"{key}.lora_down.weight": down, f"{key}.alpha": torch.tensor(6.0)}
    whole = torch.einsum("oa,abkl,bi->oikl", up[..., 0, 0], mid, down[..., 0, 0])
    check(SD, tensors, {CONV: old + 6 / 3 * whole})


def test_a_convolution_of_one_cell_may_be_written_as_a_matrix_and_the_other_way_round(
    tiny_pipeline, check
):
    conv, linear = "down_blocks.1.attentions.0.proj_in", f"{BLOCK}.to_q"
    tensors, weights = {}, {}
    for layer, more in ((conv, ()), (linear, (1, 1))):
        up, down = random(32, 2, *more), random(2, 32, *more)
        tensors |= {f"{kohya(layer)}.lora_up.weight": up, f"{kohya(layer)}.lora_down.weight": down}
        old = weight_of(tiny_pipeline, SD, layer)
        weights[layer] = old + (up.flatten(1) @ down.flatten(1)).view(old.shape)
    check(SD, tensors, weights)


def test_an_adapter_may_have_a_bias(tiny_pipeline, tmp_path):
    denoiser, layer = copied(tiny_pipeline(SD)), f"{BLOCK}.to_out.0"
    up, down, bias = random(32, 2), random(2, 32), random(32)
    module = denoiser.backbone.network.get_submodule(layer)
    with torch.no_grad():
        module.weight += up @ down
        module.bias += bias
    tensors = {f"{layer}.lora_A.weight": down, f"{layer}.lora_B.weight": up}
    file = write(tmp_path / "lora.safetensors", tensors | {f"{layer}.lora_B.bias": bias})
    expect_same(ask(with_file(tiny_pipeline(SD), file)), ask(denoiser), ask(tiny_pipeline(SD)))


def dora(old: Tensor, change: Tensor, magnitude: Tensor) -> Tensor:
    """Equation 5 of the paper, by rows: the direction of the sum, as long as it was learned."""
    whole = (old + change.view(old.shape)).flatten(1)
    return (magnitude.view(-1, 1) * whole / whole.norm(dim=1, keepdim=True)).view(old.shape)


@pytest.mark.parametrize("layer", [f"{BLOCK}.to_q", CONV])
def test_a_dora_of_lycoris_sets_the_length_of_each_row(tiny_pipeline, check, layer):
    old, key = weight_of(tiny_pipeline, SD, layer), kohya(layer)
    up, down = random(len(old), 2, *[1] * (old.dim() - 2)), random(2, *old.shape[1:])
    magnitude = old.flatten(1).norm(dim=1) * 1.5
    tensors = {f"{key}.lora_up.weight": up, f"{key}.lora_down.weight": down}
    tensors |= {f"{key}.alpha": torch.tensor(1.0)}
    tensors[f"{key}.dora_scale"] = magnitude.view(-1, *[1] * (old.dim() - 1))
    change = up.flatten(1) @ down.flatten(1) / 2
    file = check(SD, tensors, {layer: dora(old, change, magnitude)})
    assert {one.kind for one in read_adapters(file)} == {"DoRA"}


def test_a_dora_of_a_fused_layer_is_split_with_its_lengths(tiny_pipeline, check):
    layers = [f"transformer_blocks.0.attn.to_{one}" for one in "qkv"]
    old = torch.cat([weight_of(tiny_pipeline, FLUX, layer) for layer in layers])
    up, down, magnitude = random(96, 2), random(2, 32), old.norm(dim=1) * 2
    key = "lora_unet_double_blocks_0_img_attn_qkv"
    tensors = {f"{key}.lora_up.weight": up, f"{key}.lora_down.weight": down}
    tensors[f"{key}.dora_scale"] = magnitude[:, None]
    new = dora(old, up @ down, magnitude)
    check(FLUX, tensors, dict(zip(layers, new.split(32), strict=True)))


def test_dora_and_plain_adapters_share_a_file(tiny_pipeline, check):
    layers = [f"{BLOCK}.to_q", f"{BLOCK}.to_k"]
    old = [weight_of(tiny_pipeline, SD, layer) for layer in layers]
    up, down, magnitude = random(32, 2), random(2, 32), old[0].norm(dim=1) * 2
    tensors = {}
    for layer in layers:
        tensors |= {f"{layer}.lora_A.weight": down.clone(), f"{layer}.lora_B.weight": up.clone()}
    tensors[f"{layers[0]}.lora_magnitude_vector"] = magnitude
    new = [dora(old[0], up @ down, magnitude), old[1] + up @ down]
    check(SD, tensors, dict(zip(layers, new, strict=True)))


@pytest.mark.parametrize("kind", ["dora", "lokr"])
def test_what_peft_saves_of_other_kinds_is_read(tiny_pipeline, tmp_path, kind):
    denoiser = copied(tiny_pipeline(SD))
    targets = ["to_q", "to_v", "conv1"]
    config = (
        LoraConfig(
            r=4, lora_alpha=2, use_dora=True, init_lora_weights=False, target_modules=targets
        )
        if kind == "dora"
        else LoKrConfig(
            r=2, alpha=3, init_weights=False, decompose_both=True, target_modules=targets
        )
    )
    torch.manual_seed(0)
    wrapped = get_peft_model(denoiser.backbone.network, config)
    for name, weight in wrapped.named_parameters():
        if "magnitude" in name:
            weight.data *= 1.5
        elif "lokr" in name:
            weight.data /= 4
    expected = ask(denoiser)
    wrapped.save_pretrained(tmp_path / kind)
    file = tmp_path / kind / "adapter_model.safetensors"
    expect_same(ask(with_file(tiny_pipeline(SD), file)), expected, ask(tiny_pipeline(SD)))


def lokr(key: str, out: tuple[int, int], into: tuple[int, int]) -> tuple[dict[str, Tensor], Tensor]:
    """Both factors of a LoKr, the second of rank 2 and alpha 1, and their product."""
    w1, left, right = random(out[0], into[0]), random(out[1], 2), random(2, into[1])
    tensors = {f"{key}.lokr_w1": w1, f"{key}.lokr_w2_a": left, f"{key}.lokr_w2_b": right}
    return tensors | {f"{key}.alpha": torch.tensor(1.0)}, torch.kron(w1, left @ right) / 2


@pytest.mark.parametrize(
    ("name", "key", "layer"),
    [
        (SD, kohya(f"{BLOCK}.to_q"), f"{BLOCK}.to_q"),
        (Z, "diffusion_model.layers.0.attention.to_q", "layers.0.attention.to_q"),
        (
            FLUX2,
            "lycoris_transformer_blocks_0_attn_to_k",
            "transformer_blocks.0.attn.to_k",
        ),
        (
            FLUX2,
            "diffusion_model.double_blocks.0.img_attn.proj",
            "transformer_blocks.0.attn.to_out.0",
        ),
        ("StableDiffusionXLPipeline", "lora_unet_time_embed_2", "time_embedding.linear_2"),
    ],
)
def test_a_lokr_of_one_layer_is_a_kronecker_product(tiny_pipeline, check, name, key, layer):
    old = weight_of(tiny_pipeline, name, layer)
    tensors, change = lokr(key, (4, len(old) // 4), (8, old.shape[1] // 8))
    check(name, tensors, {layer: old + change})


@pytest.mark.parametrize("name", [FLUX, FLUX2])
@pytest.mark.parametrize("rows", [8, 6])  # 8 blocks of rows are no three layers
def test_a_lokr_of_a_fused_layer_is_put_into_a_fused_layer(tiny_pipeline, check, name, rows):
    tensors: dict[str, Tensor] = {}
    weights: dict[str, Tensor] = {}
    for stream, layers in (
        ("img", ("to_q", "to_k", "to_v")),
        ("txt", ("add_q_proj", "add_k_proj", "add_v_proj")),
    ):
        names = [f"transformer_blocks.0.attn.{layer}" for layer in layers]
        old = torch.cat([weight_of(tiny_pipeline, name, one) for one in names])
        key = f"diffusion_model.double_blocks.0.{stream}_attn.qkv"
        made, change = lokr(key, (rows, 96 // rows), (8, 4))
        tensors |= made
        weights |= dict(zip(names, (old + change).split(32), strict=True))
    check(name, tensors, weights)


def test_a_lokr_of_a_convolution_may_be_whole_folded_or_have_a_core(tiny_pipeline, check):
    old, key = weight_of(tiny_pipeline, SD, CONV), kohya(CONV)
    w1, core, left, right = random(4, 2), random(3, 3, 3, 3), random(3, 4), random(3, 8)
    w2 = torch.einsum("abkl,ao,bi->oikl", core, left, right)
    whole = torch.einsum("ab,cdkl->acbdkl", w1, w2).reshape(old.shape)
    factors = {"lokr_w1": w1, "lokr_t2": core, "lokr_w2_a": left, "lokr_w2_b": right}
    check(SD, {f"{key}.{name}": one for name, one in factors.items()}, {CONV: old + whole})
    factors = {"lokr_w1": w1, "lokr_w2": w2, "alpha": torch.tensor(7.0)}  # which is not heeded
    check(SD, {f"{key}.{name}": one for name, one in factors.items()}, {CONV: old + whole})
    left, right = random(4, 2), random(2, 72)
    factors = {"lokr_w1": w1, "lokr_w2_a": left, "lokr_w2_b": right}
    whole = torch.kron(w1, left @ right).reshape(old.shape)
    check(SD, {f"{key}.{name}": one for name, one in factors.items()}, {CONV: old + whole})


def test_a_lokr_that_would_have_to_be_split_is_refused(tiny_pipeline, tmp_path):
    made, _ = lokr("lora_unet_layers_0_attention_qkv", (8, 12), (8, 4))
    file = write(tmp_path / "lokr.safetensors", made)
    with pytest.raises(Exception, match=r"LoKr of .*qkv, which is 3 layers .*cannot be split"):
        with_file(tiny_pipeline(Z), file)
