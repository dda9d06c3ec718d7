import copy
from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest
import torch
from diffusers import UNet2DModel
from safetensors.torch import load_file
from torch import Tensor, nn

from memaudit.corruption.noise import frozen_noise
from memaudit.data import image_id
from memaudit.demo.run import MODELS
from memaudit.demo.tiles import cut_tiles
from memaudit.errors import MisreadModelError
from memaudit.models.closed_form import ClosedForm
from memaudit.models.families.pixel import wrap
from memaudit.models.load import load_model
from memaudit.models.loaded import ModelOptions
from memaudit.models.pixel import PixelDenoiser
from memaudit.models.schedule import Schedule, schedule_from_config
from memaudit.models.self_check import Frozen, self_check

Trained = Callable[[str], PixelDenoiser]
COSINE = "squaredcos_cap_v2"


class OtherTime(nn.Module):
    """A network that was trained with another time argument: the planted misreading."""

    def __init__(self, network: nn.Module, back: Callable[[Tensor], Tensor]) -> None:
        super().__init__()
        self.network = network
        self.back = back

    def forward(self, x: Tensor, time: Tensor, return_dict: bool) -> tuple[Tensor, ...]:
        return self.network(x, self.back(time), return_dict=return_dict)


def read_with(denoiser: PixelDenoiser, **changes: object) -> PixelDenoiser:
    other = replace(denoiser.parameterization, **changes)
    return replace(denoiser, parameterization=other)


def schedule(name: str, steps: int = 1000) -> Schedule:
    return schedule_from_config({"beta_schedule": name, "num_train_timesteps": steps})


@pytest.mark.parametrize(
    ("name", "seeds"),
    [(COSINE, 5), ("linear", 3), pytest.param(COSINE, 20, marks=pytest.mark.long)],
)
def test_right_reading_passes_whatever_the_noise(
    trained: Trained, clean: Tensor, name: str, seeds: int
) -> None:
    for seed in range(seeds):
        check = self_check(trained(name), clean[seed % 5 :: 5], seed)
        assert check.best_log_ratio > 0


def test_declared_errors_beat_the_trivial_answers(trained: Trained, clean: Tensor) -> None:
    check = self_check(trained(COSINE), clean)
    assert check.images == len(clean)
    assert check.sigmas[0] == pytest.approx(0.3)
    assert check.sigmas[-1] == pytest.approx(10)
    for declared, identity in zip(check.declared, check.identity, strict=True):
        assert declared < min(identity, check.data_mean)


@pytest.mark.parametrize("images", [slice(0, 16), slice(16, 32)], ids=["members", "held-out"])
def test_images_of_one_split_are_enough(trained: Trained, clean: Tensor, images: slice) -> None:
    assert self_check(trained(COSINE), clean[images]).best_log_ratio > 0


def test_flipped_sign_is_refused(trained: Trained, clean: Tensor) -> None:
    network = copy.deepcopy(trained(COSINE).network)
    network.conv_out.weight.data.neg_()
    network.conv_out.bias.data.neg_()
    with pytest.raises(MisreadModelError, match="v_prediction with its sign flipped"):
        self_check(replace(trained(COSINE), network=network), clean)


@pytest.mark.parametrize("prediction", ["epsilon", "sample"])
def test_wrong_prediction_type_is_refused(trained: Trained, clean: Tensor, prediction: str) -> None:
    with pytest.raises(MisreadModelError, match="read as prediction type v_prediction it"):
        self_check(read_with(trained(COSINE), prediction=prediction), clean)


@pytest.mark.parametrize("steps", [100, 4000])
@pytest.mark.parametrize("name", [COSINE, "linear"])
def test_wrong_number_of_training_steps_is_refused(
    trained: Trained, clean: Tensor, name: str, steps: int
) -> None:
    misread = read_with(trained(name), schedule=schedule(name, steps))
    with pytest.raises(MisreadModelError, match=f"read as schedule {name} with 1000 steps"):
        self_check(misread, clean)


