"""LoRA fine-tuning of tiny random Stable Diffusion pipelines with real tokenizers."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from diffusers import StableDiffusionPipeline, StableDiffusionXLPipeline
from PIL import Image as Picture
from safetensors.torch import load_file
from tiny import write_sd, write_sdxl

from memaudit.config import Base, Consistency, TrainConfig
from memaudit.data import image_id
from memaudit.errors import ConfigError, DataError
from memaudit.models.ambient import read_ambient
from memaudit.models.families.stable_diffusion import load_latent
from memaudit.models.load import load_model
from memaudit.models.loaded import ModelOptions
from memaudit.records import Image
from memaudit.train.feed import Feed
from memaudit.train.grids import write_grid
from memaudit.train.images import TrainingImages
from memaudit.train.loop import train
from memaudit.train.lora import Lora, adapt
from memaudit.train.losses import LOSSES

WEIGHTS = "pytorch_lora_weights.safetensors"
CPU = torch.device("cpu")


@pytest.fixture(scope="module", params=["sd", "sdxl"])
def base(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp(request.param)
    return write_sd(folder) if request.param == "sd" else write_sdxl(folder)


def asked(base: Path, folder: Path, tiles: list[Image]) -> TrainConfig:
    """A training on six images with captions."""
    data = folder / "data"
    data.mkdir()
    for k, tile in enumerate(tiles[:6]):
        Picture.fromarray(tile).save(data / f"{k:03d}.png")
    files = sorted(path.name for path in data.glob("*.png"))
    captions = [f"picture number {k}" for k in range(len(files))]
    pd.DataFrame({"file_name": files, "text": captions}).to_csv(data / "metadata.csv", index=False)
    return TrainConfig(
        dataset=str(data),
        out=str(folder / "lora"),
        loss="ambient",
        timestep_n=300,
        base=Base(str(base), rank=2),
        steps=6,
        batch_size=3,
        lr=1e-2,
        warmup=0,
        ema=0.5,
        save_every=3,
        device="cpu",
    )


@pytest.fixture
def config(base: Path, tiles: list[Image], tmp_path: Path) -> TrainConfig:
    return asked(base, tmp_path, tiles)


@pytest.fixture(scope="module")
def trained(base: Path, tiles: list[Image], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The finished training of that configuration, to be read only."""
    return train(asked(base, tmp_path_factory.mktemp("trained"), tiles))


@pytest.mark.parametrize(
    ("told", "expected"),
    [(0, "none of the 6 images has a caption"), (4, "2 of the 6 images have no caption")],
)
def test_images_without_a_caption_are_said_before_the_first_step(
    config: TrainConfig, caplog: pytest.LogCaptureFixture, told: int, expected: str
) -> None:
    metadata = Path(config.dataset) / "metadata.csv"
    table = pd.read_csv(metadata)
    table.loc[told:, "text"] = ""
    table.to_csv(metadata, index=False)
    remarks: list[str] = []

    def stop(*_: object) -> None:
        remarks.extend(record.getMessage() for record in caplog.records)
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        train(config, stop)
    [remark] = [one for one in remarks if "caption" in one]
    assert remark.startswith(expected)
    assert "--caption-column" in remark


def test_a_column_of_captions_that_is_empty_is_refused(config: TrainConfig) -> None:
    metadata = Path(config.dataset) / "metadata.csv"
    pd.read_csv(metadata).assign(text="").to_csv(metadata, index=False)
    asked_for = replace(config, data=replace(config.data, caption_column="text"))
    with pytest.raises(DataError, match="none of the 6 images has a caption there"):
        train(asked_for)
    assert not Path(config.out).exists()


def test_captions_of_all_images_are_no_remark(
    config: TrainConfig, caplog: pytest.LogCaptureFixture
) -> None:
    train(replace(config, steps=1))
    assert "caption" not in caplog.text


def learner_and_feed(config: TrainConfig) -> tuple[Lora, Feed]:
    assert config.base is not None
    learner = adapt(config.base, config, CPU)
    sigma_n = learner.schedule.sigma_of_timestep(config.timestep_n or 0)
    settled = replace(config, resolution=32, sigma_n=sigma_n, timestep_n=None)
    return learner, Feed(settled, TrainingImages(settled), learner.denoiser, learner.schedule)


def test_the_trained_adapters_load_into_the_pipeline_they_were_made_for(
    base: Path, trained: Path
) -> None:
    out = trained
    said = json.loads((out / "lora.json").read_text())
    kinds = {"StableDiffusionPipeline": StableDiffusionPipeline}
    kinds["StableDiffusionXLPipeline"] = StableDiffusionXLPipeline
    assert said["model"] == str(base)
    assert said["rank"] == 2
    plain = load_latent(base, ModelOptions())
    tuned = load_latent(base, ModelOptions())
    assert type(tuned.pipeline) is kinds[said["pipeline"]]
    tuned.pipeline.load_lora_weights(out)
    x = torch.randn(2, *plain.shape, generator=torch.Generator().manual_seed(0))
    sigma = torch.tensor([1.0, 4.0])
    with torch.no_grad():
        before, after = (each.denoise(x, sigma, ["a", "b"]) for each in (plain, tuned))
    assert float((before - after).abs().max()) > 1e-3
    ours = load_file(out / WEIGHTS)
    assert all(min(tensor.shape) == 2 for tensor in ours.values())
    assert {path.suffix for path in out.glob("*") if path.is_file()} <= {
        ".safetensors",
        ".json",
        ".csv",
        ".png",
    }


