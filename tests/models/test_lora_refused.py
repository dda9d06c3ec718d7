"""A file of adapters is read whole and has its effect, or is refused by name."""

import json
import struct
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from lora_files import (
    Changes,
    ask,
    changes_of,
    copied,
    dotted,
    flat,
    layers_of,
    opened,
    with_file,
    write,
)
from peft.tuners.tuners_utils import BaseTunerLayer
from safetensors.torch import save_file
from tiny_families import WRITERS
from torch import Tensor

from memaudit.errors import ModelError
from memaudit.models.families.adapters import ADAPTERS, find_adapters, read_adapters
from memaudit.models.latent import LatentDenoiser
from memaudit.models.load import load_model
from memaudit.models.loaded import ModelOptions
from memaudit.models.lora.fitted import fit
from memaudit.models.lora.places import Places
from memaudit.models.lora.proof import expect_as_written
from memaudit.models.lora.put import put

SD, XL, FLUX, SANA = (
    f"{name}Pipeline" for name in ("StableDiffusion", "StableDiffusionXL", "Flux", "Sana")
)
LAYER = "lora_unet_mid_block_attentions_0_proj_in"


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    made: dict[str, Path] = {}

    def get(name: str) -> Path:
        if name not in made:
            torch.manual_seed(0)
            made[name] = WRITERS[name](tmp_path_factory.mktemp(name))
        return made[name]

    return get


@pytest.fixture(scope="module")
def plain(base: Callable[[str], Path]) -> Callable[[str], LatentDenoiser]:
    """A tiny pipeline of a class, opened once; copy it before it is changed."""
    made: dict[str, LatentDenoiser] = {}

    def get(name: str) -> LatentDenoiser:
        if name not in made:
            made[name] = opened(base(name))
        return made[name]

    return get


@pytest.fixture(scope="module")
def changes(plain: Callable[[str], LatentDenoiser]) -> Changes:
    """Adapters of the attention of Stable Diffusion."""
    layers = layers_of(plain(SD).backbone.network)
    return changes_of({name: one for name, one in layers.items() if name.endswith("to_q")})


@pytest.fixture
def refused(plain, tmp_path) -> Callable[..., None]:
    """Expect of a file of these tensors that it is refused with these words."""

    def expect(tensors: dict[str, Tensor], words: str, name: str = SD, **metadata: object) -> None:
        file = write(tmp_path / "style.safetensors", tensors, **metadata)
        with pytest.raises(ModelError, match=words):
            with_file(plain(name), file)

    return expect


def halves(layer: str, out: int = 32, into: int = 32, rank: int = 2) -> dict[str, Tensor]:
    return {
        f"{layer}.lora_down.weight": torch.ones(rank, into),
        f"{layer}.lora_up.weight": torch.ones(out, rank),
    }


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("lora_unet_conv_in.hada_w1_a", r"another kind \(LoHa\); expected adapters alone"),
        ("lora_unet_conv_in.oft_blocks", r"another kind \(OFT\)"),
        ("lora_unet_conv_in.a1.weight", r"another kind \(GLoRA\)"),
        ("lora_unet_conv_in.on_input", r"another kind \(\(IA\)\^3\)"),
        ("lora_unet_conv_in.diff", "a whole change of weights"),
        ("lora_unet_conv_norm_out.w_norm", "a whole change of weights"),
        ("lora_unet_conv_in.lokr_t1", "a factor of LoKr that has no place"),
        (
            "double_blocks.0.img_attn.norm.query_norm.scale",
            "control LoRA .* further image, and are not",
        ),
        (
            "bundle_emb.style.clip_l",
            r"embeddings of words \(textual inversion\).*Save the adapters without",
        ),
        ("emb_params", "embeddings of words"),
        ("<style>", "embeddings of words"),
        ("unet.conv_in.weight", "holds unet.conv_in.weight, no part of an adapter"),
        ("text_encoder.embeddings.lora_embedding_A", r"another kind \(of a table of words\)"),
        ("\x1b[31mred.weight", r"holds \\x1b\[31mred.weight, no part of"),
        (f"unet.{'a' * 10_000}.lora_A.weight", r"holds unet.a{495}, no part of an adapter"),
    ],
)
def test_what_is_no_adapter_that_is_read_is_named(refused, changes, name, words):
    refused(flat("lora_unet_")(changes) | {name: torch.ones(2)}, words)