@pytest.mark.parametrize(
    ("back", "name"),
    [
        (lambda t: t * 1000, "time as t/1000"),
        (lambda t: t / 1000, "time as 1000 t"),
        (lambda t: t / 4, "time as 4 t"),
        (lambda t: 999 - t, "time running backwards"),
    ],
    ids=["t/1000", "1000 t", "4 t", "backwards"],
)
def test_wrong_time_is_refused(
    trained: Trained, clean: Tensor, back: Callable[[Tensor], Tensor], name: str
) -> None:
    network = OtherTime(trained(COSINE).network, back)
    with pytest.raises(MisreadModelError, match=f"read as {name} it"):
        self_check(replace(trained(COSINE), network=network), clean)


@pytest.mark.parametrize(
    ("truth", "declared"),
    [
        (COSINE, "linear"),
        (COSINE, "scaled_linear"),
        ("linear", COSINE),
        ("linear", "scaled_linear"),
    ],
)
def test_wrong_schedule_is_refused(
    trained: Trained, all_clean: Tensor, truth: str, declared: str
) -> None:
    with pytest.raises(MisreadModelError, match=f"read as schedule {truth} with 1000 steps it"):
        self_check(read_with(trained(truth), schedule=schedule(declared)), all_clean)


@pytest.mark.parametrize("prediction", ["epsilon", "v_prediction", "sample"])
def test_untrained_network_is_refused(
    make_unet: Callable[..., UNet2DModel], clean: Tensor, prediction: str
) -> None:
    config = {"beta_schedule": "linear", "prediction_type": prediction}
    with pytest.raises(MisreadModelError, match="no better than the best blend"):
        self_check(wrap(make_unet(), config), clean)


def test_values_that_are_not_finite_are_refused(trained: Trained, clean: Tensor) -> None:
    network = copy.deepcopy(trained(COSINE).network)
    network.conv_out.bias.data.fill_(torch.nan)
    with pytest.raises(MisreadModelError, match="not finite"):
        self_check(replace(trained(COSINE), network=network), clean)


def test_one_image_cannot_convict_a_reading(trained: Trained, clean: Tensor) -> None:
    assert self_check(trained(COSINE), clean[:1]).images == 1


def test_noise_range_beside_the_checked_one_is_refused(trained: Trained, clean: Tensor) -> None:
    steps = schedule("linear").log_sigmas[:50]
    with pytest.raises(MisreadModelError, match="does not reach"):
        self_check(read_with(trained(COSINE), schedule=Schedule("short", steps)), clean)


def test_perfect_memorizer_has_nothing_to_misread(clean: Tensor) -> None:
    check = self_check(ClosedForm(clean), clean)
    assert check.best_alternative == ""
    assert check.declared[0] < check.identity[0] / 100


def test_a_model_that_memorized_noisy_copies_is_checked_by_what_it_was_trained_for() -> None:
    loaded = load_model(str(MODELS / "ambient"), ModelOptions())
    kept = load_file(MODELS / "ambient/noisy/part-00000.safetensors")
    tiles = {image_id(tile.image): tile.image for tile in cut_tiles()}
    members = [name for name in tiles if name in kept][:4]
    ids = members + [name for name in tiles if name not in kept][:12]
    pixels = torch.from_numpy(np.stack([tiles[name] for name in ids])).permute(0, 3, 1, 2)
    x0 = loaded.denoiser.encode(pixels)
    assert loaded.ambient is not None
    sigma_n, seed = loaded.ambient.sigma_n, loaded.ambient.seed
    frozen = Frozen(sigma_n, frozen_noise(ids, loaded.denoiser.shape, sigma_n, seed))
    assert torch.allclose(x0[0] + sigma_n * frozen.noise[0], kept[ids[0]], atol=1e-5)
    check = self_check(loaded.denoiser, x0, frozen=frozen)
    assert check.best_log_ratio > 0
    with pytest.raises(MisreadModelError, match="read as"):  # by clean images it looks misread
        self_check(loaded.denoiser, x0)
    wrong = dict(loaded.denoiser.misreadings())
    read_as = {
        "prediction type epsilon": "prediction type v_prediction",
        "time running backwards": "time running backwards",
    }
    for name, better in read_as.items():
        with pytest.raises(MisreadModelError, match=f"read as {better} it"):
            self_check(wrong[name], x0, frozen=frozen)
