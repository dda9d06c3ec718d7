"""Models in one file answer as the folders that they were made of, whatever the layout."""

import json
from functools import cache
from pathlib import Path

import pytest
import torch
from diffusers import StableDiffusionInpaintPipeline, StableDiffusionXLInpaintPipeline
from single_files import HELD, NETWORK, T5, VAE, of_class, single, write
from single_names import Tensors, open_clip
from tiny import write_sd, write_sdxl
from tiny_families import WRITERS
from torch import Tensor

from memaudit.errors import ModelError
from memaudit.models.describing import describe
from memaudit.models.load import load_model
from memaudit.models.loaded import Loaded, ModelOptions
from memaudit.models.provenance import Choice
from memaudit.models.weights import sha256_file

CAPTIONS = ["a cat", "two cats on a mat"]
SIGMAS = torch.tensor([0.5, 2.0])


@pytest.fixture(scope="module", params=HELD)
def folder(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return WRITERS[request.param](tmp_path_factory.mktemp(request.param))


@pytest.fixture(scope="module")
def sd(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_sd(tmp_path_factory.mktemp("sd"))


def opened(file: Path, base: Path, **more: object) -> Loaded:
    return load_model(str(file), ModelOptions(base=str(base), resolution=32, **more))


def answers(loaded: Loaded) -> tuple[Tensor, Tensor]:
    """What a model makes of noisy latents, and its VAE of an image."""
    denoiser, seeded = loaded.denoiser, torch.Generator().manual_seed(0)
    x = torch.randn((2, *denoiser.shape), generator=seeded)
    image = torch.randint(0, 256, (1, 3, 32, 32), dtype=torch.uint8, generator=seeded)
    with torch.no_grad():
        return denoiser.denoise(x, SIGMAS, CAPTIONS), denoiser.encode(image)


@cache
def expected(folder: Path) -> tuple[Tensor, Tensor]:
    """The answers of a folder."""
    return answers(load_model(str(folder), ModelOptions(resolution=32)))


def expect_same(file: Path, folder: Path) -> Loaded:
    """Hold that a file answers exactly as a folder, which gives what the file lacks."""
    made = opened(file, folder)
    for ours, theirs in zip(answers(made), expected(folder), strict=True):
        assert torch.equal(ours, theirs)
    return made


def class_of(folder: Path) -> str:
    name: str = json.loads((folder / "model_index.json").read_text())["_class_name"]
    return name


def test_a_file_answers_as_its_folder(folder: Path, tmp_path: Path) -> None:
    file = write(tmp_path / "model.safetensors", of_class(folder))
    said = expect_same(file, folder).provenance
    name = class_of(folder)
    parts = said.details["single_file"]["parts"]
    assert {part for part, where in parts.items() if where == file.name} == HELD[name].keys()
    assert said.weights[file.name] == sha256_file(file)
    of_base = {part for part, where in parts.items() if where == "base"}
    assert {name.split("/")[0] for name in said.weights if name != file.name} == of_base
    assert said.base == str(folder)


def test_a_network_alone_answers_without_a_prefix(folder: Path, tmp_path: Path) -> None:
    [(part, (_, inverse)), *_] = HELD[class_of(folder)].items()
    tensors = single(folder, {part: ("", inverse)})
    expect_same(write(tmp_path / "network.safetensors", tensors), folder)


def test_a_network_under_the_names_of_diffusers_is_read_as_it_is(folder: Path) -> None:
    [file] = [*folder.glob("unet/*.safetensors"), *folder.glob("transformer/*.safetensors")]
    expect_same(file, folder)


@pytest.mark.parametrize("prefix", ["diffusion_model.", NETWORK])
def test_the_names_of_a_network_may_begin_with_anything(
    sd: Path, tmp_path: Path, prefix: str
) -> None:
    tensors = single(sd, {"unet": (prefix, HELD["StableDiffusionPipeline"]["unet"][1])})
    expect_same(write(tmp_path / "network.safetensors", tensors), sd)


@pytest.mark.parametrize("writer", [write_sd, write_sdxl])
def test_a_file_for_inpainting_answers_as_its_folder(writer, tmp_path: Path) -> None:
    kinds = {write_sd: StableDiffusionInpaintPipeline, write_sdxl: StableDiffusionXLInpaintPipeline}
    folder = writer(tmp_path / "folder", kinds[writer], channels=9)
    file = write(tmp_path / "model.safetensors", of_class(folder))
    made = opened(file, folder)
    latents = torch.zeros(1, *made.denoiser.shape)
    assert type(made.denoiser).__name__ == "InpaintingDenoiser"
    plain = load_model(str(folder), ModelOptions(resolution=32)).denoiser
    with torch.no_grad():
        answer, expected = (d.denoise(latents, SIGMAS[:1], [""]) for d in (made.denoiser, plain))
    assert torch.equal(answer, expected)


def test_shards_are_one_file_by_each_of_them_and_by_their_index(sd: Path, tmp_path: Path) -> None:
    tensors = of_class(sd)
    names = sorted(tensors)
    halves = {f"m-0000{k}-of-00002.safetensors": names[start::2] for k, start in ((1, 0), (2, 1))}
    for name, held in halves.items():
        write(tmp_path / name, {each: tensors[each] for each in held})
    index = {"weight_map": {each: name for name, held in halves.items() for each in held}}
    (tmp_path / "m.safetensors.index.json").write_text(json.dumps(index))
    for name in (*halves, "m.safetensors.index.json"):
        assert expect_same(tmp_path / name, sd).provenance.weights.keys() == halves.keys()


def test_what_nothing_needs_is_passed_over_and_counted(sd: Path, tmp_path: Path) -> None:
    steps = ("betas", "alphas_cumprod", "posterior_mean_coef1")
    harmless = {
        **{name: torch.ones(1000) for name in steps},
        "cond_stage_model.transformer.text_model.embeddings.position_ids": torch.arange(77)[None],
        "global_step": torch.tensor(7),
    }
    file = write(tmp_path / "model.safetensors", of_class(sd) | harmless)
    assert expect_same(file, sd).provenance.details["single_file"]["unused"] == {
        "count of training steps": 1,
        "counts from 0": 1,
        "noise schedule": 3,
    }


def test_the_names_of_an_old_text_encoder_are_understood(sd: Path, tmp_path: Path) -> None:
    tensors = {name.replace(".text_model.", "."): one for name, one in of_class(sd).items()}
    expect_same(write(tmp_path / "model.safetensors", tensors), sd)


@pytest.mark.parametrize("prefix", ["cond_stage_model.model.", "conditioner.embedders.0.model."])
def test_an_open_clip_is_the_text_encoder_of_stable_diffusion_2(
    sd: Path, tmp_path: Path, prefix: str
) -> None:
    held = {**HELD["StableDiffusionPipeline"], "text_encoder": (prefix, open_clip)}
    unused = {
        f"{prefix}transformer.resblocks.23.ln_1.weight": torch.ones(32),
        f"{prefix}text_projection": torch.ones(32, 32),
    }
    file = write(tmp_path / "model.safetensors", single(sd, held) | unused)
    assert expect_same(file, sd).provenance.details["single_file"]["unused"] == {
        "Stable Diffusion 2 hears the layer before the last": 1,
        "the encoder is heard before its projection": 1,
        "training of CLIP alone": 1,
    }


def test_the_first_clip_of_stable_diffusion_3_has_the_identity_where_it_has_no_projection(
    tmp_path: Path,
) -> None:
    folder = WRITERS["StableDiffusion3Pipeline"](tmp_path / "folder")
    name = "text_encoders.clip_l.transformer.text_projection.weight"
    tensors = of_class(folder)
    del tensors[name]
    file = write(tmp_path / "model.safetensors", tensors)
    encoder = opened(file, folder).denoiser.pipeline.text_encoder
    assert torch.equal(encoder.text_projection.weight, torch.eye(32))


def test_stable_diffusion_3_goes_without_t5_where_file_and_base_do(tmp_path: Path) -> None:
    folder = WRITERS["StableDiffusion3Pipeline"](tmp_path / "with")
    tensors = {name: one for name, one in of_class(folder).items() if not name.startswith(T5)}
    file = write(tmp_path / "model.safetensors", tensors)
    assert opened(file, folder).provenance.details["single_file"]["parts"]["text_encoder_3"] == (
        "base"
    )
    index = folder / "model_index.json"
    without = json.loads(index.read_text()) | {"text_encoder_3": [None, None]}
    index.write_text(json.dumps(without))
    made = opened(file, folder)
    assert made.denoiser.pipeline.text_encoder_3 is None
    assert "text_encoder_3" not in made.provenance.details["single_file"]["parts"]


def averages(tensors: Tensors) -> Tensors:
    """Those of LitEma, which leaves dots out of names; here they are twice the weights."""
    return {
        "model_ema.diffusion_model" + name.removeprefix(NETWORK).replace(".", ""): 2 * one
        for name, one in tensors.items()
        if name.startswith(NETWORK)
    }


def test_whole_averages_are_audited_unless_the_others_are_asked_for(
    sd: Path, tmp_path: Path
) -> None:
    tensors = of_class(sd)
    counts = {"model_ema.decay": torch.tensor(0.9), "model_ema.num_updates": torch.tensor(3)}
    file = write(tmp_path / "model.safetensors", tensors | averages(tensors) | counts)
    twice = {name: 2 * one if name.startswith(NETWORK) else one for name, one in tensors.items()}
    alone = opened(write(tmp_path / "averages.safetensors", twice), sd)
    for asked, why in ((None, "default"), ("ema", "asked")):
        made = opened(file, sd, weights=asked)
        assert torch.equal(answers(made)[0], answers(alone)[0])
        assert made.provenance.choices == (Choice("unet", "ema", "model_ema.*", ("model.*",), why),)
    unused = made.provenance.details["single_file"]["unused"]
    assert unused["weights that are not audited"] == len(averages(tensors))
    for asked, why in (("raw", "asked"), ("plain", "plain")):
        made = opened(file, sd, weights=asked)
        assert torch.equal(answers(made)[0], expected(sd)[0])
        assert made.provenance.choices == (Choice("unet", "raw", "model.*", ("model_ema.*",), why),)


def test_averages_that_are_not_whole_are_not_passed_over_in_silence(
    sd: Path, tmp_path: Path
) -> None:
    tensors = of_class(sd)
    whole = averages(tensors)
    for broken in (
        dict(list(whole.items())[1:]),
        whole | {"model_ema.diffusion_modelmore": torch.ones(1)},
        {name: one[None] for name, one in whole.items()},
    ):
        file = write(tmp_path / "model.safetensors", tensors | broken)
        for asked in (None, "ema"):
            with pytest.raises(ModelError, match="used unless --weights raw asks for the others"):
                opened(file, sd, weights=asked)
        assert torch.equal(answers(opened(file, sd, weights="raw"))[0], expected(sd)[0])


def test_a_file_without_averages_refuses_to_choose(sd: Path, tmp_path: Path) -> None:
    file = write(tmp_path / "model.safetensors", of_class(sd))
    with pytest.raises(ModelError, match=r"--weights ema: .* holds no EMA weights beside raw ones"):
        opened(file, sd, weights="ema")


def test_names_of_wrappers_are_dropped_and_said(sd: Path, tmp_path: Path) -> None:
    tensors = {
        name.replace(NETWORK, f"{NETWORK}_orig_mod."): one for name, one in of_class(sd).items()
    }
    said = expect_same(write(tmp_path / "model.safetensors", tensors), sd).provenance
    assert said.details["dropped_prefixes"] == {"unet": ["_orig_mod"]}


def test_the_parts_of_a_file_are_told_with_their_sizes(sd: Path, tmp_path: Path) -> None:
    tensors = {name: one for name, one in of_class(sd).items() if not name.startswith(VAE)}
    file = write(tmp_path / "model.safetensors", tensors)
    inspection = describe(opened(file, sd))
    sizes = {part.name: part.bytes for part in inspection.parts}
    unet = sum(one.nbytes for name, one in tensors.items() if name.startswith(NETWORK))
    assert sizes["unet"] == unet
    assert sizes["vae"] == (sd / "vae" / "diffusion_pytorch_model.safetensors").stat().st_size
    told = {one.name: (one.part, one.bytes) for one in inspection.weights}
    assert told == {
        "model.safetensors": (None, sum(one.nbytes for one in tensors.values())),
        "vae/diffusion_pytorch_model.safetensors": ("vae", sizes["vae"]),
    }
    assert inspection.bytes == sum(size for _, size in told.values())


def test_a_vae_of_half_precision_is_read_in_float32(sd: Path, tmp_path: Path) -> None:
    tensors = {
        name: one.half() if name.startswith(VAE) else one for name, one in of_class(sd).items()
    }
    made = opened(write(tmp_path / "model.safetensors", tensors), sd, dtype="bfloat16")
    assert made.denoiser.pipeline.vae.dtype == torch.float32
    assert made.denoiser.pipeline.unet.dtype == torch.bfloat16
    assert made.provenance.details["single_file"]["formats"].keys() == {"F16", "F32"}


def test_a_base_gives_no_more_than_the_file_lacks(sd: Path, tmp_path: Path) -> None:
    base = tmp_path / "base"
    for path in sd.rglob("*"):
        if path.is_file() and path.suffix != ".safetensors":
            copy = base / path.relative_to(sd)
            copy.parent.mkdir(parents=True, exist_ok=True)
            copy.write_bytes(path.read_bytes())
    file = write(tmp_path / "model.safetensors", of_class(sd))
    said = opened(file, base).provenance
    assert said.weights == {file.name: sha256_file(file)}
    digests = said.details["single_file"]["configuration_files"]
    assert digests["unet/config.json"] == sha256_file(base / "unet" / "config.json")
    assert digests.keys() >= {"model_index.json", "scheduler/scheduler_config.json"}
    assert any(name.startswith("tokenizer/") for name in digests)
