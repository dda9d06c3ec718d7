"""Scans of tiny random text-to-image pipelines and of LoRA adapters trained for them."""

import json
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pandas as pd
import pytest
import torch
from diffusers import StableDiffusionInpaintPipeline, StableDiffusionXLInpaintPipeline
from PIL import Image as Picture
from safetensors.torch import load_file, save_file
from tiny import write_sd, write_sdxl

from memaudit.attacks.reconstruction import ODE
from memaudit.audit import scan
from memaudit.audit.captions import _others
from memaudit.audit.plan import estimate
from memaudit.comparison import compare
from memaudit.config import (
    MEMBERSHIP,
    Base,
    CompareConfig,
    LossName,
    Noise,
    Restoration,
    ScanConfig,
    TrainConfig,
)
from memaudit.errors import ConfigError, ModelError, RunDirectoryError
from memaudit.models.families.adapters import ADAPTERS
from memaudit.models.families.lora import RECORD
from memaudit.models.load import load_model
from memaudit.models.loaded import ModelOptions
from memaudit.records import COPY, Image
from memaudit.report.remarks import remarks
from memaudit.run.record import CaptionsRecord
from memaudit.statistics.probes import Probe, probes_in
from memaudit.train.loop import train

WriteFolder = Callable[[str, list[Image]], Path]
MEMBERS, CONTROLS = 4, 6


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_sd(tmp_path_factory.mktemp("sd"))


@pytest.fixture
def config(base: Path, tiles: list[Image], write_folder: WriteFolder, tmp_path: Path) -> ScanConfig:
    members = write_folder("members", tiles[:MEMBERS])
    controls = write_folder("controls", tiles[MEMBERS : MEMBERS + CONTROLS])
    for folder in (members, controls):
        write_captions(folder)
    return ScanConfig(
        model=str(base),
        dataset=str(members),
        controls=str(controls),
        out=str(tmp_path / "run"),
        noise=Noise(sigmas=(1.0, 4.0), draws=1),
        embedder="pixels",
        attacks=("none",),
        steps=2,
        self_check=False,  # the weights are random
        images=0,
    )


def write_captions(folder: Path) -> None:
    files = sorted(path.name for path in folder.glob("*.png"))
    captions = [f"picture number {k}" for k in range(len(files))]
    table = pd.DataFrame({"file_name": files, "text": captions})
    table.to_csv(folder / "metadata.csv", index=False)


def train_lora(model: str, dataset: str, out: Path, loss: LossName = "clean") -> Path:
    return train(
        TrainConfig(
            dataset=dataset,
            out=str(out),
            loss=loss,
            sigma_n=0.5 if loss == "ambient" else None,
            base=Base(model, rank=2),
            steps=4,
            batch_size=2,
            lr=1e-2,
            warmup=0,
            ema=0.5,
        )
    )


@pytest.fixture(scope="module")
def adapters(
    base: Path, tiles: list[Image], tmp_path_factory: pytest.TempPathFactory
) -> dict[LossName, Path]:
    """Adapters for the base trained on the members, by loss."""
    root = tmp_path_factory.mktemp("adapters")
    (root / "members").mkdir()
    for k, tile in enumerate(tiles[:MEMBERS]):
        Picture.fromarray(tile).save(root / "members" / f"{k:03d}.png")
    write_captions(root / "members")
    losses: tuple[LossName, ...] = ("clean", "ambient")
    return {
        loss: train_lora(str(base), str(root / "members"), root / loss, loss) for loss in losses
    }


@pytest.fixture
def lora(adapters: dict[LossName, Path], tmp_path: Path) -> Path:
    """Adapters of the test's own, trained on clean latents."""
    return shutil.copytree(adapters["clean"], tmp_path / "lora")


@pytest.fixture
def noisy_lora(adapters: dict[LossName, Path], tmp_path: Path) -> Path:
    """Adapters of the test's own, trained on noisy latents."""
    return shutil.copytree(adapters["ambient"], tmp_path / "noisy-lora")


def similarities(config: ScanConfig, out: Path) -> pd.Series:
    scores = scan(replace(config, out=str(out))).scores
    return scores.set_index(["example_id", "attack", "input", "level"])["own_similarity"]