@pytest.mark.parametrize(
    ("more", "words"),
    [
        ({f"{LAYER}.lora_down.weight": torch.ones(2, 32)}, "lora_down.weight of one layer"),
        ({f"{LAYER}.lora_up.weight": torch.ones(32, 2)}, "lora_up.weight of one layer"),
        ({f"{LAYER}.alpha": torch.tensor(1.0)}, "alpha of one layer, expected both halves"),
        ({f"{LAYER}.dora_scale": torch.ones(32, 1)}, "dora_scale of one layer, expected both"),
        ({f"{LAYER}.lokr_w1": torch.ones(4, 4)}, "lokr_w1 of one layer, expected both halves"),
        (
            halves(LAYER) | {f"{LAYER}.lokr_w1": torch.ones(4, 4)},
            "expected both halves of an adapter .* and no others",
        ),
        (
            halves(LAYER) | {f"{LAYER}.lora_A.weight": torch.ones(2, 32)},
            r"both .*lora_A.weight and .*lora_down.weight, expected one",
        ),
        (halves(LAYER, rank=5000), r"r up to 4096"),
        (halves(LAYER) | {f"{LAYER}.lora_up.weight": torch.ones(32, 3)}, "do not fit each other"),
        (halves(LAYER) | {f"{LAYER}.lora_up.weight": torch.ones(32)}, "do not fit each other"),
        (halves(LAYER) | {f"{LAYER}.lora_up.weight": torch.ones(0, 2)}, "do not fit each other"),
        (halves(LAYER) | {f"{LAYER}.lora_up.weight": torch.ones(32, 2, 3, 3)}, "do not fit"),
        (halves(LAYER) | {f"{LAYER}.dora_scale": torch.ones(1, 32)}, "DoRA .* scales columns"),
        (halves(LAYER) | {f"{LAYER}.dora_scale": torch.ones(7, 1)}, "do not fit each other"),
        (halves(LAYER) | {f"{LAYER}.lora_mid.weight": torch.ones(2, 3, 3, 3)}, "do not fit"),
        (halves(LAYER) | {f"{LAYER}.alpha": torch.ones(2)}, "alpha 2 numbers, expected one"),
        (halves(LAYER) | {f"{LAYER}.alpha": torch.tensor(0.0)}, "lora_alpha 0.0, .*change nothing"),
        (halves(LAYER) | {f"{LAYER}.alpha": torch.tensor(-1.0)}, "lora_alpha -1.0"),
        (halves(LAYER) | {f"{LAYER}.alpha": torch.tensor(1e9)}, "lora_alpha 1000000000.0"),
        (halves(LAYER, into=64), r"32 outputs of 64 inputs, and .*proj_in there has 32 of 32x1x1"),
        (halves(LAYER, out=64), r"64 outputs of 32 inputs, and .*; --base-model must name"),
        (
            {f"{LAYER}.lokr_w1": torch.ones(4, 4), f"{LAYER}.lokr_w2": torch.ones(4, 4)},
            "16 outputs of 16 inputs",
        ),
        (
            {f"{LAYER}.lokr_w1": torch.ones(4), f"{LAYER}.lokr_w2": torch.ones(4, 4)},
            "do not fit each other",
        ),
        (
            {
                f"{LAYER}.lokr_w1": torch.ones(4, 4),
                f"{LAYER}.lokr_w2_a": torch.ones(10**6, 1),
                f"{LAYER}.lokr_w2_b": torch.ones(1, 10**6),
            },
            "changes 4000000 outputs of 4000000 inputs",
        ),
        (
            {
                f"{LAYER}.lokr_w1_a": torch.ones(10**5, 1),
                f"{LAYER}.lokr_w1_b": torch.ones(1, 10**5),
                f"{LAYER}.lokr_w2": torch.ones(1000, 1000),
            },
            "do not fit each other",
        ),
        (
            halves(LAYER, into=10**6, rank=1)
            | {f"{LAYER}.lora_mid.weight": torch.ones(1, 1, 1000, 1000)},
            "do not fit each other",
        ),
    ],
)  # fmt: skip
def test_damaged_adapters_are_named(refused, changes, more, words):
    refused(flat("lora_unet_")(changes) | more, words)


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_numbers_that_are_not_finite_are_refused_before_the_base_is_opened(
    changes, tmp_path, value
):
    tensors = flat("lora_unet_")(changes)
    name = next(iter(tensors))
    tensors[name] = tensors[name].clone()
    tensors[name][0, 0] = value
    file = write(tmp_path / "style.safetensors", tensors)
    with pytest.raises(ModelError, match=f"NaN or infinity \\({name}\\)"):
        load_model(str(file), ModelOptions(base=str(tmp_path / "no-base")))


