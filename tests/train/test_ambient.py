"""Training on noisy copies: what is kept of them, and how such a model is opened and scanned."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from diffusers import DDPMScheduler
from PIL import Image as Picture
from safetensors.torch import load_file

from memaudit.attacks.reconstruction import ODE
from memaudit.audit import scan
from memaudit.config import Consistency, LossName, Mask, Noise, ScanConfig, TrainConfig
from memaudit.data import image_id
from memaudit.errors import ConfigError, ModelError
from memaudit.models.codec import encode_pixels
from memaudit.models.load import load_model
from memaudit.models.loaded import ModelOptions
from memaudit.records import COPY, Image
from memaudit.statistics.probes import Probe, probes_in
from memaudit.train.grids import write_grid
from memaudit.train.loop import train

WriteFolder = Callable[[str, list[Image]], Path]
SIGMA_N = 0.5


def small(dataset: Path, out: Path) -> TrainConfig:
    return TrainConfig(
        dataset=str(dataset),
        out=str(out),
        loss="ambient",
        sigma_n=SIGMA_N,
        resolution=16,
        channels=(8, 16),
        steps=6,
        batch_size=4,
        warmup=2,
        save_every=3,
        device="cpu",
    )


@pytest.fixture
def config(tiles: list[Image], write_folder: WriteFolder, tmp_path: Path) -> TrainConfig:
    return small(write_folder("data", tiles[:10]), tmp_path / "model")


@pytest.fixture(scope="module")
def trained(tiles: list[Image], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The finished training of that configuration, on the same images; to be read only."""
    folder = tmp_path_factory.mktemp("trained")
    (folder / "data").mkdir()
    for k, tile in enumerate(tiles[:10]):
        Picture.fromarray(tile).save(folder / "data" / f"{k:03d}.png")
    return train(small(folder / "data", folder / "model"))


def copies(out: str | Path) -> dict[str, torch.Tensor]:
    parts = sorted((Path(out) / "noisy").iterdir())
    return {name: x_n for part in parts for name, x_n in load_file(part).items()}


def weights(out: str | Path) -> dict[str, torch.Tensor]:
    return load_file(Path(out) / "unet" / "diffusion_pytorch_model.safetensors")


def test_the_noisy_copies_are_kept_one_an_image_by_its_id(
    trained: Path, tiles: list[Image]
) -> None:
    kept = copies(trained)
    assert sorted(kept) == sorted(image_id(tile) for tile in tiles[:10])
    x0 = encode_pixels(torch.from_numpy(np.stack(tiles[:10])).permute(0, 3, 1, 2), 3)
    noise = torch.stack([kept[image_id(tile)] for tile in tiles[:10]]) - x0
    assert float(noise.std()) == pytest.approx(SIGMA_N, rel=0.03)
    assert float(noise.mean()) == pytest.approx(0, abs=0.03)


def test_copies_of_one_image_share_their_noise(
    config: TrainConfig, tiles: list[Image], write_folder: WriteFolder
) -> None:
    repeated = write_folder("repeated", [tiles[0]] * 5 + [tiles[1]])
    kept = copies(train(replace(config, dataset=str(repeated))))
    alone = copies(train(replace(config, out=f"{config.out}-alone")))
    assert kept.keys() == {image_id(tile) for tile in tiles[:2]}
    assert all(torch.equal(x_n, alone[name]) for name, x_n in kept.items())


def test_an_interrupted_training_ends_in_the_same_weights_and_copies(
    config: TrainConfig, trained: Path, tmp_path: Path
) -> None:
    other = replace(config, out=str(tmp_path / "interrupted"))

    def interrupt(_: str, step: int, __: int) -> None:
        if step == 4:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        train(other, interrupt)
    before = copies(other.out)
    ours, theirs = weights(trained), weights(train(other))
    assert all(torch.equal(tensor, theirs[name]) for name, tensor in ours.items())
    assert all(torch.equal(x_n, before[name]) for name, x_n in copies(other.out).items())


@pytest.mark.parametrize(("loss", "lowest"), [("ambient", SIGMA_N), ("ambient-mixed", None)])
def test_the_model_says_what_it_was_trained_on_and_is_opened_so(
    config: TrainConfig, loss: LossName, lowest: float | None
) -> None:
    out = train(replace(config, loss=loss))
    record = json.loads((out / "ambient.json").read_text())
    said = {"loss": loss, "sigma_n": SIGMA_N, "seed": 0, "sample_from": lowest}
    assert record == {**said, "consistency": False, "mask": None, "drawn_by": "memaudit"}
    loaded = load_model(str(out), ModelOptions())
    assert loaded.provenance.ambient.content() == record
    schedule = DDPMScheduler.from_pretrained(out, subfolder="scheduler")
    trained_from = float((1 / schedule.alphas_cumprod[0] - 1).sqrt())
    assert loaded.denoiser.sigma_min == pytest.approx(lowest or trained_from, rel=1e-2)