def test_latents_of_images_upside_down_are_asked_for_too(config: ScanConfig) -> None:
    result = scan(replace(config, attacks=(MEMBERSHIP,)))
    rows = result.scores[result.scores["attack"] == MEMBERSHIP]
    assert len(rows) == 2 * (MEMBERS + CONTROLS)
    assert rows["mirrored_residual"].abs().between(1e-6, 100).all()


@pytest.mark.parametrize("write", [write_sd, write_sdxl], ids=["sd", "sdxl"])
def test_a_pipeline_is_scanned_in_the_latents_of_its_vae(
    config: ScanConfig, write: Callable[[Path], Path], tmp_path: Path
) -> None:
    result = scan(replace(config, model=str(write(tmp_path / "pipeline"))))
    assert len(result.findings) == MEMBERS + CONTROLS
    assert len(result.scores) == 2 * (MEMBERS + CONTROLS)
    assert result.scores["own_similarity"].notna().all()
    assert result.prepared.model.family == "stable-diffusion"
    assert {name.split("/")[0] for name in result.prepared.model.weights} >= {
        "unet",
        "vae",
        "text_encoder",
    }
    assert result.prepared.data.resolution == "32x32"
    assert result.summary.conduct.power is not None


def test_adapters_are_scanned_with_the_base_that_their_record_names(
    config: ScanConfig, base: Path, lora: Path, tmp_path: Path
) -> None:
    plain = similarities(config, tmp_path / "plain")
    tuned = scan(replace(config, model=str(lora), out=str(tmp_path / "tuned")))
    after = tuned.scores.set_index(["example_id", "attack", "input", "level"])["own_similarity"]
    assert (plain - after).abs().max() > 1e-4
    said = tuned.prepared.model
    assert said.base == str(base)
    assert list(said.adapters) == [ADAPTERS]
    assert said.ambient is None


def test_the_noisy_latents_beside_ambient_adapters_are_queried(
    config: ScanConfig, noisy_lora: Path
) -> None:
    result = scan(replace(config, model=str(noisy_lora)))
    assert result.prepared.copies.images == MEMBERS
    assert probes_in(result.scores) == [Probe(ODE), Probe(ODE, COPY)]
    noisy = Probe(ODE, COPY).rows(result.scores)
    assert noisy["copy_correlation"].between(-1, 1).all()
    assert result.summary.conduct.noisy is not None
    assert result.summary.conduct.noisy.sigma_n == 0.5


def test_what_the_model_is_told_changes_what_comes_back(config: ScanConfig, tmp_path: Path) -> None:
    found = {
        policy: similarities(replace(config, prompt=policy), tmp_path / policy)
        for policy in ("own", "empty", "other")
    }
    for one, other in (("own", "empty"), ("own", "other"), ("empty", "other")):
        assert (found[one] - found[other]).abs().max() > 1e-5


def test_images_without_captions_are_told_nothing_and_that_is_said(
    config: ScanConfig, tmp_path: Path
) -> None:
    empty = similarities(replace(config, prompt="empty"), tmp_path / "empty")
    for folder in (config.data.dataset, config.data.controls):
        (Path(str(folder)) / "metadata.csv").unlink()
    result = scan(config)
    own = result.scores.set_index(["example_id", "attack", "input", "level"])["own_similarity"]
    assert own.equals(empty)
    assert result.prepared.captions == CaptionsRecord("own", 0)
    assert "it was told nothing" in " ".join(remarks(result.record))


def test_runs_that_were_told_otherwise_are_compared_with_a_remark(
    config: ScanConfig, tmp_path: Path
) -> None:
    runs = []
    for policy in ("own", "empty"):
        runs.append(str(tmp_path / policy))
        scan(replace(config, prompt=policy, out=runs[-1]))
    said = compare(CompareConfig(tuple(runs))).report()["remarks"]
    assert any(one.startswith("captions differ: own of 10 images in") for one in said)


def test_captions_on_one_side_only_are_refused(config: ScanConfig) -> None:
    (Path(str(config.data.controls)) / "metadata.csv").unlink()
    with pytest.raises(ConfigError, match="100% of the members and 0% of the controls"):
        scan(config)


