import json
import shutil

import pandas as pd
import pytest
import torch
from diffusers import DDPMScheduler
from PIL import Image as PillowImage
from runs import ask
from torch import nn

from memaudit.attacks.base import encode
from memaudit.audit import scan
from memaudit.audit.levels import Crowd, choose_levels, within_range
from memaudit.audit.models import open_model
from memaudit.config import Noise
from memaudit.errors import ConfigError
from memaudit.models.closed_form import ClosedForm
from memaudit.models.codec import PixelCodec
from memaudit.models.load import load_model
from memaudit.models.loaded import ModelOptions
from memaudit.models.parameterization import VariancePreserving
from memaudit.models.pixel import PixelDenoiser
from memaudit.models.schedule import schedule_from_config
from memaudit.run.record import Levels

ONE = Crowd(members=1, rivals=2)


def open_asked(config):
    return open_model(config.target, config.data, config.execution)


def test_two_models_get_the_same_levels_on_the_same_data(sides, unet, tmp_path):
    perfect = scan(ask(sides.members, tmp_path / "a", controls=sides.controls))
    trained = scan(
        ask(
            sides.members,
            tmp_path / "b",
            model=unet,
            controls=sides.controls,
            self_check=False,
        )
    )
    assert perfect.prepared.levels == trained.prepared.levels
    low, high = perfect.prepared.levels.sigmas
    limit = perfect.prepared.levels.identification_limit
    assert (low, high) == pytest.approx((0.03 * limit, 0.6 * limit), rel=1e-3)


def test_levels_outside_the_range_of_the_model_are_skipped_and_named(sides, unet, tmp_path):
    noise = Noise(sigmas=(1.0, 0.001, 1000.0), draws=1)
    config = ask(sides.members, tmp_path / "run", model=unet, noise=noise, self_check=False)
    result = scan(config)
    written = json.loads((tmp_path / "run" / "scan.json").read_text())["prepared"]["levels"]
    assert written["sigmas"] == [1.0]
    assert written["skipped"] == [0.001, 1000.0]
    assert set(result.scores["level"]) == {1.0}


def test_levels_all_outside_the_range_are_refused_with_the_range(sides, unet, tmp_path):
    noise = Noise(snr_db=(60.0, 70.0))
    with pytest.raises(ConfigError, match=r"0\.001, 0\.0003162.*range 0\.01 \.\. 157\.4|0\.01"):
        scan(ask(sides.members, tmp_path / "run", model=unet, noise=noise))


def test_snr_in_db_is_a_level_too(sides, tmp_path):
    noise = Noise(snr_db=(0.0, -20.0), draws=1)
    scores = scan(ask(sides.members, tmp_path / "run", noise=noise)).scores
    assert set(zip(scores["level"], scores["snr_db"], strict=True)) == {(1.0, 0.0), (10.0, -20.0)}


@pytest.mark.parametrize("schedule", ["linear", "scaled_linear", "squaredcos_cap_v2"])
def test_the_first_and_last_timestep_of_a_model_are_within_its_range(
    unet, schedule, tmp_path, tiles
):
    folder = tmp_path / "model"
    folder.mkdir()
    for path in unet.iterdir():
        (folder / path.name).write_bytes(path.read_bytes())
    DDPMScheduler(beta_schedule=schedule).save_config(folder)
    denoiser = load_model(str(folder), ModelOptions()).denoiser
    x0 = encode(denoiser, tiles[0][None])
    levels = choose_levels(Noise(timesteps=(0, 500, 999)), denoiser, x0, ONE)
    assert levels.skipped == ()
    assert levels.sigmas[0] == pytest.approx(denoiser.sigma_min, rel=1e-5)
    assert levels.sigmas[-1] == pytest.approx(denoiser.sigma_max, rel=1e-5)


def test_the_perfect_memorizer_has_no_timesteps(sides, tmp_path):
    with pytest.raises(ConfigError, match="--sigma or --snr-db"):
        scan(ask(sides.members, tmp_path / "run", noise=Noise(timesteps=(10,))))


def test_a_level_given_twice_is_scanned_once(sides, tmp_path):
    noise = Noise(sigmas=(1.0, 1.0), draws=1)
    scores = scan(ask(sides.members, tmp_path / "run", noise=noise)).scores
    assert len(scores) == 15


def test_levels_need_two_images_or_are_given_by_hand(sides, tiles, tmp_path):
    denoiser = open_asked(ask(sides.members, tmp_path)).denoiser
    x0 = encode(denoiser, tiles[0][None])
    with pytest.raises(ConfigError, match="give --sigma"):
        choose_levels(Noise(), denoiser, x0, ONE)
    levels = choose_levels(Noise(sigmas=(1.0,)), denoiser, x0, ONE)
    assert levels == Levels((1.0,), (), None)


def test_the_perfect_memorizer_takes_the_size_of_its_images_or_the_one_asked_for(sides, tmp_path):
    assert open_asked(ask(sides.members, tmp_path)).denoiser.shape == (3, 16, 16)
    assert open_asked(ask(sides.members, tmp_path, resolution=8)).denoiser.shape == (3, 8, 8)
    path = sides.members / "000.png"
    PillowImage.open(path).resize((40, 24)).save(path)
    assert open_asked(ask(sides.members, tmp_path)).denoiser.shape == (3, 24, 24)


def test_levels_outside_the_model_s_range_are_told_apart() -> None:
    model = ClosedForm(torch.zeros(2, 3, 16, 16), sigma_min=0.1, sigma_max=5.0)
    inside, outside = within_range(model, [0.05, 0.1, 1.0, 5.0, 5.1])
    assert inside == [0.1, 1.0, 5.0]
    assert outside == [0.05, 5.1]