@pytest.mark.parametrize(
    ("change", "lowest"),
    [
        ({"consistency": Consistency(weight=0.5, start=2, samples=3)}, None),
        ({"loss": "sure"}, None),
        ({"loss": "gsure"}, SIGMA_N),
        ({"loss": "gsure", "mask": Mask("pixels")}, SIGMA_N),
    ],
)
def test_other_losses_on_noisy_copies_say_from_where_they_can_be_sampled(
    config: TrainConfig, change: dict[str, Any], lowest: float | None
) -> None:
    out = train(replace(config, **change))
    loaded = load_model(str(out), ModelOptions())
    assert loaded.provenance.ambient.lowest == lowest
    assert loaded.provenance.ambient.consistency == ("consistency" in change)
    assert loaded.denoiser.sigma_min == pytest.approx(lowest or 0.00643, rel=0.01)
    assert len(copies(out)) == 10


def test_the_consistency_term_counts_from_its_first_step(config: TrainConfig) -> None:
    def first(start: int) -> list[str]:
        term = Consistency(weight=0.5, start=start)
        out = f"{config.out}-{start}"
        folder = train(replace(config, consistency=term, out=out, save_every=1))
        return (folder / "loss.csv").read_text().split()

    early, late = first(2), first(4)
    assert early[:3] == late[:3]  # the head and two steps
    assert early[3] != late[3]


def test_samples_while_training_are_those_of_the_finished_model(config: TrainConfig) -> None:
    config = replace(config, sigma_n=None, timestep_n=400, sample_every=6)
    out = train(config)
    finished = load_model(str(out), ModelOptions()).denoiser
    write_grid(out / "again.png", finished, config.seed)
    drawn, again = (
        np.asarray(Picture.open(out / name), np.int16)
        for name in ("samples/step-00000006.png", "again.png")
    )
    assert np.abs(drawn - again).max() <= 1
    write_grid(out / "further.png", replace(finished, lowest=None), config.seed)
    assert np.abs(drawn - np.asarray(Picture.open(out / "further.png"), np.int16)).max() > 1


def test_copies_of_an_earlier_training_do_not_stay(config: TrainConfig) -> None:
    out = Path(train(replace(config, seed=1)))
    (out / "training.json").unlink()
    shutil.rmtree(out / "checkpoints")
    fresh = copies(train(replace(config, out=f"{config.out}-fresh")))
    assert all(torch.equal(x_n, fresh[name]) for name, x_n in copies(train(config)).items())
    (out / "training.json").unlink()
    shutil.rmtree(out / "checkpoints")
    train(replace(config, loss="clean", sigma_n=None))
    assert not list((out / "noisy").iterdir())
    assert not (out / "ambient.json").exists()


def test_a_clean_model_has_no_record_and_no_copies(config: TrainConfig) -> None:
    out = train(replace(config, loss="clean", sigma_n=None))
    assert not (out / "ambient.json").exists()
    assert not (out / "noisy").exists()
    assert load_model(str(out), ModelOptions()).provenance.ambient is None


def test_a_scan_skips_levels_at_which_an_ambient_model_learned_nothing(
    config: TrainConfig, tiles: list[Image], write_folder: WriteFolder, tmp_path: Path
) -> None:
    result = scan(
        ScanConfig(
            model=str(train(config)),
            dataset=config.dataset,
            controls=str(write_folder("controls", tiles[10:50])),
            out=str(tmp_path / "run"),
            embedder="pixels",
            noise=Noise(sigmas=(0.1, 0.4, 1.0), draws=1),
            attacks=("none",),
            self_check=False,
            steps=2,
            images=0,
            device="cpu",
        )
    )
    assert result.prepared.levels.skipped == (0.1, 0.4)
    assert set(result.scores["level"]) == {1.0}
    assert probes_in(result.scores) == [Probe(ODE), Probe(ODE, COPY)]
    assert result.summary.conduct.noisy is not None
    assert result.summary.conduct.noisy.advice == ""


@pytest.mark.parametrize("sigma_n", [1e-4, 1e5])
def test_noise_outside_the_schedule_is_refused(config: TrainConfig, sigma_n: float) -> None:
    with pytest.raises(ConfigError, match=r"outside the noise of schedule squaredcos_cap_v2"):
        train(replace(config, sigma_n=sigma_n))
    assert not Path(config.out).exists()


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ("{", "cannot be read"),
        ('{"loss": "ambient"}', "cannot be read"),
        ("[]", "cannot be read"),
        ('{"loss": "unsure", "sigma_n": 1, "seed": 0}', "loss 'unsure'"),
        ('{"loss": "ambient-mask", "sigma_n": 0, "seed": 0}', "without a mask"),
        (
            '{"loss": "ambient-mask", "sigma_n": 0, "seed": 0, "mask": {"kind": "x", "share": 1}}',
            "cannot be read",
        ),
        ('{"loss": "ambient", "sigma_n": -1, "seed": 0}', "sigma_n -1"),
    ],
)
def test_a_record_that_makes_no_sense_is_refused(
    trained: Path, tmp_path: Path, content: str, words: str
) -> None:
    out = shutil.copytree(trained, tmp_path / "model")
    (out / "ambient.json").write_text(content)
    with pytest.raises(ModelError, match=words):
        load_model(str(out), ModelOptions())
