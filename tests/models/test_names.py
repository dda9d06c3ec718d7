"""Weights whose names carry those of wrappers are the same weights."""

import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from diffusers import UNet2DModel
from safetensors.torch import load_file, save_file
from tiny import write_sd

from memaudit.errors import DependencyError, ModelError
from memaudit.models.families.stable_diffusion import load_latent
from memaudit.models.load import load_model
from memaudit.models.loaded import ModelOptions
from memaudit.models.names import bare, show
from memaudit.models.weights import OF_DIFFUSERS, sha256_file, staged

MakeUnet = Callable[..., UNet2DModel]
WEIGHTS = f"{OF_DIFFUSERS}.safetensors"


def answer(folder: Path) -> torch.Tensor:
    x = torch.randn(2, 3, 8, 8, generator=torch.Generator().manual_seed(0))
    denoiser = load_model(str(folder), ModelOptions()).denoiser
    return denoiser.denoise(x, torch.tensor([0.5, 3.0]))


def rename(file: Path, wrap: Callable[[str], str]) -> None:
    tensors = {wrap(name): tensor for name, tensor in load_file(file).items()}
    save_file(tensors, file, metadata={"format": "pt"})


def compiled_blocks(name: str) -> str:
    """As where single blocks were compiled: down_blocks.0._orig_mod.resnets..."""
    first, number, *rest = name.split(".")
    blocks = first in ("down_blocks", "up_blocks")
    return ".".join([first, number, *(["_orig_mod"] * blocks), *rest])


WRAPPED = {
    "compiled": lambda name: f"_orig_mod.{name}",
    "parallel": lambda name: f"module.{name}",
    "both": lambda name: f"module._orig_mod.module.{name}",
    "blocks": compiled_blocks,
}


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("_orig_mod.conv_in.weight", "conv_in.weight"),
        ("module.module.conv_in.weight", "conv_in.weight"),
        ("unet._orig_mod.conv_in.weight", "unet.conv_in.weight"),
        ("conv_in.weight", "conv_in.weight"),
        ("conv_in.module", "conv_in.module"),
        ("module", "module"),
        ("submodule.module_list.modules.weight", "submodule.module_list.modules.weight"),
        ("a._orig_mod_.b", "a._orig_mod_.b"),
        ("", ""),
    ],
)
def test_only_whole_segments_before_the_last_are_dropped(name, expected):
    assert bare(name) == expected


@pytest.mark.parametrize("wrapped", WRAPPED)
def test_a_network_is_loaded_as_if_its_names_had_no_wrappers(
    make_unet: MakeUnet, tmp_path: Path, wrapped: str
) -> None:
    make_unet().save_pretrained(tmp_path)
    plain = answer(tmp_path)
    rename(tmp_path / WEIGHTS, WRAPPED[wrapped])
    before = (tmp_path / WEIGHTS).read_bytes()
    assert torch.equal(answer(tmp_path), plain)
    assert (tmp_path / WEIGHTS).read_bytes() == before
    provenance = load_model(str(tmp_path), ModelOptions()).provenance
    assert provenance.weights == {WEIGHTS: sha256_file(tmp_path / WEIGHTS)}
    expected = {
        "compiled": ["_orig_mod"],
        "parallel": ["module"],
        "both": ["_orig_mod", "module"],
        "blocks": ["_orig_mod"],
    }
    assert provenance.details["dropped_prefixes"] == {"unet": expected[wrapped]}


def test_names_without_wrappers_are_not_spoken_of(make_unet: MakeUnet, tmp_path: Path) -> None:
    make_unet().save_pretrained(tmp_path)
    details = load_model(str(tmp_path), ModelOptions()).provenance.details
    assert "dropped_prefixes" not in details


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32])
def test_half_precision_stays_as_it_is_under_other_names(
    make_unet: MakeUnet, tmp_path: Path, dtype: torch.dtype
) -> None:
    make_unet().to(dtype).save_pretrained(tmp_path)
    plain = load_file(tmp_path / WEIGHTS)
    rename(tmp_path / WEIGHTS, WRAPPED["compiled"])
    with staged(tmp_path, [tmp_path / WEIGHTS]) as stage:
        found = load_file(stage / WEIGHTS)
    assert found.keys() == plain.keys()
    assert all(found[name].dtype == one.dtype for name, one in plain.items())
    assert all(torch.equal(found[name], one) for name, one in plain.items())


def test_files_that_need_no_other_names_are_linked_not_copied(
    make_unet: MakeUnet, tmp_path: Path
) -> None:
    make_unet().save_pretrained(tmp_path)
    with staged(tmp_path, [tmp_path / WEIGHTS]) as stage:
        assert (stage / WEIGHTS).is_symlink()


