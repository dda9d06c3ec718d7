"""Which files are loaded is resolved first; exactly those are hashed, and no pickle is opened."""

import json
import os
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from diffusers import UNet2DModel
from safetensors.torch import load_file, save_file
from tiny import write_sd

from memaudit.errors import InputError, ModelError
from memaudit.models.families.stable_diffusion import load_latent
from memaudit.models.load import load_model
from memaudit.models.loaded import ModelOptions
from memaudit.models.weights import sha256_file
from memaudit.similarity.embed import load_embedder

OF_DIFFUSERS, OF_TRANSFORMERS = "diffusion_pytorch_model", "model"
MakeUnet = Callable[..., UNet2DModel]
STEMS = {
    "unet": OF_DIFFUSERS,
    "vae": OF_DIFFUSERS,
    "text_encoder": OF_TRANSFORMERS,
}


class Armed:
    """What leaves a file behind when it is unpickled."""

    def __init__(self, marker: Path) -> None:
        self.marker = marker

    def __reduce__(self) -> tuple[object, tuple[str]]:
        return os.mkdir, (str(self.marker),)


def arm(folder: Path, stem: str, named: str) -> Path:
    """Replace the weights of a folder by a pickle that an index names; return its marker."""
    marker = folder / "was-unpickled"
    weights = folder / f"{stem}.safetensors"
    tensors = load_file(weights)
    (folder / named).parent.mkdir(exist_ok=True)
    torch.save({**tensors, "armed": Armed(marker)}, folder / named)
    weights.unlink()
    write_index(folder, stem, dict.fromkeys(tensors, named))
    return marker


def write_index(folder: Path, stem: str, places: dict[str, str], name: str = "") -> None:
    content = {"metadata": {"total_size": 1}, "weight_map": places}
    path = folder / (name or f"{stem}.safetensors.index.json")
    path.write_text(json.dumps(content), encoding="utf-8")


def shard(folder: Path, stem: str, names: tuple[str, str], index: str = "") -> None:
    """Cut the weights of a folder in two, under names of one's own."""
    tensors = load_file(folder / f"{stem}.safetensors")
    (folder / f"{stem}.safetensors").unlink()
    places = {key: names[k % 2] for k, key in enumerate(tensors)}
    for name in names:
        part = {key: tensors[key] for key in tensors if places[key] == name}
        save_file(part, folder / name, metadata={"format": "pt"})
    write_index(folder, stem, places, index)


def answer(folder: Path, **options: str) -> torch.Tensor:
    x = torch.randn(2, 3, 8, 8, generator=torch.Generator().manual_seed(0))
    denoiser = load_model(str(folder), ModelOptions(**options)).denoiser
    return denoiser.denoise(x, torch.tensor([0.5, 3.0]))


@pytest.mark.parametrize("named", ["weights.bin", "sub/weights.bin", "../weights.safetensors"])
def test_an_index_of_a_unet_reaches_no_pickle_and_nothing_outside(
    make_unet: MakeUnet, tmp_path: Path, named: str
) -> None:
    make_unet().save_pretrained(tmp_path / "model")
    marker = arm(tmp_path / "model", OF_DIFFUSERS, named)
    with pytest.raises(ModelError, match=r"names '.*', expected plain names of \.safetensors"):
        answer(tmp_path / "model")
    assert not marker.exists()


@pytest.mark.parametrize("part", STEMS)
@pytest.mark.parametrize("named", ["weights.bin", "../weights.safetensors"])
def test_an_index_of_any_part_reaches_no_pickle_and_nothing_outside(
    tmp_path: Path, part: str, named: str
) -> None:
    folder = write_sd(tmp_path / "model")
    marker = arm(folder / part, STEMS[part], named)
    with pytest.raises(ModelError, match=r"names '.*', expected plain names of \.safetensors"):
        load_latent(folder, ModelOptions())
    assert not marker.exists()


def test_parts_that_a_pipeline_names_beside_its_own_are_not_opened(tmp_path: Path) -> None:
    folder = write_sd(tmp_path / "model")
    for name in ("image_encoder", "safety_checker", "feature_extractor"):
        (folder / name).mkdir()
        (folder / name / "config.json").write_text("{}")
        index = json.loads((folder / "model_index.json").read_text())
        kind = ["transformers", "CLIPVisionModelWithProjection"]
        (folder / "model_index.json").write_text(json.dumps(index | {name: kind}))
    assert load_latent(folder, ModelOptions()).pipeline.image_encoder is None


@pytest.mark.parametrize("named", [["os", "system"], ["diffusers", "UNet2DModel"]])
def test_a_scheduler_of_no_class_of_diffusers_is_refused(tmp_path: Path, named: list[str]) -> None:
    folder = write_sd(tmp_path / "model")
    file = folder / "scheduler/scheduler_config.json"
    file.write_text(json.dumps(json.loads(file.read_text()) | {"_class_name": named[1]}))
    with pytest.raises(ModelError, match="names no scheduler of diffusers"):
        load_latent(folder, ModelOptions())


def test_shards_are_loaded_and_hashed_and_a_file_that_is_not_loaded_is_not(
    make_unet: MakeUnet, tmp_path: Path
) -> None:
    make_unet().save_pretrained(tmp_path)
    whole = answer(tmp_path)
    decoy = load_file(tmp_path / f"{OF_DIFFUSERS}.safetensors")
    names = ("first.safetensors", "second.safetensors")
    shard(tmp_path, OF_DIFFUSERS, names)
    save_file(
        {key: -value for key, value in decoy.items()}, tmp_path / f"{OF_DIFFUSERS}.safetensors"
    )
    assert torch.equal(answer(tmp_path), whole)
    hashed = load_model(str(tmp_path), ModelOptions()).provenance.weights
    assert hashed == {name: sha256_file(tmp_path / name) for name in names}