def test_quantized_adapters_are_refused(refused, changes):
    tensors = flat("lora_unet_")(changes) | halves(LAYER)
    tensors[f"{LAYER}.lora_up.weight"] = torch.ones(32, 2, dtype=torch.int8)
    refused(tensors, "in int8, expected floating-point numbers")


def test_adapters_of_another_model_say_how_many_fit(refused, changes, plain):
    tensors = flat("lora_unet_")(changes) | halves("lora_unet_double_blocks_0_img_attn_qkv")
    there = len(tensors)
    refused(tensors, f"{there - 2} of {there} tensors have a place .*img_attn_qkv has none; --base")
    flux = changes_of(layers_of(plain(FLUX).backbone.network))
    refused(dotted("transformer.")(flux), "0 of 60 tensors have a place there, and")


def test_a_file_of_another_model_is_not_looked_through_to_its_end(refused):
    tensors = {}
    for number in range(200):
        tensors |= halves(f"lora_unet_nowhere_{number}")
    refused(tensors, "0 of 400 tensors have a place there, as far as was looked, and")


def test_two_adapters_of_one_layer_that_differ_are_refused(refused, changes):
    other = {name: one.clone() + 1 for name, one in dotted("unet.")(changes).items()}
    refused(
        flat("lora_unet_")(changes) | other,
        r"hold two adapters of .*: .* and .*, which differ; .* mixes the layouts",
    )


def test_adapters_of_a_part_that_is_not_there_are_refused(refused, changes):
    more = halves("lora_te2_text_model_encoder_layers_0_self_attn_q_proj")
    refused(flat("lora_unet_")(changes) | more, "lora_te2_text_model.* has none")


def test_adapters_of_one_of_two_encoders_that_are_alike_must_say_of_which(refused, plain):
    clip = plain(XL).pipeline.text_encoder_2
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


def test_adapters_that_are_zero_are_refused(refused, changes):
    tensors = flat("lora_unet_")(changes)
    zero = {k: torch.zeros_like(one) if "lora_up" in k else one for k, one in tensors.items()}
    refused(zero, r"each of the \d+ adapters .* is zero \(B = 0\), .*later step")
    layer = next(iter(changes))
    kron = {f"unet.{layer}.lokr_w1": torch.zeros(4, 4), f"unet.{layer}.lokr_w2": torch.ones(8, 8)}
    refused(kron, "each of the 1 adapters")


def stronger(changes: Changes, times: float) -> dict[str, Tensor]:
    tensors = flat("lora_unet_")(changes)
    return {name: one * times if "lora_up" in name else one for name, one in tensors.items()}


def test_an_effect_that_is_lost_in_rounding_is_refused(base, changes, tmp_path):
    weak = {
        k: one * 1e-3 if "lora_up" in k else one for k, one in flat("lora_unet_")(changes).items()
    }
    file = write(tmp_path / "style.safetensors", weak)
    opened(file, base(SD))
    words = r"change what its unet answers by .* of its length, .* rounding does: .*float32"

    with pytest.raises(ModelError, match=words):
        opened(file, base(SD), dtype="bfloat16")


def test_an_encoder_that_says_the_same_with_adapters_is_refused(refused, changes, plain):
    clip = plain(SD).pipeline.text_encoder
    weak = changes_of({k: one for k, one in layers_of(clip).items() if "q_proj" in k}, 1e-9)
    tensors = flat("lora_unet_")(changes) | flat("lora_te_")(weak)
    refused(tensors, "change what its text_encoder answers by")