def test_another_caption_takes_at_least_two(config: ScanConfig) -> None:
    for folder in (config.data.dataset, config.data.controls):
        (Path(str(folder)) / "metadata.csv").unlink()
    with pytest.raises(ConfigError, match="--prompt other needs images with different captions"):
        scan(replace(config, prompt="other"))


def test_images_are_generated_from_captions_of_controls(config: ScanConfig, tmp_path: Path) -> None:
    for policy in ("own", "empty"):
        scan(replace(config, prompt=policy, generate=2, out=str(tmp_path / policy)))
    told, untold = (
        pd.read_parquet(tmp_path / policy / "generated/part-00000.parquet")
        for policy in ("own", "empty")
    )
    assert len(told) == 2
    assert any((a != b).any() for a, b in zip(told["vector"], untold["vector"], strict=True))


def test_adapters_of_elsewhere_need_the_name_of_their_base(
    config: ScanConfig, base: Path, lora: Path, tmp_path: Path
) -> None:
    with_record = similarities(replace(config, model=str(lora)), tmp_path / "with")
    (lora / RECORD).unlink()
    with pytest.raises(ModelError, match="give it with --base-model"):
        scan(replace(config, model=str(lora)))
    named = replace(config, model=str(lora), base_model=str(base))
    assert similarities(named, tmp_path / "named").equals(with_record)


def test_a_base_that_moved_is_asked_for(config: ScanConfig, base: Path, tmp_path: Path) -> None:
    moved = shutil.copytree(base, tmp_path / "moved")
    lora = train_lora(str(moved), config.data.dataset, tmp_path / "lora")
    shutil.rmtree(moved)
    with pytest.raises(Exception, match="name it with --base-model") as caught:
        load_model(str(lora), ModelOptions(local_files_only=True))
    assert caught.type.__module__ == "memaudit.errors"
    assert load_model(str(lora), ModelOptions(base=str(base))).folder == lora


def test_adapters_of_another_network_are_refused(lora: Path, tmp_path: Path) -> None:
    other = write_sdxl(tmp_path / "xl")
    with pytest.raises(ModelError, match=r"the adapters in .* put into .* --base-model must name"):
        load_model(str(lora), ModelOptions(base=str(other)))


def test_a_base_for_what_is_no_adapter_is_refused(config: ScanConfig, base: Path) -> None:
    with pytest.raises(ConfigError, match="--base-model is the pipeline of LoRA adapters"):
        scan(replace(config, base_model=str(base)))


def test_a_network_for_inpainting_is_refused(base: Path, tmp_path: Path) -> None:
    folder = shutil.copytree(base, tmp_path / "inpainting")
    loaded = load_model(str(base), ModelOptions()).denoiser
    unet = type(loaded.pipeline.unet).from_config({**loaded.pipeline.unet.config, "in_channels": 9})
    torch.manual_seed(0)
    unet.save_pretrained(folder / "unet")
    with pytest.raises(ModelError, match="takes 9 channels, expected the 4"):
        load_model(str(folder), ModelOptions())


def test_a_caption_policy_for_a_model_that_listens_to_none_is_refused(config: ScanConfig) -> None:
    memorizer = replace(config, model=f"closed-form:{config.data.dataset}", prompt="empty")
    with pytest.raises(ConfigError, match="--prompt empty is for text-to-image models"):
        scan(memorizer)


def test_the_cost_of_a_scan_of_adapters_is_told(config: ScanConfig, noisy_lora: Path) -> None:
    plan = estimate(replace(config, model=str(noisy_lora)))
    assert plan.evaluations == (MEMBERS + CONTROLS) * 2 * 2 * config.attack.steps


def test_captions_add_levels_to_a_scan_and_to_its_plan(config: ScanConfig, tmp_path: Path) -> None:
    for prompt, most in (("own", 4), ("empty", 2), ("other", 2)):
        noise = Noise(levels=2, draws=1)
        asked = replace(config, prompt=prompt, noise=noise, out=str(tmp_path / prompt))
        plan = estimate(asked)
        assert (plan.levels, plan.levels_at_most) == (most, 4)
        assert plan.queries == (MEMBERS + CONTROLS) * most
        levels = scan(asked).prepared.levels
        assert len(levels.sigmas) + len(levels.skipped) == most
    assert estimate(config).levels_at_most == len(config.attack.noise.sigmas)


