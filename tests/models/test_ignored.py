"""What lies in a model's folder and no audit reads is named, with the reason where it is known."""

import json
import os
import shutil
from pathlib import Path

import pytest
from safetensors.torch import load_file, save_file
from tiny import write_sd

from memaudit.demo.run import MODELS
from memaudit.models.ignored import Ignored, ignored
from memaudit.models.load import load_model
from memaudit.models.loaded import ModelOptions

UNET = "diffusion_pytorch_model.safetensors"


def beside(place: Path, **options: object) -> dict[str, Ignored]:
    found = ignored(load_model(str(place), ModelOptions(**options)))
    assert found is not None
    return {one.name: one for one in found}


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_sd(tmp_path_factory.mktemp("sd"))


@pytest.fixture
def sd(whole: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(whole, tmp_path / "sd"))


@pytest.fixture
def overfit(tmp_path: Path) -> Path:
    return Path(shutil.copytree(MODELS / "overfit", tmp_path / "overfit"))


@pytest.mark.parametrize("name", ["overfit", "twin", "ambient"])
def test_of_a_whole_pixel_pipeline_nothing_is_ignored(name):
    assert beside(MODELS / name) == {}


def test_of_a_whole_latent_pipeline_nothing_is_ignored(sd):
    assert beside(sd) == {}


def test_parts_that_only_generation_needs_are_one_entry_each(sd):
    (sd / "safety_checker").mkdir()
    for name, size in (("config.json", 2), ("model.safetensors", 100)):
        (sd / "safety_checker" / name).write_bytes(b"x" * size)
    (sd / "something").mkdir()
    found = beside(sd)
    assert set(found) == {"safety_checker/", "something/"}
    assert (found["safety_checker/"].files, found["safety_checker/"].bytes) == (2, 102)
    assert "judges finished images" in str(found["safety_checker/"].reason)
    assert found["something/"] == Ignored("something/", 0, 0, None)


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("unet/diffusion_pytorch_model.bin", "never loaded"),
        ("unet/diffusion_pytorch_model.fp16.bin", "never loaded"),
        ("unet/diffusion_pytorch_model.bin.index.json", "lists pickles"),
        ("unet/diffusion_flax_model.msgpack", "another library"),
        ("unet/diffusion_pytorch_model.safetensors.index.fp16.json", "not read"),
        ("text_encoder/pytorch_model.bin", "never loaded"),
        ("model.ckpt", "never loaded"),
        ("sd-v1-5.safetensors", "not among the weights that are read"),
        ("unet/pipeline.py", "never run"),
        ("README.md", "for people"),
        (".gitattributes", "version control"),
        ("notes", None),
    ],
)
def test_files_beside_those_that_are_read_are_named(sd, name, said):
    (sd / name).write_bytes(b"{}")
    [(found, entry)] = beside(sd).items()
    assert found == name
    assert (entry.files, entry.bytes) == (1, 2)
    assert entry.reason is None if said is None else said in str(entry.reason)


def test_of_two_variants_the_one_that_is_not_asked_for_is_ignored(sd):
    plain, half = sd / "unet" / UNET, sd / "unet" / UNET.replace(".", ".fp16.")
    shutil.copy(plain, half)
    assert beside(sd)[f"unet/{half.name}"].reason == "the variant fp16; --variant fp16 reads it"
    found = beside(sd, variant="fp16")
    assert list(found) == [f"unet/{plain.name}"]
    assert found[f"unet/{plain.name}"].reason == (
        "the plain weights; without --variant they are read"
    )


@pytest.mark.parametrize("variant", [None, "fp16"])
def test_shards_and_their_index_are_read_and_what_they_leave_over_is_ignored(sd, variant):
    folder, middle = sd / "unet", "" if variant is None else f".{variant}"
    tensors = load_file(folder / UNET)
    names = sorted(tensors)
    places = {}
    for number, half in enumerate((names[::2], names[1::2]), start=1):
        shard = f"diffusion_pytorch_model{middle}-0000{number}-of-00002.safetensors"
        save_file({name: tensors[name] for name in half}, folder / shard, metadata={"format": "pt"})
        places |= dict.fromkeys(half, shard)
    index = {"metadata": {"total_size": 0}, "weight_map": places}
    ending = "json" if variant is None else f"{variant}.json"
    (folder / f"{UNET}.index.{ending}").write_text(json.dumps(index))
    assert list(beside(sd, variant=variant)) == [f"unet/{UNET}"]


def test_what_a_training_leaves_beside_a_model_is_told_as_such(overfit):
    (overfit / "training.json").write_text("{}")
    (overfit / "loss.csv").write_text("step,loss")
    for folder in ("checkpoints", "samples", "noisy"):
        (overfit / folder).mkdir()
    found = beside(overfit)
    assert set(found) == {"training.json", "loss.csv", "checkpoints/", "samples/", "noisy/"}
    assert all(one.reason for one in found.values())
    shutil.copy(MODELS / "ambient" / "ambient.json", overfit)
    assert "noisy/" not in beside(overfit)


def test_a_network_inside_a_pipeline_is_asked_about_its_own_folder(overfit):
    (overfit / "unet" / "old.safetensors").write_bytes(b"")
    assert list(beside(overfit / "unet")) == ["old.safetensors"]


def test_links_that_lead_elsewhere_or_nowhere_are_named_and_not_followed(sd):
    (sd / "all").symlink_to("/")
    (sd / "unet" / "loop").symlink_to(sd)
    (sd / "gone").symlink_to(sd / "nowhere")
    (sd / "itself").symlink_to(sd / "itself")
    found = beside(sd)
    assert set(found) == {"all/", "unet/loop/", "gone", "itself"}
    assert {one.bytes for one in found.values()} == {0}
    assert found["all/"].reason == "a link that leads to another folder"


def test_a_cache_of_links_as_the_hub_keeps_it_is_read_through(sd, tmp_path):
    stored = tmp_path / "blobs"
    stored.mkdir()
    for number, file in enumerate(path for path in sd.rglob("*") if path.is_file()):
        shutil.move(file, stored / str(number))
        file.symlink_to(stored / str(number))
    (sd / "model.ckpt").symlink_to(stored / "0")
    assert list(beside(sd)) == ["model.ckpt"]


def test_a_pipe_or_a_name_that_is_no_text_does_no_harm(sd):
    os.mkfifo(sd / "pipe")
    (Path(os.fsdecode(os.fsencode(sd) + b"/\xff[x]*.bin"))).write_bytes(b"x")
    assert set(beside(sd)) == {"pipe", "\udcff[x]*.bin"}


def test_where_the_model_is_one_file_or_no_folder_nothing_is_listed(whole, tmp_path):
    unet = load_model(str(whole), ModelOptions()).denoiser.pipeline.unet
    name, one = next((k, v) for k, v in unet.named_modules() if k.endswith("to_q"))
    tensors = {
        f"unet.{name}.lora_A.weight": one.weight[:2].clone(),
        f"unet.{name}.lora_B.weight": one.weight[:, :2].clone(),
    }
    folder = tmp_path / "downloads"
    folder.mkdir()
    save_file(tensors, folder / "style.safetensors", metadata={"format": "pt"})
    (folder / "holiday.jpg").write_bytes(b"x")
    options = ModelOptions(base=str(whole))
    assert ignored(load_model(str(folder / "style.safetensors"), options)) is None
    assert list(beside(folder, base=str(whole))) == ["holiday.jpg"]
