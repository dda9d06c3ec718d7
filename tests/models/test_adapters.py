"""LoRA adapters are found under any name and in any form that people have, and read as made."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file
from tiny import write_sd
from torch import Tensor

from memaudit.errors import ConfigError, ModelError
from memaudit.models.families.adapters import ADAPTERS
from memaudit.models.load import load_model
from memaudit.models.loaded import ModelOptions

RANK = 4
Halves = dict[str, tuple[Tensor, Tensor]]
Form = Callable[[Halves], dict[str, Tensor]]


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_sd(tmp_path_factory.mktemp("base"))


@pytest.fixture(scope="module")
def halves(base: Path) -> Halves:
    """Both halves of an adapter for each attention projection of the UNet."""
    unet = load_model(str(base), ModelOptions()).denoiser.pipeline.unet
    linear = {name: one for name, one in unet.named_modules() if isinstance(one, torch.nn.Linear)}
    chosen = {name: one for name, one in linear.items() if name.endswith(("to_q", "to_k", "to_v"))}
    torch.manual_seed(0)
    return {
        name: (torch.randn(RANK, one.in_features) / 4, torch.randn(one.out_features, RANK) / 4)
        for name, one in chosen.items()
    }


def peft(halves: Halves, prefix: str = "unet.") -> dict[str, Tensor]:
    return {
        f"{prefix}{name}.lora_{half}.weight": tensor.clone()
        for name, both in halves.items()
        for half, tensor in zip("AB", both, strict=True)
    }


def without_prefix(halves: Halves) -> dict[str, Tensor]:
    return peft(halves, "")


def of_peft_alone(halves: Halves) -> dict[str, Tensor]:
    return peft(halves, "base_model.model.")


def old(halves: Halves, prefix: str = "unet.") -> dict[str, Tensor]:
    tensors = {}
    for name, both in halves.items():
        block, _, projection = name.rpartition(".")
        for half, tensor in zip(("down", "up"), both, strict=True):
            key = f"{prefix}{block}.processor.{projection}_lora.{half}.weight"
            tensors[key] = tensor.clone()
    return tensors


def old_without_prefix(halves: Halves) -> dict[str, Tensor]:
    return old(halves, "")


def kohya(halves: Halves, alpha: float = RANK) -> dict[str, Tensor]:
    tensors = {}
    for name, (down, up) in halves.items():
        key = f"lora_unet_{name.replace('.', '_')}"
        tensors |= {f"{key}.lora_down.weight": down.clone(), f"{key}.lora_up.weight": up.clone()}
        tensors[f"{key}.alpha"] = torch.tensor(float(alpha))
    return tensors


def write(path: Path, tensors: dict[str, Tensor], said: dict[str, object] | None = None) -> Path:
    path.parent.mkdir(exist_ok=True)
    metadata = {"format": "pt"}
    if said is not None:
        metadata["lora_adapter_metadata"] = json.dumps({f"unet.{k}": v for k, v in said.items()})
    save_file(tensors, path, metadata=metadata)
    return path


@pytest.fixture
def answer(base: Path) -> Callable[[Path], Tensor]:
    """What a model of these adapters answers."""

    def ask(place: Path | None) -> Tensor:
        model, asked = (base, None) if place is None else (place, str(base))
        denoiser = load_model(str(model), ModelOptions(base=asked)).denoiser
        torch.manual_seed(1)
        with torch.no_grad():
            return denoiser.denoise(torch.randn(1, 4, 16, 16), torch.tensor([1.0]))

    return ask


@pytest.fixture
def as_made(answer, halves, tmp_path) -> Tensor:
    """With the scale 1."""
    return answer(write(tmp_path / "made" / ADAPTERS, peft(halves)).parent)


@pytest.mark.parametrize("form", [without_prefix, of_peft_alone, old, old_without_prefix, kohya])
def test_every_form_is_read_as_it_was_made(answer, halves, as_made, tmp_path, form):
    found = answer(write(tmp_path / "lora" / "my_style-000010.safetensors", form(halves)))
    torch.testing.assert_close(found, as_made)
    assert not torch.allclose(found, answer(None), atol=1e-3)


def test_a_folder_or_the_file_itself_names_adapters_of_any_name(answer, halves, as_made, tmp_path):
    file = write(tmp_path / "lora" / "style.safetensors", peft(halves))
    for place in (file, file.parent):
        torch.testing.assert_close(answer(place), as_made)
    write(file.with_name("other.safetensors"), peft(halves))
    with pytest.raises(ModelError, match=r"2 files .*other.safetensors, style.safetensors.*itself"):
        answer(file.parent)
    torch.testing.assert_close(answer(file), as_made)


def test_the_scale_is_that_which_the_file_says(answer, halves, tmp_path):
    half = answer(write(tmp_path / "kohya.safetensors", kohya(halves, alpha=RANK / 2)))
    said = write(tmp_path / "said.safetensors", peft(halves), {"r": RANK, "lora_alpha": RANK / 2})
    torch.testing.assert_close(answer(said), half)
    alone = write(tmp_path / "peft" / "adapter_model.safetensors", of_peft_alone(halves))
    config = {"peft_type": "LORA", "r": RANK, "lora_alpha": RANK / 2, "target_modules": ["to_q"]}
    (alone.parent / "adapter_config.json").write_text(json.dumps(config))
    torch.testing.assert_close(answer(alone.parent), half)
    rooted = {"lora_alpha": 1, "use_rslora": True}
    found = answer(write(tmp_path / "rooted.safetensors", peft(halves), rooted))
    torch.testing.assert_close(found, half)
    patterns = {"lora_alpha": RANK, "alpha_pattern": dict.fromkeys(halves, RANK / 2)}
    found = answer(write(tmp_path / "patterns.safetensors", peft(halves), patterns))
    torch.testing.assert_close(found, half)
    wrapped = {"alpha_pattern": {f"_orig_mod.{name}": RANK / 2 for name in halves}}
    tensors = peft(halves, "unet._orig_mod.")
    found = answer(write(tmp_path / "wrapped.safetensors", tensors, patterns | wrapped))
    torch.testing.assert_close(found, half)


@pytest.mark.parametrize(
    "said",
    [
        {"target_modules": "(a+|[a-z_.0-9]+)+(([a-z._0-9]+)+)+$$X"},
        {"exclude_modules": "(a|a)*$"},
        {"rank_pattern": {"(a+)+$": 3}},
        {"megatron_config": {"a": 1}, "megatron_core": "antigravity"},
        {"r": 10**9, "init_lora_weights": "eva", "auto_mapping": {"parent_library": "evil"}},
        {"unknown": 1},
    ],
)
def test_what_a_file_says_beside_its_scale_is_not_heeded(answer, halves, as_made, tmp_path, said):
    file = write(tmp_path / "lora.safetensors", peft(halves), said)
    torch.testing.assert_close(answer(file), as_made)


@pytest.mark.parametrize("alpha", [-1, 0, "x", True, [], 10**9, float("inf")])
def test_a_scale_that_makes_no_sense_is_refused(answer, halves, tmp_path, alpha):
    file = write(tmp_path / "lora.safetensors", peft(halves), {"lora_alpha": alpha})
    with pytest.raises(ModelError, match=r"lora_alpha|not finite"):
        answer(file)


@pytest.mark.parametrize("text", ["{", "[]", "[" * 100_000, "3"])
def test_metadata_that_make_no_sense_are_refused(answer, halves, tmp_path, text):
    file = tmp_path / "lora.safetensors"
    save_file(peft(halves), file, metadata={"lora_adapter_metadata": text})
    with pytest.raises(ModelError, match="the metadata of"):
        answer(file)


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("lora_unet_conv_in.hada_w1_a", r"another kind \(LoHa\)"),
        ("unet.conv_in.lora_A.weight", "expected both halves of an adapter"),
        ("lora_unet_conv_in.bias", "no part of an adapter that is read"),
    ],
)
def test_adapters_that_are_not_read_say_which(answer, halves, tmp_path, name, said):
    file = write(tmp_path / "lora.safetensors", peft(halves) | {name: torch.ones(2, 2)})
    with pytest.raises(ModelError, match=said):
        answer(file)


def test_a_base_for_a_folder_without_adapters_says_what_is_there(base, tmp_path):
    (tmp_path / "notes.txt").write_text("nothing")
    with pytest.raises(ModelError, match=r"holds no LoRA adapters: .*found notes.txt"):
        load_model(str(tmp_path), ModelOptions(base=str(base)))
    with pytest.raises(
        ModelError, match=r"notes.txt is a file; give .* or a file of LoRA adapters"
    ):
        load_model(str(tmp_path / "notes.txt"), ModelOptions())
    with pytest.raises(ConfigError, match="is a model by itself: leave it out"):
        load_model(str(base), ModelOptions(base=str(base)))
