import csv
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from diffusers import DDPMPipeline
from PIL import Image as Picture
from safetensors.torch import load_file

from memaudit.config import TrainConfig
from memaudit.errors import ConfigError, DataError, RunDirectoryError, TrainingDivergedError
from memaudit.models.load import load_model
from memaudit.models.loaded import ModelOptions
from memaudit.records import Image
from memaudit.train.loop import train

WriteFolder = Callable[[str, list[Image]], Path]


def small(dataset: Path, out: Path) -> TrainConfig:
    return TrainConfig(
        dataset=str(dataset),
        out=str(out),
        resolution=8,
        channels=(8, 16),
        steps=20,
        batch_size=4,
        lr=2e-3,
        warmup=5,
        ema=0.9,
        save_every=10,
        device="cpu",
    )


@pytest.fixture
def config(tiles: list[Image], write_folder: WriteFolder, tmp_path: Path) -> TrainConfig:
    return small(write_folder("data", tiles[:10]), tmp_path / "model")


@pytest.fixture(scope="module")
def plain(tiles: list[Image], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The finished training of that configuration, on the same images; to be read only."""
    folder = tmp_path_factory.mktemp("plain")
    (folder / "data").mkdir()
    for k, tile in enumerate(tiles[:10]):
        Picture.fromarray(tile).save(folder / "data" / f"{k:03d}.png")
    return train(small(folder / "data", folder / "model"))


def weights(out: Path | str) -> dict[str, torch.Tensor]:
    return load_file(Path(out) / "unet" / "diffusion_pytorch_model.safetensors")


def log(out: Path | str) -> list[list[str]]:
    with (Path(out) / "loss.csv").open(newline="") as file:
        return list(csv.reader(file))


def assert_same_model(one: Path | str, other: Path | str) -> None:
    ours, theirs = weights(one), weights(other)
    assert ours.keys() == theirs.keys()
    assert all(torch.equal(ours[name], theirs[name]) for name in ours)
    assert log(one) == log(other)


def interrupt_at(step: int) -> Callable[[str, int, int], None]:
    def progress(*state: str | int) -> None:
        if state[1] == step:
            raise KeyboardInterrupt

    return progress


def test_loss_falls(config: TrainConfig) -> None:
    out = train(replace(config, steps=100, save_every=20))
    losses = [float(loss) for _, loss in log(out)[1:]]
    assert losses[-1] < 0.7 * losses[0]


def test_interrupted_run_ends_in_the_same_weights(
    config: TrainConfig, plain: Path, tmp_path: Path
) -> None:
    other = replace(config, out=str(tmp_path / "interrupted"))
    with pytest.raises(KeyboardInterrupt):
        train(other, interrupt_at(13))
    assert not (tmp_path / "interrupted" / "unet").exists()
    assert_same_model(plain, train(other))


def test_run_goes_on_from_an_older_checkpoint(
    config: TrainConfig, plain: Path, tmp_path: Path
) -> None:
    other = train(replace(config, out=str(tmp_path / "shortened")))
    (other / "checkpoints" / "step-00000020.safetensors").unlink()
    train(replace(config, out=str(other)))
    assert_same_model(plain, other)


def test_finished_run_is_not_trained_again(config: TrainConfig) -> None:
    out = train(config)
    before = weights(out)
    steps: list[object] = []
    train(config, lambda *step: steps.append(step))
    assert steps == []
    assert all(torch.equal(tensor, before[name]) for name, tensor in weights(out).items())


def test_log_has_every_step_once(config: TrainConfig) -> None:
    rows = log(train(replace(config, steps=65, save_every=30)))
    assert [row[0] for row in rows] == ["step", "30", "50", "60", "65"]


def test_two_newest_checkpoints_are_kept(config: TrainConfig) -> None:
    out = train(replace(config, save_every=5))
    names = sorted(path.name for path in (out / "checkpoints").iterdir())
    assert names == ["step-00000015.safetensors", "step-00000020.safetensors"]


@pytest.mark.parametrize(
    "change", [{"lr": 1e-3}, {"seed": 1}, {"prediction": "epsilon"}, {"steps": 30}]
)
def test_other_arguments_are_refused_in_the_same_folder(
    config: TrainConfig, change: dict[str, object]
) -> None:
    train(replace(config, steps=2))
    with pytest.raises(RunDirectoryError, match="give another --out"):
        train(replace(config, **{"steps": 2, **change}))


def test_other_images_are_refused_in_the_same_folder(
    config: TrainConfig, tiles: list[Image], write_folder: WriteFolder
) -> None:
    train(config)
    more = write_folder("more", tiles[:11])
    with pytest.raises(RunDirectoryError, match="other arguments or other images"):
        train(replace(config, dataset=str(more)))
    for path in Path(config.dataset).iterdir():
        path.unlink()
    for path in sorted(more.iterdir())[1:]:
        path.rename(Path(config.dataset) / path.name)
    with pytest.raises(RunDirectoryError, match="other arguments or other images"):
        train(config)  # of as many images at the same place


def test_other_arguments_are_refused_before_the_first_checkpoint(config: TrainConfig) -> None:
    with pytest.raises(KeyboardInterrupt):
        train(config, interrupt_at(1))
    with pytest.raises(RunDirectoryError, match="other arguments or other images"):
        train(replace(config, seed=1))
    assert len(log(train(config))) == 3


def flipped(data: bytes) -> bytes:
    """One bit of a weight is another, and no library would notice."""
    return data[:-100] + bytes([data[-100] ^ 64]) + data[-99:]


def of_another_step(data: bytes) -> bytes:
    assert data.count(b'"step":"10"') == 1
    return data.replace(b'"step":"10"', b'"step":"11"')


def without_checksum(data: bytes) -> bytes:
    return data.replace(b'"sha256"', b'"sha257"')


@pytest.mark.parametrize(
    "damage",
    [
        lambda data: data[:1000],
        lambda _: b"",
        lambda _: b"{" * 99,
        flipped,
        of_another_step,
        without_checksum,
    ],
)
def test_a_damaged_checkpoint_is_named_and_the_one_before_goes_on(
    config: TrainConfig, plain: Path, damage: Callable[[bytes], bytes]
) -> None:
    with pytest.raises(KeyboardInterrupt):
        train(replace(config, save_every=5), interrupt_at(12))
    newest = Path(config.out) / "checkpoints/step-00000010.safetensors"
    newest.write_bytes(damage(newest.read_bytes()))
    with pytest.raises(RunDirectoryError, match=r"step-00000010.* trains on from step-00000005"):
        train(config)
    newest.unlink()
    assert all(
        torch.equal(one, weights(plain)[name]) for name, one in weights(train(config)).items()
    )


def test_what_is_not_of_a_training_stays(config: TrainConfig) -> None:
    out = Path(config.out)
    mine = [out / "masks/mine.png", out / "noisy/notes.txt"]
    for path in mine:
        path.parent.mkdir(parents=True)
        path.write_text("mine")
    train(config)
    assert [path.read_text() for path in mine] == ["mine", "mine"]


def test_noisy_copies_of_no_training_are_not_overwritten(config: TrainConfig) -> None:
    part = Path(config.out) / "noisy/part-00000.safetensors"
    part.parent.mkdir(parents=True)
    part.write_text("mine")
    with pytest.raises(RunDirectoryError, match="holds noisy copies or masks of no training"):
        train(config)
    assert part.read_text() == "mine"


def test_a_folder_inside_the_images_is_refused(config: TrainConfig) -> None:
    with pytest.raises(ConfigError, match="lies inside the data set"):
        train(replace(config, out=f"{config.dataset}/model"))


def test_what_is_kept_of_a_diverging_run_is_said(config: TrainConfig) -> None:
    with pytest.raises(TrainingDivergedError, match="No checkpoint was saved yet"):
        train(replace(config, lr=1e30, warmup=0))
    assert (Path(config.out) / "loss.csv").is_file()
    assert (Path(config.out) / "loss.png").is_file()


def test_unreadable_images_are_skipped(
    config: TrainConfig, plain: Path, tiles: list[Image], write_folder: WriteFolder
) -> None:
    folder = write_folder("damaged", tiles[:10])
    (folder / "010.png").write_bytes((folder / "000.png").read_bytes()[:200])
    out = train(replace(config, dataset=str(folder)))
    assert all(torch.equal(tensor, weights(plain)[k]) for k, tensor in weights(out).items())


def test_folder_without_a_readable_image_is_refused(config: TrainConfig, tmp_path: Path) -> None:
    folder = tmp_path / "broken"
    folder.mkdir()
    (folder / "a.png").write_bytes(b"no picture")
    with pytest.raises(DataError, match="none of the 1 images"):
        train(replace(config, dataset=str(folder)))


def test_diverging_run_stops_and_keeps_a_finite_checkpoint(config: TrainConfig) -> None:
    said = r"at step \d.* lower --lr than 1000000.0"
    with pytest.raises(TrainingDivergedError, match=said) as error:
        train(replace(config, lr=1e6, warmup=0, save_every=1))
    newest = sorted(Path(config.out, "checkpoints").iterdir())[-1]
    assert newest.name in str(error.value)
    saved = load_file(newest)
    assert all(bool(tensor.isfinite().all()) for tensor in saved.values())


@pytest.mark.parametrize("prediction", ["epsilon", "v_prediction", "sample"])
def test_trained_folder_opens_as_it_was_trained(config: TrainConfig, prediction: str) -> None:
    out = train(replace(config, prediction=prediction, schedule="linear", steps=2))
    loaded = load_model(str(out), ModelOptions())
    assert loaded.provenance.reading["prediction_type"] == prediction
    assert loaded.provenance.reading["schedule"] == "linear"
    assert loaded.denoiser.shape == (3, 8, 8)


def test_trained_folder_is_a_pipeline_of_diffusers(plain: Path) -> None:
    pipeline = DDPMPipeline.from_pretrained(plain)
    pipeline.set_progress_bar_config(disable=True)
    generator = torch.Generator().manual_seed(0)
    image = pipeline(num_inference_steps=2, generator=generator).images[0]
    assert image.size == (8, 8)


def test_trained_folder_holds_no_pickle(plain: Path) -> None:
    suffixes = {path.suffix for path in plain.rglob("*") if path.is_file()}
    assert suffixes == {".json", ".safetensors", ".csv", ".png"}


def test_saved_weights_are_the_average(plain: Path) -> None:
    state = load_file(plain / "checkpoints" / "step-00000020.safetensors")
    saved = weights(plain)
    averaged = [torch.equal(state[f"average.module.{name}"], saved[name]) for name in saved]
    last = [torch.equal(state[f"network.{name}"], saved[name]) for name in saved]
    assert all(averaged)
    assert not any(last)


def test_the_loss_is_drawn(plain: Path) -> None:
    with Picture.open(plain / "loss.png") as picture:
        assert picture.size == (720, 480)
        assert len(picture.convert("L").getcolors(256)) > 10


def test_grids_of_samples_change_nothing_and_show_the_model(
    config: TrainConfig, plain: Path
) -> None:
    out = train(replace(config, sample_every=8, out=f"{config.out}-sampled"))
    assert_same_model(plain, out)
    paths = sorted(path for path in (out / "samples").iterdir())
    assert [path.name for path in paths] == ["step-00000008.png", "step-00000016.png"]
    pictures = [np.asarray(Picture.open(path)) for path in paths]
    assert pictures[0].shape == (32, 32, 3)
    assert not np.array_equal(*pictures)


def test_gradient_checkpointing_changes_no_weight(config: TrainConfig, plain: Path) -> None:
    other = replace(config, gradient_checkpointing=True, out=f"{config.out}-checkpointed")
    assert_same_model(plain, train(other))


def test_sixteen_bits_are_refused_on_the_cpu(config: TrainConfig) -> None:
    with pytest.raises(ConfigError, match=r"--precision bfloat16 needs a GPU.* leave it out"):
        train(replace(config, precision="bfloat16"))


def test_flip_mirrors_images_at_random(config: TrainConfig, plain: Path) -> None:
    flipped = train(replace(config, flip=True))
    assert not torch.equal(weights(plain)["conv_in.weight"], weights(flipped)["conv_in.weight"])


@pytest.mark.parametrize("channels", [(8,), (8, 8), (16, 24)])
def test_narrow_networks_train(config: TrainConfig, channels: tuple[int, ...]) -> None:
    out = train(replace(config, channels=channels, steps=2))
    assert load_model(str(out), ModelOptions()).provenance.parameters > 0