def test_adapters_that_are_too_strong_are_refused(base, changes, tmp_path):
    file = write(tmp_path / "style.safetensors", stronger(changes, 1e6))
    with pytest.raises(ModelError, match=r"too large for float16; take --dtype float32"):
        opened(file, base(SD), dtype="float16")
    values = {name.replace("to_q", "to_v"): change for name, change in changes.items()}
    values = {name: one for name, one in values.items() if "attn1" in name}
    file = write(tmp_path / "style.safetensors", stronger(values, 1e38))
    with pytest.raises(ModelError, match="NaN or infinity: they are too strong"):
        opened(file, base(SD))


def test_an_adapter_that_peft_computes_otherwise_is_refused(plain, changes, tmp_path):
    denoiser = copied(plain(SD))
    network = denoiser.backbone.network
    file = write(tmp_path / "style.safetensors", flat("lora_unet_")(changes))
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


@pytest.mark.parametrize(
    "said",
    [
        {"peft_type": "LOHA"},
        {"init_lora_weights": "pissa_niter_4"},
        {"init_lora_weights": "OLoRA"},
        {"layer_replication": [[0, 10**8]]},
        {"modules_to_save": ["conv_in"]},
        {"use_dora": True},
        {"alpha_pattern": {"(a+)+$": 3}},
        {"alpha_pattern": {".*attn.*": 3}},
    ],
)
def test_what_changes_more_than_the_tensors_say_is_refused(refused, changes, said):
    metadata = {f"unet.{name}": value for name, value in said.items()}
    words = f"{next(iter(metadata)).partition('.')[2]}.*; merge|expected plain names of layers"
    refused(dotted("unet.")(changes), words, lora_adapter_metadata=metadata)


def test_pickled_adapters_are_refused_by_name(base, tmp_path):
    (tmp_path / "adapter_model.bin").write_bytes(b"\x80\x04.")
    convert = r"memaudit convert \S*adapter_model.bin \S*adapter_model.safetensors"
    with pytest.raises(ModelError, match=rf"holds pickled adapters, .*never loaded. .*{convert}"):
        load_model(str(tmp_path), ModelOptions(base=str(base(SD))))


@pytest.mark.parametrize(
    "content", [b"", b"\x80\x04.", b"version https://git-lfs.github.com/spec/v1\n"]
)
def test_a_file_that_is_not_whole_says_what_is_wrong(base, tmp_path, content):
    file = tmp_path / "style.safetensors"
    file.write_bytes(content)
    with pytest.raises(ModelError, match=r"not a whole .safetensors file|pointer of a file"):
        load_model(str(file), ModelOptions(base=str(base(SD))))


def test_a_name_that_stands_twice_in_a_header_hides_no_tensor(plain, changes, tmp_path):
    tensors = flat("lora_unet_")(changes)
    file = tmp_path / "style.safetensors"
    save_file(tensors, file)
    raw = file.read_bytes()
    length = struct.unpack("<Q", raw[:8])[0]
    header = raw[8 : 8 + length].decode().rstrip()
    name = next(iter(tensors))
    again = json.dumps({name: json.loads(header)[name]})[1:-1]
    header = header[:-1] + "," + again + "}"
    header += " " * (-len(header) % 8)
    file.write_bytes(struct.pack("<Q", len(header)) + header.encode() + raw[8 + length :])
    once = write(tmp_path / "once.safetensors", tensors)
    assert torch.equal(ask(with_file(plain(SD), file)), ask(with_file(plain(SD), once)))


def test_a_folder_of_other_tensors_is_none_of_adapters(tmp_path):
    save_file({"images": torch.ones(2), "v.alpha": torch.ones(1)}, tmp_path / "x.safetensors")
    assert find_adapters(tmp_path) == []
    assert find_adapters(tmp_path / "x.safetensors") == []
    save_file({"lora_unet_conv_in.hada_w1_a": torch.ones(2)}, tmp_path / "loha.safetensors")
    assert find_adapters(tmp_path) == [tmp_path / "loha.safetensors"]
    assert ADAPTERS.endswith(".safetensors")