def test_what_the_model_is_told_and_its_base_are_part_of_the_question(config: ScanConfig) -> None:
    asked = config.asked()
    assert asked["attack"]["prompt"] == "own"
    assert asked["target"]["base_model"] is None
    assert replace(config, prompt="empty").digest != config.digest
    assert replace(config, base_model="base").digest != config.digest
    assert json.dumps(asked)


def test_adapters_that_fit_in_part_are_refused(lora: Path) -> None:
    tensors = load_file(lora / ADAPTERS)
    layer = next(iter(tensors)).partition(".lora")[0]
    for name in [name for name in tensors if name.startswith(layer)]:
        tensors[name.replace("to_", "of_another_")] = tensors[name].clone()
    save_file(tensors, lora / ADAPTERS)
    with pytest.raises(ModelError, match=f"{len(tensors) - 2} of {len(tensors)} tensors"):
        load_model(str(lora), ModelOptions())


@pytest.mark.parametrize("part", ["text_encoder", "unet", "vae"])
def test_a_part_that_lacks_weights_is_refused(base: Path, tmp_path: Path, part: str) -> None:
    folder = shutil.copytree(base, tmp_path / "whole")
    [file] = (folder / part).glob("*.safetensors")
    tensors = load_file(file)
    save_file(dict(list(tensors.items())[3:]), file, metadata={"format": "pt"})
    with pytest.raises(ModelError, match="missing, left over or of another shape"):
        load_model(str(folder), ModelOptions())


def test_a_part_that_names_another_model_is_refused(base: Path, tmp_path: Path) -> None:
    folder = shutil.copytree(base, tmp_path / "redirected")
    asks = {"base_model_name_or_path": "someone/else", "peft_type": "LORA"}
    (folder / "text_encoder/adapter_config.json").write_text(json.dumps(asks))
    with pytest.raises(ModelError, match=r"no adapter_config\.json, which names other models"):
        load_model(str(folder), ModelOptions(local_files_only=True))


@pytest.mark.parametrize(
    ("file", "change", "message"),
    [
        ("model_index.json", {"_class_name": ["my_pipeline", "X"]}, "no code of a model is run"),
        ("scheduler/scheduler_config.json", {"_class_name": 5}, "names no scheduler of diffusers"),
        ("unet/config.json", {"sample_size": None}, "say the side of the images"),
        ("vae/config.json", {"scaling_factor": None}, "expected a number above 0"),
        ("vae/config.json", {"latent_channels": 8}, "do not fit|cannot be used"),
    ],
)
def test_a_damaged_pipeline_is_refused_in_words(
    base: Path, tmp_path: Path, file: str, change: dict[str, object], message: str
) -> None:
    folder = shutil.copytree(base, tmp_path / "damaged")
    content = json.loads((folder / file).read_text())
    (folder / file).write_text(json.dumps({**content, **change}))
    with pytest.raises(ModelError, match=message):
        load_model(str(folder), ModelOptions())


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("[]", "expected a JSON object"),
        ('{"model": 5}', "expected text"),
        ('{"model": "", "revision": null}', "give it with --base-model"),
        ('{"model": "m", "variant": "../../x"}', r"lora.json gives the variant '../../x', expecte"),
        ('{"model": "m", "variant": "a/b"}', "expected a plain word such as fp16"),
        ('{"model": "m", "revision": "../../x"}', "gives the revision .*, expected a commit"),
    ],
)
def test_a_damaged_record_of_adapters_is_refused_in_words(
    lora: Path, content: str, message: str
) -> None:
    (lora / RECORD).write_text(content)
    with pytest.raises(ModelError, match=message):
        load_model(str(lora), ModelOptions())


def test_adapters_without_tensors_are_refused(lora: Path) -> None:
    save_file({}, lora / ADAPTERS)
    with pytest.raises(ModelError, match="holds adapters of 0 layers, expected 1 to"):
        load_model(str(lora), ModelOptions())


def test_no_dropout_is_left_on(lora: Path) -> None:
    pipeline = load_model(str(lora), ModelOptions()).denoiser.pipeline
    parts = [part for part in pipeline.components.values() if isinstance(part, torch.nn.Module)]
    assert len(parts) == 3
    assert not any(module.training for part in parts for module in part.modules())


