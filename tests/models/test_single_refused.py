"""Single files that cannot be audited say what they are, and what to do."""

import json
import pickle
import shutil
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file
from single_files import NETWORK, VAE, of_class, write
from single_names import Tensors
from tiny import write_sd
from tiny_families import write_flux, write_sdxl

from memaudit.errors import ConfigError, MemauditError, ModelError
from memaudit.models.load import load_model
from memaudit.models.loaded import ModelOptions

FIRST = f"{NETWORK}input_blocks.0.0.weight"


@pytest.fixture(scope="module")
def sd(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_sd(tmp_path_factory.mktemp("sd"))


@pytest.fixture(scope="module")
def tensors(sd: Path) -> Tensors:
    return of_class(sd)


def refusal(file: Path, base: Path | None = None, **more: object) -> str:
    options = ModelOptions(base=None if base is None else str(base), resolution=32, **more)
    with pytest.raises(MemauditError) as caught:
        load_model(str(file), options)
    message = str(caught.value)
    assert str(file) in message or file.name in message
    return message


def refused(path: Path, tensors: Tensors, base: Path | None = None, **more: object) -> str:
    return refusal(write(path / "model.safetensors", tensors), base, **more)


@pytest.mark.parametrize("suffix", ["ckpt", "pt", "pth", "bin", "pkl"])
def test_a_pickle_is_never_opened(tmp_path: Path, suffix: str) -> None:
    class Evil:
        def __reduce__(self) -> tuple[object, tuple[str]]:
            return (Path.mkdir, (str(tmp_path / "ran"),))

    file = tmp_path / f"model.{suffix}"
    file.write_bytes(pickle.dumps(Evil()))
    said = refusal(file)
    assert f"memaudit convert {file} {tmp_path / 'model.safetensors'}" in said
    assert not (tmp_path / "ran").exists()


def test_a_pickle_under_another_name_is_no_whole_file(tmp_path: Path) -> None:
    file = tmp_path / "model.safetensors"
    torch.save({"state_dict": {FIRST: torch.ones(2)}}, file)
    assert "is not a whole .safetensors file" in refusal(file)


def test_a_file_of_nothing_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "model.safetensors"
    file.write_bytes((2).to_bytes(8, "little") + b"{}")
    assert "of no architecture that is known here (it holds nothing)" in refusal(file)


def test_a_file_that_is_cut_off_is_refused(tmp_path: Path, sd: Path, tensors: Tensors) -> None:
    file = write(tmp_path / "model.safetensors", tensors)
    file.write_bytes(file.read_bytes()[:-1000])
    assert "is not a whole .safetensors file" in refusal(file, sd)


@pytest.mark.parametrize("name", ["notes.txt", "model.onnx", "model"])
def test_a_file_of_another_kind_says_what_is_read(tmp_path: Path, name: str) -> None:
    (tmp_path / name).write_text("nothing")
    assert "is a file; give the folder of a diffusers model" in refusal(tmp_path / name)


STRANGERS: dict[str, tuple[dict[str, tuple[int, ...]], str]] = {
    "controlnet": ({"control_model.input_blocks.0.0.weight": (4, 4, 3, 3)}, "is a ControlNet"),
    "bare controlnet": (
        {"input_hint_block.0.weight": (4, 3, 3, 3), "input_blocks.0.0.weight": (4, 4, 3, 3)},
        "is a ControlNet",
    ),
    "diffusers controlnet": ({"controlnet_down_blocks.0.weight": (4, 4, 1, 1)}, "is a ControlNet"),
    "ip-adapter": ({"ip_adapter.1.to_k_ip.weight": (4, 4)}, "is an IP-Adapter"),
    "inversion": ({"emb_params": (2, 768)}, "is a textual inversion"),
    "inversion xl": ({"clip_g": (2, 1280), "clip_l": (2, 768)}, "is a textual inversion"),
    "video": ({"model.diffusion_model.input_blocks.1.0.time_stack.w": (4,)}, "a model of video"),
    "motion": ({"down_blocks.0.motion_modules.0.temporal_transformer.w": (4,)}, "model of video"),
    "playground": ({"edm_mean": (1, 4, 1, 1), FIRST: (4, 4, 3, 3)}, "is Playground 2.5"),
    "cosxl": ({"edm_vpred.sigma_max": (1,), FIRST: (4, 4, 3, 3)}, "is a CosXL"),
    "vae": (
        {"encoder.conv_in.weight": (4, 3, 3, 3), "decoder.conv_in.weight": (4, 4, 3, 3)},
        "a VAE",
    ),
    "prefixed vae": ({f"{VAE}decoder.conv_in.weight": (4, 4, 3, 3)}, "is a VAE alone"),
    "clip": ({"text_model.encoder.layers.0.mlp.fc1.weight": (4, 4)}, "is a text encoder alone"),
    "t5": (
        {"encoder.block.0.layer.0.SelfAttention.k.weight": (4, 4), "shared.weight": (4, 4)},
        "is a text encoder alone",
    ),
    "pixart": ({"csize_embedder.mlp.0.weight": (4, 4)}, "is a PixArt"),
    "pix2pix": ({FIRST: (320, 8, 3, 3)}, "told an image to edit"),
    "depth": ({FIRST: (320, 5, 3, 3)}, "told a map of depth"),
    "upscaler": ({FIRST: (320, 7, 3, 3)}, "is an upscaler"),
    "refiner": (
        {
            FIRST: (384, 4, 3, 3),
            f"{NETWORK}label_emb.0.0.weight": (4, 4),
            f"{NETWORK}input_blocks.4.1.transformer_blocks.0.attn2.to_k.weight": (4, 1280),
        },
        "is the refiner of Stable Diffusion XL",
    ),
    "unclip": (
        {
            FIRST: (320, 4, 3, 3),
            f"{NETWORK}label_emb.0.0.weight": (4, 4),
            f"{NETWORK}input_blocks.1.1.transformer_blocks.0.attn2.to_k.weight": (4, 1024),
        },
        "told an image as a vector",
    ),
    "flux fill": (
        {"double_blocks.0.img_mod.lin.weight": (4, 4), "img_in.weight": (4, 384)},
        "is a FLUX.1 that is told an image and a mask",
    ),
    "flux depth": (
        {"double_blocks.0.img_mod.lin.weight": (4, 4), "img_in.weight": (4, 128)},
        "is a FLUX.1 that is told a further image",
    ),
    "chroma": (
        {"distilled_guidance_layer.in_proj.bias": (4,), "double_blocks.0.w": (4,)},
        "is chroma, by diffusers' reckoning",
    ),
    "stable cascade": (
        {"clip_txt_mapper.weight": (2048, 4)},
        "is stable_cascade_stage_c, by diffusers' reckoning",
    ),
    "no text": ({FIRST: (128, 3, 3, 3)}, r"of no architecture that is known here (it holds model"),
    "unknown": ({"layer.weight": (4, 4)}, r"of no architecture that is known here (it holds layer"),
}


@pytest.mark.parametrize("kind", STRANGERS)
def test_a_file_of_another_kind_says_which(tmp_path: Path, kind: str, sd: Path) -> None:
    shapes, said = STRANGERS[kind]
    tensors = {name: torch.zeros(shape) for name, shape in shapes.items()}
    assert said in refused(tmp_path, tensors)
    assert said in refused(tmp_path, tensors, sd)


def test_a_missing_tensor_is_refused(tmp_path: Path, sd: Path, tensors: Tensors) -> None:
    for name in (FIRST.replace("weight", "bias"), f"{VAE}decoder.conv_in.weight"):
        without = {each: one for each, one in tensors.items() if each != name}
        said = refused(tmp_path, without, sd)
        assert f"does not fit its configuration (--base-model {sd}): " in said
        assert "1 tensors are missing" in said


def test_a_part_of_a_part_is_refused(tmp_path: Path, sd: Path, tensors: Tensors) -> None:
    encoder = {name: one for name, one in tensors.items() if not name.startswith(f"{VAE}dec")}
    assert "the AutoencoderKL in" in refused(tmp_path, encoder, sd)


@pytest.mark.parametrize(
    "name",
    [
        "something.else",
        f"{NETWORK}input_blocks.1.2.weight",
        f"{NETWORK}time_embedding.cond_proj.weight",
        f"{VAE}encoder.more.weight",
        "cond_stage_model.transformer.text_model.more.weight",
        "model_ema.other",
        "embedding_manager.embedder.weight",
        "text_encoders.t5xxl.transformer.shared.weight",
    ],
)
def test_a_tensor_without_a_place_is_refused(
    tmp_path: Path, sd: Path, tensors: Tensors, name: str
) -> None:
    said = refused(tmp_path, tensors | {name: torch.ones(2)}, sd)
    assert name in said or "left over" in said


def test_a_tensor_of_another_shape_is_refused(tmp_path: Path, sd: Path, tensors: Tensors) -> None:
    said = refused(tmp_path, tensors | {FIRST: torch.ones(16, 9, 3, 3)}, sd)
    assert "of another shape, first conv_in.weight" in said


@pytest.mark.parametrize("name", [FIRST, f"{VAE}decoder.conv_in.weight"])
def test_what_is_not_finite_is_refused(
    tmp_path: Path, sd: Path, tensors: Tensors, name: str
) -> None:
    broken = torch.full_like(tensors[name], float("nan"))
    said = refused(tmp_path, tensors | {name: broken}, sd)
    assert "model.safetensors hold NaN or infinity" in said


def test_a_shard_that_lacks_its_fellows_is_refused(tmp_path: Path, tensors: Tensors) -> None:
    file = write(tmp_path / "m-00001-of-00002.safetensors", tensors)
    assert "m-00002-of-00002.safetensors is not beside it" in refusal(file)
    shutil.copy(file, tmp_path / "m-00002-of-00002.safetensors")
    with pytest.raises(ModelError, match="and another shard does, too"):
        load_model(str(file), ModelOptions())


def test_an_index_leads_nowhere_else(tmp_path: Path) -> None:
    index = tmp_path / "m.safetensors.index.json"
    index.write_text(json.dumps({"weight_map": {FIRST: "../other.safetensors"}}))
    assert "expected plain names of .safetensors files beside it" in refusal(index)


def test_a_base_of_another_family_is_refused(tmp_path: Path, sd: Path, tensors: Tensors) -> None:
    flux = write_flux(tmp_path / "flux")
    said = refused(tmp_path, tensors, flux)
    assert "is a FluxPipeline, and" in said
    assert "expected the folder of a StableDiffusionPipeline or" in said
    assert "is a StableDiffusionPipeline, and" in refused(tmp_path, of_class(flux), sd)
    xl = write_sdxl(tmp_path / "xl")
    assert "does not fit its configuration" in refused(tmp_path, tensors, xl)


def test_a_base_that_is_no_pipeline_is_refused(tmp_path: Path, tensors: Tensors) -> None:
    empty = tmp_path / "empty"
    empty.mkdir()
    assert "is no pipeline folder" in refused(tmp_path, tensors, empty)
    file = write(tmp_path / "base.safetensors", tensors)
    assert "is no pipeline folder" in refused(tmp_path, tensors, file)
    missing = refused(tmp_path, tensors, tmp_path / "no", local_files_only=True)
    assert f"--base-model {tmp_path / 'no'}, for " in missing


def test_a_base_that_lacks_what_the_file_lacks_is_refused(
    tmp_path: Path, sd: Path, tensors: Tensors
) -> None:
    base = shutil.copytree(sd, tmp_path / "base")
    (base / "vae" / "diffusion_pytorch_model.safetensors").unlink()
    network = {name: one for name, one in tensors.items() if not name.startswith(VAE)}
    assert str(base / "vae") in refused(tmp_path, network, base, local_files_only=True)
    load_model(str(write(tmp_path / "whole.safetensors", tensors)), ModelOptions(base=str(base)))


def test_what_a_base_asks_for_is_held_to_its_bounds(
    tmp_path: Path, sd: Path, tensors: Tensors
) -> None:
    base = shutil.copytree(sd, tmp_path / "base")
    config = base / "unet" / "config.json"
    config.write_text(json.dumps(json.loads(config.read_text()) | {"layers_per_block": 10**9}))
    with pytest.raises(ModelError, match="expected a whole number of 1 to 64"):
        load_model(
            str(write(tmp_path / "model.safetensors", tensors)), ModelOptions(base=str(base))
        )


def test_a_prediction_is_for_models_in_one_file(sd: Path) -> None:
    with pytest.raises(ConfigError, match="--prediction is for models in one file"):
        load_model(str(sd), ModelOptions(prediction="epsilon"))


def test_two_tensors_of_one_place_are_refused(tmp_path: Path, sd: Path, tensors: Tensors) -> None:
    twice = tensors | {name.replace(VAE, "vae."): one for name, one in tensors.items()}
    save_file({name: one.clone() for name, one in twice.items()}, tmp_path / "model.safetensors")
    assert "are no part of a Stable Diffusion 1 or 2" in refusal(tmp_path / "model.safetensors", sd)