def test_gradients_reach_the_adapters_and_nothing_else(config: TrainConfig) -> None:
    learner, feed = learner_and_feed(config)
    with torch.no_grad():
        for weight in learner.weights:
            weight.add_(0.01)  # one factor of each pair begins at 0, and would stop the other's
    batch = feed.batch(0)
    LOSSES["ambient"](learner.estimate(batch), batch).backward()
    pipeline = learner.denoiser.pipeline
    reached = {
        id(parameter)
        for part in pipeline.components.values()
        if isinstance(part, torch.nn.Module)
        for parameter in part.parameters()
        if parameter.grad is not None and bool(parameter.grad.any())
    }
    assert reached == {id(weight) for weight in learner.weights}


def test_the_noisy_latents_are_drawn_once_and_kept_as_evidence(
    config: TrainConfig, trained: Path, tiles: list[Image]
) -> None:
    out = trained
    learner, feed = learner_and_feed(config)
    (part,) = (out / "noisy").glob("part-*.safetensors")
    kept = load_file(part)
    assert set(kept) == {image_id(tile) for tile in tiles[:6]}
    batch = feed.batch(4)
    ids = [image_id(tile) for tile in tiles[:6]]
    shown = {
        name for name in ids for row in batch.x_n if torch.allclose(row, kept[name], atol=1e-5)
    }
    assert len(shown) == 3
    ambient = read_ambient(out)
    assert ambient is not None
    assert ambient.sigma_n == pytest.approx(learner.schedule.sigma_of_timestep(300))
    assert ambient.lowest == ambient.sigma_n


def test_each_image_is_told_with_its_own_caption(config: TrainConfig) -> None:
    _, feed = learner_and_feed(config)
    seen = {}
    for step in range(2):
        batch = feed.batch(step)
        for row, prompt in zip(batch.x0, batch.prompts, strict=True):
            seen[prompt] = row
    assert sorted(seen) == [f"picture number {k}" for k in range(6)]
    order = [int(prompt.split()[-1]) for prompt in seen]
    again = feed.clean([feed.images.prompts.index(f"picture number {k}") for k in order])
    assert torch.equal(torch.stack(list(seen.values())), again)


def test_the_loss_falls(config: TrainConfig) -> None:
    train(replace(config, loss="clean", timestep_n=None, steps=60, ema=0.0, save_every=30))
    losses = pd.read_csv(Path(config.out) / "loss.csv")["loss"]
    assert losses.iloc[-1] < 0.9 * losses.iloc[0]


def test_a_resumed_training_ends_in_the_same_adapters(config: TrainConfig, trained: Path) -> None:
    def stop(*state: str | int) -> None:
        if state[1] == 5:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        train(config, stop)
    ours, theirs = load_file(train(config) / WEIGHTS), load_file(trained / WEIGHTS)
    assert ours.keys() == theirs.keys()
    assert all(torch.equal(ours[name], theirs[name]) for name in ours)


@pytest.mark.slow
def test_samples_are_drawn_with_the_averaged_adapters_and_change_nothing(
    config: TrainConfig, trained: Path, tmp_path: Path
) -> None:
    shown = train(replace(config, out=str(tmp_path / "shown"), sample_every=3))
    last = shown / "samples/step-00000006.png"
    assert (shown / "samples/step-00000003.png").is_file()
    finished = load_model(str(shown), ModelOptions()).denoiser
    assert finished.sigma_min > 0.1
    write_grid(tmp_path / "again.png", finished, config.seed)
    drawn, again = (np.asarray(Picture.open(p), int) for p in (last, tmp_path / "again.png"))
    assert np.abs(drawn - again).max() <= 1
    ours, theirs = load_file(trained / WEIGHTS), load_file(shown / WEIGHTS)
    assert all(torch.equal(ours[name], theirs[name]) for name in ours)


def test_consistency_trains_adapters_down_to_the_lowest_noise(config: TrainConfig) -> None:
    out = train(replace(config, consistency=Consistency(weight=0.015), steps=3))
    ambient = read_ambient(out)
    assert ambient is not None
    assert ambient.lowest is None


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"loss": "sure"}, "are made for pixels"),
        ({"channels": (8, 16)}, "--channels belongs to a UNet"),
        ({"flip": True}, "--flip belongs to a UNet"),
        ({"sigma_n": 0.5}, "say the same"),
        ({"timestep_n": 1000}, "outside the schedule's 0 .. 999"),
        ({"timestep_n": None, "sigma_n": 20.0}, "outside the noise of schedule scaled_linear"),
    ],
)
def test_what_a_base_cannot_be_trained_with_is_refused(
    config: TrainConfig, change: dict[str, object], message: str
) -> None:
    with pytest.raises(ConfigError, match=message):
        train(replace(config, **change))