@pytest.mark.parametrize("schedule", ["linear", "scaled_linear", "squaredcos_cap_v2"])
def test_ends_of_a_schedule_are_in_range_though_written_with_six_digits(
    schedule: str,
) -> None:
    curve = schedule_from_config({"beta_schedule": schedule})
    codec = PixelCodec((3, 16, 16), torch.device("cpu"))
    parameterization = VariancePreserving("epsilon", curve)
    model = PixelDenoiser(codec=codec, parameterization=parameterization, network=nn.Identity())
    ends = [float(f"{model.sigma_of_timestep(t):.6g}") for t in (0, 999)]
    assert within_range(model, ends) == (ends, [])


def rows(members: list[int], controls: list[int], prompts: dict[int, str] | None = None):
    """Rows of a pool by their groups; each group has one prompt."""
    groups = [*members, *controls]
    sides = ["member"] * len(members) + ["control"] * len(controls)
    told = [(prompts or {}).get(group, "") for group in groups]
    return pd.DataFrame({"split": sides, "group": groups, "prompt": told})


def test_an_image_seen_once_is_one_of_all_members_and_a_repeated_one_of_fewer() -> None:
    assert Crowd.of(rows([0, 1, 2, 3], [4, 5]), told=False) == Crowd(4, 4)
    repeated = rows([0, 1, 1, 1, 2, 3], [4, 5])
    assert Crowd.of(repeated, told=False) == Crowd(4, 2)  # six rows, three of them of one
    assert Crowd.of(rows([0], []), told=False) == Crowd(1, 2)


def test_captions_leave_the_images_that_have_them() -> None:
    same = rows([0, 1, 2, 3], [4, 5, 6, 7], dict.fromkeys(range(8), "a cat"))
    assert Crowd.of(same, told=True) == Crowd.of(same, told=False) == Crowd(4, 4)
    kinds = rows([0, 1, 2, 3], [4, 5, 6, 7], {k: f"kind {k % 2}" for k in range(8)})
    assert Crowd.of(kinds, told=True) == Crowd(4, 2)
    own = rows([0, 1, 2, 3], [4, 5, 6, 7], {k: f"number {k}" for k in range(8)})
    assert Crowd.of(own, told=True).rivals == 0.5  # of the images with a caption half are members
    assert Crowd.of(own, told=False).rivals == 4


def test_an_image_with_several_captions_has_the_copies_that_were_shown_with_each() -> None:
    table = rows([0, 0, 0, 1, 2, 3], [])
    table["prompt"] = ["a", "b", "", "a", "a", "b"]
    assert Crowd.of(table, told=True).rivals == 2  # group 0 is one of two rows with b; 6 / 3 untold


@pytest.mark.parametrize("told", [True, False])
def test_the_levels_do_not_depend_on_which_images_are_the_members(told: bool) -> None:
    table = rows([0, 1, 2, 2, 2, 2, 3], [4, 5, 5, 6, 7, 8, 9], {2: "a", 3: "a", 7: "b"})
    one = Crowd.of(table, told)
    swapped = table.assign(split=table["split"].map({"member": "control", "control": "member"}))
    assert Crowd.of(swapped, told).rivals == one.rivals


def test_levels_above_are_added_to_automatic_levels_and_to_no_others() -> None:
    x0 = torch.randn(30, 3, 4, 4, generator=torch.Generator().manual_seed(0))
    denoiser = ClosedForm(x0)
    plain = choose_levels(Noise(), denoiser, x0, Crowd(30, 30))
    assert len(plain.sigmas) == 5
    limit = plain.identification_limit
    for rivals, shares in ((4, [1.0]), (1, [1.0, 1.6])):
        levels = choose_levels(Noise(), denoiser, x0, Crowd(30, rivals))
        assert levels.sigmas[:5] == plain.sigmas
        assert list(levels.sigmas[5:]) == pytest.approx([s * limit for s in shares], rel=1e-3)
    given = choose_levels(Noise(sigmas=(0.5, 1.0)), denoiser, x0, Crowd(30, 1))
    assert given.sigmas == (0.5, 1.0)


def test_a_level_above_that_the_model_does_not_know_is_skipped_and_named() -> None:
    x0 = torch.randn(30, 3, 4, 4, generator=torch.Generator().manual_seed(0))
    plain = choose_levels(Noise(), ClosedForm(x0), x0, Crowd(30, 30))
    top = 1.1 * plain.identification_limit
    levels = choose_levels(Noise(), ClosedForm(x0, sigma_max=top), x0, Crowd(30, 1))
    assert len(levels.sigmas) == 6
    assert levels.skipped == pytest.approx([1.6 * plain.identification_limit], rel=1e-3)


def test_an_image_that_is_repeated_often_adds_levels_to_a_scan_on_either_side(sides, tmp_path):
    def levels(out):
        config = ask(sides.members, tmp_path / out, controls=sides.controls, power=False)
        return scan(config).prepared.levels.sigmas

    plain = levels("plain")
    assert len(plain) == 2
    for folder in (sides.members, sides.controls):
        for k in range(12):
            shutil.copy(folder / "003.png", folder / f"again-{k}.png")
        repeated = levels(f"repeated-{folder.name}")
        assert repeated[:2] == plain
        assert len(repeated) > 2
        for path in folder.glob("again-*.png"):
            path.unlink()