def test_shards_of_a_text_encoder_are_loaded_and_hashed(tmp_path: Path) -> None:
    folder = write_sd(tmp_path / "model")
    whole = load_latent(folder, ModelOptions()).pipeline.text_encoder.state_dict()
    shard(folder / "text_encoder", OF_TRANSFORMERS, ("a.safetensors", "b.safetensors"))
    loaded = load_model(str(folder), ModelOptions())
    found = loaded.denoiser.pipeline.text_encoder.state_dict()
    assert all(torch.equal(found[name], whole[name]) for name in whole)
    names = {name for name in loaded.provenance.weights if name.startswith("text_encoder")}
    assert names == {"text_encoder/a.safetensors", "text_encoder/b.safetensors"}


@pytest.mark.parametrize(
    "index",
    [f"{OF_DIFFUSERS}.safetensors.index.fp16.json", f"{OF_DIFFUSERS}.fp16.safetensors.index.json"],
)
@pytest.mark.parametrize("pattern", ["m.fp16-{}.safetensors", "m-{}.fp16.safetensors"])
def test_shards_of_a_variant_are_found_under_new_and_old_names(
    make_unet: MakeUnet, tmp_path: Path, index: str, pattern: str
) -> None:
    make_unet().save_pretrained(tmp_path)
    whole = answer(tmp_path)
    names = (pattern.format("00001-of-00002"), pattern.format("00002-of-00002"))
    shard(tmp_path, OF_DIFFUSERS, names, index)
    assert torch.equal(answer(tmp_path, variant="fp16"), whole)


@pytest.mark.parametrize("variant", ["../x", "a/b", "/x", "..", "", "a\\b", "a\0b", "x" * 65, "ä"])
def test_a_variant_is_a_plain_word(make_unet: MakeUnet, tmp_path: Path, variant: str) -> None:
    make_unet().save_pretrained(tmp_path / "model")
    with pytest.raises(ModelError, match="expected a plain word such as fp16"):
        answer(tmp_path / "model", variant=variant)


@pytest.mark.parametrize("revision", ["../x", "/etc", "a/../b", "", "a//b", "a/", "a\0b", ".x"])
def test_a_revision_leads_nowhere_outside_the_cache(revision: str) -> None:
    with pytest.raises(ModelError, match="expected a commit, or the name of a branch"):
        ModelOptions(revision=revision)


@pytest.mark.parametrize("revision", ["main", "refs/pr/1", "v1.0", "feature/a+b", "0" * 40])
def test_names_of_commits_branches_and_tags_are_revisions(revision: str) -> None:
    assert ModelOptions(revision=revision).revision == revision


def test_links_to_files_are_followed_as_the_cache_of_the_hub_consists_of_them(
    make_unet: MakeUnet, tmp_path: Path
) -> None:
    make_unet().save_pretrained(tmp_path / "blobs")
    (tmp_path / "snapshot").mkdir()
    for file in (tmp_path / "blobs").iterdir():
        (tmp_path / "snapshot" / file.name).symlink_to(file)
    assert torch.equal(answer(tmp_path / "snapshot"), answer(tmp_path / "blobs"))


@pytest.mark.parametrize(
    ("put", "said"),
    [
        (lambda path: path.symlink_to("../../blobs/0123"), "a link that leads nowhere"),
        (lambda path: path.symlink_to(path.name), "a link that leads nowhere"),
        (lambda path: path.mkdir(), "no regular file"),
        (lambda path: path.write_bytes(b"version https://git-lfs.github.com/spec/v1\n"), "Git LFS"),
    ],
)
def test_what_stands_in_place_of_weights_is_named(
    make_unet: MakeUnet, tmp_path: Path, put: Callable[[Path], None], said: str
) -> None:
    make_unet().save_pretrained(tmp_path)
    weights = tmp_path / f"{OF_DIFFUSERS}.safetensors"
    weights.unlink()
    put(weights)
    with pytest.raises(ModelError, match=f"{OF_DIFFUSERS}.safetensors .*{said}.*download"):
        answer(tmp_path)


@pytest.mark.parametrize(
    "content", ["[]", "{", '{"weight_map": []}', '{"weight_map": {}}', '{"weight_map": {"a": 3}}']
)
def test_an_index_that_says_nothing_is_refused(
    make_unet: MakeUnet, tmp_path: Path, content: str
) -> None:
    make_unet().save_pretrained(tmp_path)
    (tmp_path / f"{OF_DIFFUSERS}.safetensors.index.json").write_text(content)
    with pytest.raises(ModelError, match=r"index\.json"):
        answer(tmp_path)


def test_an_index_of_an_embedder_reaches_no_pickle(tmp_path: Path) -> None:
    from transformers import Dinov2Config, Dinov2Model

    config = Dinov2Config(
        hidden_size=16, num_hidden_layers=1, num_attention_heads=2, image_size=28, patch_size=14
    )
    Dinov2Model(config).save_pretrained(tmp_path)
    marker = arm(tmp_path, OF_TRANSFORMERS, "weights.bin")
    with pytest.raises(InputError, match="expected plain names"):
        load_embedder(f"dinov2:{tmp_path}")
    assert not marker.exists()
