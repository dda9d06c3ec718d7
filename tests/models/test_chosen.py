"""Where EMA weights lie beside raw ones it is said which are used, and either can be asked for."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from diffusers import DDPMPipeline, DDPMScheduler, UNet2DModel
from diffusers.training_utils import EMAModel
from PIL import Image as PillowImage
from safetensors.torch import load_file, save_file
from tiny import write_sd
from torch import Tensor

from memaudit.errors import ConfigError, ModelError
from memaudit.models.families.stable_diffusion import load_latent
from memaudit.models.load import load_model
from memaudit.models.loaded import ModelOptions
from memaudit.models.provenance import Choice
from memaudit.models.weights import OF_DIFFUSERS, sha256_file

MakeUnet = Callable[..., UNet2DModel]
WEIGHTS = f"{OF_DIFFUSERS}.safetensors"
RAW, EMA = 0.0, 1.0  # what stands in a bias of each


def mark(file: Path, value: float) -> None:
    tensors = load_file(file)
    tensors["conv_in.bias"].fill_(value)
    save_file(tensors, file, metadata={"format": "pt"})


@pytest.fixture
def pipeline(make_unet: MakeUnet, tmp_path: Path) -> Path:
    """An unconditional pipeline with EMA weights, as the training scripts of diffusers write both.

    The bias of its first layer is 0 in the raw weights and 1 in the EMA weights.
    """
    folder, network = tmp_path / "model", make_unet()
    network.conv_in.bias.data.fill_(EMA)
    average = EMAModel(network.parameters(), model_cls=UNet2DModel, model_config=network.config)
    average.save_pretrained(folder / "unet_ema")
    network.conv_in.bias.data.fill_(RAW)
    DDPMPipeline(network, DDPMScheduler()).save_pretrained(folder)
    return folder


def used(folder: Path, **options: str) -> float:
    """Which weights a model was loaded with, by what stands in the bias."""
    denoiser = load_model(str(folder), ModelOptions(**options)).denoiser
    return float(denoiser.network.conv_in.bias[0])


def chosen(folder: Path, **options: str) -> Choice:
    [choice] = load_model(str(folder), ModelOptions(**options)).provenance.choices
    return choice


def test_ema_weights_in_a_folder_of_their_own_are_used_unless_raw_ones_are_asked_for(pipeline):
    assert used(pipeline) == EMA
    assert chosen(pipeline) == Choice("unet", "ema", "unet_ema", ("unet",), "default")
    assert used(pipeline, weights="ema") == EMA
    assert chosen(pipeline, weights="ema").why == "asked"
    assert used(pipeline, weights="raw") == RAW
    assert chosen(pipeline, weights="raw") == Choice("unet", "raw", "unet", ("unet_ema",), "asked")


def test_the_files_that_were_used_are_hashed_and_no_others(pipeline):
    for weights, part in (("ema", "unet_ema"), ("raw", "unet")):
        found = load_model(str(pipeline), ModelOptions(weights=weights)).provenance.weights
        name = WEIGHTS if part == "unet" else f"{part}/{WEIGHTS}"
        assert found == {name: sha256_file(pipeline / part / WEIGHTS)}


def test_the_other_name_of_such_a_folder_is_known_too(pipeline):
    (pipeline / "unet_ema").rename(pipeline / "ema_unet")
    assert used(pipeline) == EMA
    assert chosen(pipeline).place == "ema_unet"


def test_a_folder_that_model_names_stays_unless_the_other_is_asked_for(pipeline):
    for part, value, other in (("unet", RAW, "ema"), ("unet_ema", EMA, "raw")):
        assert used(pipeline / part) == value
        assert used(pipeline / part, weights=other) == 1 - value
    assert chosen(pipeline / "unet") == Choice("unet", "raw", "unet", ("unet_ema",), "named")
    assert chosen(pipeline / "unet_ema").used == "ema"


def test_a_checkpoint_of_a_training_script_is_read_with_the_scheduler_of_its_run(pipeline):
    checkpoint = pipeline / "checkpoint-500"
    for part in ("unet", "unet_ema"):
        shutil.move(pipeline / part, checkpoint / part)
    (checkpoint / "optimizer.bin").write_bytes(b"never opened")
    assert used(checkpoint) == EMA
    assert used(checkpoint, weights="raw") == RAW
    details = load_model(str(checkpoint), ModelOptions()).provenance.details
    assert "assumed" not in details["scheduler"]


@pytest.mark.parametrize(
    ("variant", "plain", "kind"),
    [("non_ema", EMA, "raw"), ("no_ema", EMA, "raw"), ("ema", RAW, "ema")],
)
def test_files_that_say_so_themselves_tell_what_the_plain_ones_are(pipeline, variant, plain, kind):
    shutil.rmtree(pipeline / "unet_ema")
    mark(pipeline / "unet" / WEIGHTS, plain)
    other = pipeline / "unet" / f"{OF_DIFFUSERS}.{variant}.safetensors"
    shutil.copy(pipeline / "unet" / WEIGHTS, other)
    mark(other, 1 - plain)
    assert used(pipeline) == used(pipeline, weights="ema") == EMA
    assert used(pipeline, weights="raw") == RAW
    assert used(pipeline, variant=variant) == 1 - plain
    place = f"unet (variant {variant})"
    assert chosen(pipeline, weights=kind) == Choice("unet", kind, place, ("unet",), "asked")
    assert chosen(pipeline, variant=variant).why == "asked"
    against = "raw" if kind == "ema" else "ema"
    with pytest.raises(ConfigError, match=f"--variant {variant} are the .* --weights {against}"):
        used(pipeline, variant=variant, weights=against)


def test_a_precision_that_is_asked_for_by_variant_names_the_file(pipeline):
    unet = pipeline / "unet"
    for name in ("fp16", "ema"):
        shutil.copy(unet / WEIGHTS, unet / f"{OF_DIFFUSERS}.{name}.safetensors")
    shutil.rmtree(pipeline / "unet_ema")
    choice = chosen(pipeline, variant="fp16")
    assert choice == Choice("unet", "raw", "unet", ("unet (variant ema)",), "named")
    with pytest.raises(ConfigError, match=r"name different files of .*unet; leave out --variant"):
        used(pipeline, variant="fp16", weights="ema")


def test_a_precision_is_looked_for_in_the_folder_of_the_ema_weights(pipeline):
    for part, value in (("unet", 3.0), ("unet_ema", 4.0)):
        half = pipeline / part / f"{OF_DIFFUSERS}.fp16.safetensors"
        shutil.copy(pipeline / part / WEIGHTS, half)
        mark(half, value)
    assert used(pipeline, variant="fp16") == 4
    assert used(pipeline, variant="fp16", weights="raw") == 3
    (pipeline / "unet_ema" / f"{OF_DIFFUSERS}.fp16.safetensors").unlink()
    assert used(pipeline, variant="fp16") == EMA


def test_several_sets_of_ema_weights_are_refused(pipeline):
    shutil.copytree(pipeline / "unet_ema", pipeline / "ema_unet")
    with pytest.raises(ModelError, match=r"several sets of EMA weights .*unet_ema, ema_unet\)"):
        used(pipeline)
    assert used(pipeline, weights="raw") == RAW


def test_where_both_kinds_say_so_the_plain_ones_are_neither(pipeline):
    unet = pipeline / "unet"
    shutil.copy(unet / WEIGHTS, unet / f"{OF_DIFFUSERS}.non_ema.safetensors")
    mark(unet / WEIGHTS, 7.0)
    assert used(pipeline) == EMA
    assert used(pipeline, weights="raw") == RAW
    assert set(chosen(pipeline).beside) == {"unet", "unet (variant non_ema)"}


@pytest.mark.parametrize("weights", ["ema", "raw"])
def test_what_is_not_there_is_refused_with_what_is(pipeline, tmp_path, tiles, weights):
    shutil.rmtree(pipeline / "unet_ema")
    assert load_model(str(pipeline), ModelOptions()).provenance.choices == ()
    with pytest.raises(ModelError, match=f"--weights {weights}: .*found {WEIGHTS}.; leave"):
        used(pipeline, weights=weights)
    folder = write_sd(tmp_path / "sd")
    with pytest.raises(ModelError, match=f"found unet/{WEIGHTS}, vae/{WEIGHTS}, text_encoder/mo"):
        load_model(str(folder), ModelOptions(weights=weights))
    PillowImage.fromarray(tiles[0]).save(tmp_path / "image.png")
    with pytest.raises(ModelError, match=r"no EMA weights beside raw ones.*found none in files"):
        load_model(f"closed-form:{tmp_path}", ModelOptions(weights=weights))


def test_ema_weights_that_cannot_be_read_are_not_passed_over(pipeline):
    file = pipeline / "unet_ema" / WEIGHTS
    torch.save({"w": torch.ones(1)}, file.with_suffix(".bin"))
    file.unlink()
    with pytest.raises(ModelError, match=r"memaudit convert .* unless --weights raw asks for"):
        used(pipeline)
    assert used(pipeline, weights="raw") == RAW
    shutil.rmtree(pipeline / "unet_ema")
    (pipeline / "unet" / f"{OF_DIFFUSERS}.ema.bin").write_bytes(b"pickled")
    with pytest.raises(ModelError, match=r"ema\.bin\), expected .*ema\.safetensors; .*convert"):
        used(pipeline)
    assert used(pipeline, weights="raw") == RAW


def test_an_empty_folder_and_models_side_by_side_are_no_ema_weights(pipeline):
    other = pipeline.with_name("model_ema")
    (pipeline / "unet_ema").rename(other)
    (pipeline / "unet_ema").mkdir()
    assert used(pipeline) == RAW
    assert load_model(str(pipeline), ModelOptions()).provenance.choices == ()
    shutil.copytree(pipeline / "unet", pipeline.with_name("bare"))
    shutil.copytree(pipeline / "unet", pipeline.with_name("bare_ema"))
    assert load_model(str(pipeline.with_name("bare")), ModelOptions()).provenance.choices == ()


def test_ema_weights_without_a_config_of_their_own_go_with_that_of_the_network(pipeline):
    (pipeline / "unet_ema" / "config.json").unlink()
    assert used(pipeline) == EMA


def test_the_count_of_a_long_training_is_no_size_of_a_network(pipeline):
    file = pipeline / "unet_ema" / "config.json"
    config = json.loads(file.read_text())
    assert "optimization_step" in config
    file.write_text(json.dumps(config | {"optimization_step": 5_000_000}))
    assert used(pipeline) == EMA


def test_ema_weights_of_another_network_are_refused(pipeline):
    file = pipeline / "unet_ema" / WEIGHTS
    tensors = load_file(file)
    del tensors["conv_in.bias"]
    save_file(tensors, file, metadata={"format": "pt"})
    with pytest.raises(ModelError, match=r"unet_ema do not fit its config\.json"):
        used(pipeline)


def test_names_of_wrappers_in_ema_weights_are_dropped_and_told(pipeline):
    file = pipeline / "unet_ema" / WEIGHTS
    tensors = {f"module.{name}": one for name, one in load_file(file).items()}
    save_file(tensors, file, metadata={"format": "pt"})
    assert used(pipeline) == EMA
    details = load_model(str(pipeline), ModelOptions()).provenance.details
    assert details["dropped_prefixes"] == {"unet": ["module"]}


@pytest.fixture
def latent(tmp_path: Path) -> Path:
    """A Stable Diffusion with EMA weights of its UNet."""
    folder = write_sd(tmp_path / "sd")
    shutil.copytree(folder / "unet", folder / "unet_ema")
    mark(folder / "unet" / WEIGHTS, RAW)
    mark(folder / "unet_ema" / WEIGHTS, EMA)
    return folder


def bias(folder: Path, **options: str) -> float:
    unet = load_latent(folder, ModelOptions(**options)).pipeline.unet
    return float(unet.conv_in.bias[0])


def test_the_unet_of_a_text_to_image_model_is_chosen_and_its_other_parts_stay(latent):
    assert bias(latent) == bias(latent, weights="ema") == EMA
    assert bias(latent, weights="raw") == RAW
    provenance = load_model(str(latent), ModelOptions()).provenance
    assert provenance.choices == (Choice("unet", "ema", "unet_ema", ("unet",), "default"),)
    assert set(provenance.weights) == {
        *(f"unet_ema/{WEIGHTS}", f"vae/{WEIGHTS}", "text_encoder/model.safetensors"),
    }
    raw = load_model(str(latent), ModelOptions(weights="raw")).provenance
    assert f"unet/{WEIGHTS}" in raw.weights


def test_a_base_for_adapters_is_what_diffusers_loads_unless_asked_otherwise(latent, tmp_path):
    torch.manual_seed(0)
    unet = load_latent(latent, ModelOptions()).pipeline.unet
    name = next(one for one, _ in unet.named_modules() if one.endswith("to_q"))
    width = unet.get_submodule(name).in_features
    halves: dict[str, Tensor] = {
        f"unet.{name}.lora_A.weight": torch.randn(2, width),
        f"unet.{name}.lora_B.weight": torch.randn(width, 2),
    }
    save_file(halves, tmp_path / "adapter.safetensors", metadata={"format": "pt"})
    for weights, value, why in ((None, RAW, "plain"), ("ema", EMA, "asked"), ("raw", RAW, "asked")):
        options = ModelOptions(base=str(latent), weights=weights)
        loaded = load_model(str(tmp_path / "adapter.safetensors"), options)
        assert float(loaded.denoiser.pipeline.unet.conv_in.bias[0]) == value
        assert loaded.provenance.choices[0].why == why
