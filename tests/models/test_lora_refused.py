"""A file of adapters that is damaged, or holds more than adapters, is refused by name."""

import json
import struct

import pytest
import torch
from lora_files import (
    ask,
    dotted,
    flat,
    halves,
    with_file,
    write,
)
from safetensors.torch import save_file

from memaudit.errors import ModelError
from memaudit.models.families.adapters import ADAPTERS, find_adapters
from memaudit.models.load import load_model
from memaudit.models.loaded import ModelOptions

SD, XL, FLUX, SANA = (
    f"{name}Pipeline" for name in ("StableDiffusion", "StableDiffusionXL", "Flux", "Sana")
)
LAYER = "lora_unet_mid_block_attentions_0_proj_in"


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
def test_what_is_no_adapter_that_is_read_is_named(refused, of_attention, name, words):
    refused(flat("lora_unet_")(of_attention) | {name: torch.ones(2)}, words)


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
def test_damaged_adapters_are_named(refused, of_attention, more, words):
    refused(flat("lora_unet_")(of_attention) | more, words)


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_numbers_that_are_not_finite_are_refused_before_the_base_is_opened(
    of_attention, tmp_path, value
):
    tensors = flat("lora_unet_")(of_attention)
    name = next(iter(tensors))
    tensors[name] = tensors[name].clone()
    tensors[name][0, 0] = value
    file = write(tmp_path / "style.safetensors", tensors)
    with pytest.raises(ModelError, match=f"NaN or infinity \\({name}\\)"):
        load_model(str(file), ModelOptions(base=str(tmp_path / "no-base")))


def test_quantized_adapters_are_refused(refused, of_attention):
    tensors = flat("lora_unet_")(of_attention) | halves(LAYER)
    tensors[f"{LAYER}.lora_up.weight"] = torch.ones(32, 2, dtype=torch.int8)
    refused(tensors, "in int8, expected floating-point numbers")


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
def test_what_changes_more_than_the_tensors_say_is_refused(refused, of_attention, said):
    metadata = {f"unet.{name}": value for name, value in said.items()}
    words = f"{next(iter(metadata)).partition('.')[2]}.*; merge|expected plain names of layers"
    refused(dotted("unet.")(of_attention), words, lora_adapter_metadata=metadata)


def test_pickled_adapters_are_refused_by_name(tiny_folder, tmp_path):
    (tmp_path / "adapter_model.bin").write_bytes(b"\x80\x04.")
    convert = r"memaudit convert \S*adapter_model.bin \S*adapter_model.safetensors"
    with pytest.raises(ModelError, match=rf"holds pickled adapters, .*never loaded. .*{convert}"):
        load_model(str(tmp_path), ModelOptions(base=str(tiny_folder(SD))))


@pytest.mark.parametrize(
    "content", [b"", b"\x80\x04.", b"version https://git-lfs.github.com/spec/v1\n"]
)
def test_a_file_that_is_not_whole_says_what_is_wrong(tiny_folder, tmp_path, content):
    file = tmp_path / "style.safetensors"
    file.write_bytes(content)
    with pytest.raises(ModelError, match=r"not a whole .safetensors file|pointer of a file"):
        load_model(str(file), ModelOptions(base=str(tiny_folder(SD))))


def test_a_name_that_stands_twice_in_a_header_hides_no_tensor(
    tiny_pipeline, of_attention, tmp_path
):
    tensors = flat("lora_unet_")(of_attention)
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
    assert torch.equal(
        ask(with_file(tiny_pipeline(SD), file)), ask(with_file(tiny_pipeline(SD), once))
    )


def test_a_folder_of_other_tensors_is_none_of_adapters(tmp_path):
    save_file({"images": torch.ones(2), "v.alpha": torch.ones(1)}, tmp_path / "x.safetensors")
    assert find_adapters(tmp_path) == []
    assert find_adapters(tmp_path / "x.safetensors") == []
    save_file({"lora_unet_conv_in.hada_w1_a": torch.ones(2)}, tmp_path / "loha.safetensors")
    assert find_adapters(tmp_path) == [tmp_path / "loha.safetensors"]
    assert ADAPTERS.endswith(".safetensors")