def test_the_base_is_found_from_another_directory(
    config: ScanConfig, base: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(base.parent)
    lora = train_lora(base.name, config.data.dataset, tmp_path / "lora")
    monkeypatch.chdir(tmp_path)
    loaded = load_model(str(lora), ModelOptions(local_files_only=True))
    assert loaded.provenance.base == str(base)


def test_a_pipeline_says_itself_that_it_was_trained_on_noisy_data(
    base: Path, tmp_path: Path
) -> None:
    folder = shutil.copytree(base, tmp_path / "fused")
    (folder / "ambient.json").write_text('{"loss": "ambient", "sigma_n": 0.5, "seed": 0}')
    loaded = load_model(str(folder), ModelOptions())
    assert loaded.ambient is not None
    assert loaded.denoiser.sigma_min == 0.5


def test_a_refused_policy_leaves_the_run_directory_free(config: ScanConfig) -> None:
    (Path(str(config.data.controls)) / "metadata.csv").unlink()
    with pytest.raises(ConfigError, match="--prompt empty"):
        scan(config)
    assert scan(replace(config, prompt="empty")).prepared.captions.policy == "empty"
    write_captions(Path(str(config.data.controls)))
    with pytest.raises(RunDirectoryError, match="--prompt was empty, now own"):
        scan(config)


def test_each_image_is_told_the_next_caption_that_differs() -> None:
    own = {"a": "x", "b": "x", "c": "y", "d": "x"}
    assert _others(own) == {"a": "y", "b": "y", "c": "x", "d": "y"}


def test_hidden_parts_are_restored_in_latents(config: ScanConfig, tmp_path: Path) -> None:
    how = Restoration(draws=1, steps=3)
    plain = {"noise": Noise(), "steps": 10}
    hidden = replace(config, corruption=("mask-half", "mask-box:.5"), restoration=how, **plain)
    scores = scan(hidden).scores
    assert set(scores["attack"]) == {"restoration-mask-half", "restoration-mask-box"}
    assert scores["l2"].between(0.01, 1).all()
    again = scan(replace(hidden, out=str(tmp_path / "again"), batch_size=1)).scores
    keys = ["example_id", "attack", "level", "draw"]
    one, other = (table.set_index(keys).sort_index()["l2"] for table in (scores, again))
    pd.testing.assert_series_equal(one, other, rtol=1e-3, atol=1e-3)


@pytest.mark.parametrize("how", [Restoration(guidance=8), Restoration(strength=0.99)])
def test_options_of_an_inpainting_pipeline_are_refused_for_others(
    config: ScanConfig, how: Restoration
) -> None:
    with pytest.raises(ConfigError, match="are for pipelines for inpainting, and this model is"):
        scan(replace(config, corruption=("mask-half",), restoration=how, noise=Noise(), steps=10))


@pytest.mark.parametrize("kind", ["blur", "downsample"])
def test_what_is_no_mask_is_refused_for_latents(config: ScanConfig, kind: str) -> None:
    with pytest.raises(ConfigError, match=f"--corruption {kind} is for models of pixels"):
        scan(replace(config, corruption=(kind,), noise=Noise(), steps=10))


@pytest.mark.parametrize("kind", ["1", "XL"])
def test_an_inpainting_pipeline_fills_in_what_is_hidden(
    config: ScanConfig, tmp_path: Path, kind: str
) -> None:
    write, pipeline = {
        "1": (write_sd, StableDiffusionInpaintPipeline),
        "XL": (write_sdxl, StableDiffusionXLInpaintPipeline),
    }[kind]
    model = write(tmp_path / "model", kind=pipeline, channels=9)
    asked = Restoration(draws=1, steps=3, guidance=8.0, strength=0.99)
    how = {"corruption": ("mask-box:.5", "noise"), "restoration": asked}
    result = scan(replace(config, model=str(model), **how))
    assert result.prepared.primary.attack == "restoration-mask-box"
    assert set(result.scores["attack"]) == {"restoration-mask-box", ODE}
    assert result.prepared.captions == CaptionsRecord("own", MEMBERS + CONTROLS)
    rows = result.scores[result.scores["attack"] == "restoration-mask-box"]
    how = zip(rows["steps"], rows["guidance"], rows["strength"], rows["draw"], strict=True)
    assert set(how) == {(3, 8.0, 0.99, 0)}