def cut(folder: Path, wrap: dict[str, Callable[[str], str]]) -> None:
    """Cut weights into files by name, each with its names wrapped in its own way."""
    tensors = load_file(folder / WEIGHTS)
    (folder / WEIGHTS).unlink()
    places = {key: list(wrap)[k % len(wrap)] for k, key in enumerate(tensors)}
    wrapped: dict[str, str] = {}
    for file, name_of in wrap.items():
        part = {name_of(key): tensors[key] for key in tensors if places[key] == file}
        save_file(part, folder / file, metadata={"format": "pt"})
        wrapped |= dict.fromkeys(part, file)
    index = {"metadata": {"total_size": 1}, "weight_map": wrapped}
    (folder / f"{WEIGHTS}.index.json").write_text(json.dumps(index))


def test_shards_are_loaded_whichever_of_them_have_wrappers(
    make_unet: MakeUnet, tmp_path: Path
) -> None:
    make_unet().save_pretrained(tmp_path)
    plain = answer(tmp_path)
    cut(tmp_path, {"a.safetensors": WRAPPED["both"], "b.safetensors": str})
    assert torch.equal(answer(tmp_path), plain)


@pytest.mark.parametrize("files", [1, 2])
def test_two_names_that_become_one_are_refused(
    make_unet: MakeUnet, tmp_path: Path, files: int
) -> None:
    make_unet().save_pretrained(tmp_path)
    if files == 2:
        cut(tmp_path, {"a.safetensors": str, "b.safetensors": str})
    file = tmp_path / ("b.safetensors" if files == 2 else WEIGHTS)
    more = {"module.conv_in.bias": torch.zeros(8), "_orig_mod.conv_in.bias": torch.zeros(8)}
    save_file(load_file(file) | more, file, metadata={"format": "pt"})
    with pytest.raises(ModelError, match=r"expected one of them: .* both are conv_in\.bias"):
        answer(tmp_path)


@pytest.mark.parametrize("part", ["unet", "vae", "text_encoder"])
def test_every_part_of_a_pipeline_is_loaded_so(tmp_path: Path, part: str) -> None:
    folder = write_sd(tmp_path / "model")
    plain = getattr(load_latent(folder, ModelOptions()).pipeline, part).state_dict()
    [file] = (folder / part).glob("*.safetensors")
    rename(file, WRAPPED["both"])
    loaded = load_model(str(folder), ModelOptions())
    found = getattr(loaded.denoiser.pipeline, part).state_dict()
    assert all(torch.equal(found[name], one) for name, one in plain.items())
    dropped = loaded.provenance.details["dropped_prefixes"]
    assert dropped == {part: ["_orig_mod", "module"]}


def test_adapters_are_placed_as_if_their_names_had_no_wrappers(tmp_path: Path) -> None:
    base = write_sd(tmp_path / "base")
    unet = load_latent(base, ModelOptions()).pipeline.unet
    name = next(one for one, _ in unet.named_modules() if one.endswith("to_q"))
    width = unet.get_submodule(name).in_features
    torch.manual_seed(0)
    halves = {"lora_A.weight": torch.randn(2, width), "lora_B.weight": torch.randn(width, 2)}
    wrapped = {f"unet.module._orig_mod.{name}.{half}": one for half, one in halves.items()}
    save_file(wrapped, tmp_path / "adapter.safetensors", metadata={"format": "pt"})
    options = ModelOptions(base=str(base))
    loaded = load_model(str(tmp_path / "adapter.safetensors"), options)
    weights = loaded.denoiser.pipeline.unet.state_dict()
    [placed] = [one for key, one in weights.items() if "lora_A" in key]
    assert torch.equal(placed, halves["lora_A.weight"])
    dropped = loaded.provenance.details["dropped_prefixes"]
    assert dropped == {"adapters": ["_orig_mod", "module"]}
    twice = wrapped | {f"unet.{name}.lora_A.weight": halves["lora_A.weight"].clone()}
    save_file(twice, tmp_path / "adapter.safetensors", metadata={"format": "pt"})
    with pytest.raises(ModelError, match="expected one of them"):
        load_model(str(tmp_path / "adapter.safetensors"), options)


def test_a_copy_that_has_no_room_is_refused_before_it_is_written(tmp_path: Path) -> None:
    large = tmp_path / "large.safetensors"
    large.touch()
    os.truncate(large, shutil.disk_usage(tmp_path).free + (1 << 36))  # takes no room itself
    with pytest.raises(DependencyError, match=r"has room for .* set TMPDIR"):
        show(large, {"module.w": "w"}, tmp_path / "copy.safetensors")
    assert not (tmp_path / "copy.safetensors").exists()
