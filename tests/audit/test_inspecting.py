"""An inspection opens what a scan opens, checks how it is read as a scan does, and says it."""

import json
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image as PillowImage

from memaudit.audit.inspection import inspect, require_passed
from memaudit.audit.inspection_plot import COLUMNS, EIGHTHS, ROWS, blocks, draw
from memaudit.audit.inspection_words import describe, in_a_line, large
from memaudit.audit.reading import CHECKED
from memaudit.config import DataOptions, InspectConfig, ModelConfig
from memaudit.demo.run import MODELS
from memaudit.demo.tiles import write_tiles
from memaudit.errors import ConfigError, DataError, MisreadModelError
from memaudit.models.inspection import Curve, Inspection


@pytest.fixture(scope="module")
def images(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The 40 images that two of the demo's models were trained on."""
    return write_tiles(tmp_path_factory.mktemp("demo"))["members"]


def asked(model: object, **options: object) -> InspectConfig:
    return InspectConfig(target=ModelConfig(spec=str(model)), device="cpu", **options)


def look(model: object, **options: object) -> Inspection:
    return inspect(asked(model, **options))


@pytest.fixture(scope="module")
def overfit() -> Inspection:
    return look(MODELS / "overfit")


@pytest.fixture
def misread(tmp_path: Path) -> Path:
    """The overfit model, whose scheduler says another prediction than it was trained for."""
    folder = Path(shutil.copytree(MODELS / "overfit", tmp_path / "misread"))
    file = folder / "scheduler" / "scheduler_config.json"
    file.write_text(json.dumps(json.loads(file.read_text()) | {"prediction_type": "epsilon"}))
    return folder


@pytest.mark.slow
def test_a_model_that_is_read_rightly_passes(images):
    check = look(MODELS / "overfit", images=str(images)).self_check
    assert (check.state, check.reason, check.copies) == ("passed", None, 0)
    assert (check.images, check.unreadable) == (CHECKED, 0)
    assert len(check.levels) == 4
    assert all(level.declared < level.trivial for level in check.levels)
    assert check.best_other.error_ratio > 1.05
    assert check == look(MODELS / "overfit", images=str(images)).self_check


@pytest.mark.slow
def test_a_model_that_is_misread_is_refused_and_told_all_the_same(misread, images):
    found = look(misread, images=str(images))
    check = found.self_check
    assert (check.state, check.images) == ("refused", CHECKED)
    assert "read as prediction type v_prediction it denoises" in check.reason
    assert check.best_other.name == "prediction type v_prediction"
    assert check.best_other.error_ratio < 1
    assert len(check.levels) == 4
    with pytest.raises(MisreadModelError, match="misread model"):
        require_passed(found)
    assert "Self-check: refused, on 32 images" in describe(found)


@pytest.mark.slow
def test_copies_beside_a_model_of_noisy_data_are_asked_for_unless_they_are_left_out(images):
    check = look(MODELS / "ambient", images=str(images)).self_check
    assert (check.state, check.images, check.copies) == ("passed", CHECKED, 8)
    check = look(MODELS / "ambient", images=str(images), noisy_copies="none").self_check
    assert (check.images, check.copies) == (CHECKED, 0)


def test_copies_for_a_model_of_clean_data_are_refused_as_in_a_scan(images):
    with pytest.raises(ConfigError, match=r"no ambient.json that says so"):
        look(MODELS / "overfit", images=str(images), noisy_copies=str(images))


def test_the_perfect_memorizer_has_nothing_to_check(images):
    check = look(f"closed-form:{images}", images=str(images)).self_check
    assert (check.state, check.levels) == ("nothing to check", ())


def test_images_that_cannot_be_read_are_counted_and_others_drawn(misread, images, tmp_path):
    folder = Path(shutil.copytree(images, tmp_path / "images"))
    first = sorted(folder.glob("*.png"))[0]
    for k in range(20):
        shutil.copy(first, folder / f"again-{k}.png")
        (folder / f"broken-{k}.png").write_bytes(b"no picture")
    check = look(misread, images=str(folder)).self_check
    assert check.images == CHECKED
    assert 0 < check.unreadable <= 20
    for file in folder.glob("*.png"):
        file.write_bytes(b"no picture")
    with pytest.raises(
        DataError, match=r"none of 80 images drawn from .* can be read; the first: "
    ):
        look(misread, images=str(folder))


def test_one_image_is_enough_to_ask_and_too_few_to_find_another_reading_better(
    misread, tmp_path, images
):
    (tmp_path / "one").mkdir()
    shutil.copy(sorted(images.glob("*.png"))[0], tmp_path / "one")
    check = look(misread, images=str(tmp_path / "one")).self_check
    assert check.images == 1
    assert "read as" not in (check.reason or "")


def test_images_that_are_none_are_refused_before_the_model_is_opened(tmp_path):
    with pytest.raises(DataError, match="holds no image"):
        look("no/model/anywhere", images=str(tmp_path))


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"plot": "schedule.jpg"}, "--plot schedule.jpg ends in neither .png nor .svg"),
        ({"plot": "schedule"}, "ends in neither"),
        ({"noisy_copies": "copies"}, "takes --images"),
        ({"data": DataOptions(resize="pad")}, "and no --images"),
        ({"batch_size": 0}, "--batch-size must be 1 or more"),
        ({"seed": -1}, "--seed must be 0 or more"),
        ({"images": "images", "plot": "images/a.png"}, "lies inside the data set"),
    ],
)
def test_what_an_inspection_would_not_heed_is_refused(options, said):
    with pytest.raises(ConfigError, match=said):
        asked("model", **options)


def test_options_of_images_are_heeded_by_a_model_made_of_images(images):
    look(f"closed-form:{images}", data=DataOptions(resize="pad"))


def test_one_line_tells_a_scan_what_was_opened(overfit, write_folder, tiles):
    assert in_a_line(overfit) == (
        "model: pixel (UNet2DModel), v_prediction, squaredcos_cap_v2, sigma 0.00643 to 2.03e+04, "
        "pixels 3x32x32, 1.11 M parameters in float32"
    )
    memorizer = look(f"closed-form:{write_folder('images', tiles[:3])}")
    assert in_a_line(memorizer) == (
        "model: closed-form, the perfect memorizer of 3 images, sigma 0.001 to 1e+04, "
        "pixels 3x16x16"
    )
    flipped = replace(overfit, prediction=replace(overfit.prediction, sign=-1))
    assert ", v_prediction, sign flipped, " in in_a_line(flipped)


def test_all_of_it_is_said_in_lines_that_a_terminal_shows(overfit):
    hostile = replace(
        overfit,
        model="\x1b[31m\n",
        class_name="UNet\x07",
        weights=(replace(overfit.weights[0], name="a\nb\x1b[2J"),),
        parts=(replace(overfit.parts[0], name="\u202eunet", class_name="\x9b1m"),),
    )
    text = describe(hostile) + in_a_line(overfit)
    assert all(one.isprintable() or one == "\n" for one in text)
    assert "  " + overfit.weights[0].sha256 + "  a\\nb\\x1b[2J" in text.splitlines()


def test_without_letters_for_blocks_the_schedule_is_told_in_numbers_alone(overfit):
    text = describe(overfit, with_blocks=False)
    assert text.isascii()
    assert "1000 steps, sigma 0.00643 to 2.03e+04, log-SNR 10.1 to -19.8" in text


def heights(lines: list[str]) -> list[int]:
    """How high each column of a drawing is, in eighths of a line."""
    rows = [line[7:].ljust(COLUMNS) for line in lines[1 : 1 + ROWS]]
    return [sum(EIGHTHS.index(row[k]) for row in rows) for k in range(COLUMNS)]


def test_blocks_are_as_high_as_the_log_snr():
    curve = Curve(tuple(range(0, 1000, 10)), tuple(np.exp(np.linspace(-4, 4, 100) / 2)))
    lines = blocks(curve)
    assert lines[1].startswith("   4.0 ")
    assert lines[ROWS].startswith("  -4.0 ")
    assert lines[-1].split() == ["step", "0", "990"]
    found = heights(lines)
    assert found == pytest.approx(np.linspace(8 * ROWS, 1, COLUMNS), abs=0.51)


@pytest.mark.parametrize("sigmas", [(0.5, 0.5), (0.1, 0.1000001), (1e-9, 1e9)])
def test_blocks_of_two_steps_or_of_one_height_are_drawn(sigmas):
    assert 1 <= min(heights(blocks(Curve((0, 1), sigmas)))) <= 8 * ROWS


@pytest.mark.parametrize("kind", ["png", "SVG"])
def test_a_plot_is_the_same_each_time_and_no_file_is_half_written(tmp_path, kind):
    found = look(MODELS / "ambient")
    path = tmp_path / f"schedule.{kind}"
    draw(found, path)
    first = path.read_bytes()
    draw(found, path)
    assert path.read_bytes() == first
    assert list(tmp_path.iterdir()) == [path]
    if kind == "png":
        with PillowImage.open(path) as picture:
            assert picture.size == (660, 440)
    else:
        assert b"<svg" in first


def test_a_model_without_steps_has_no_schedule_to_draw(images, tmp_path):
    with pytest.raises(ConfigError, match="has no steps; leave it out"):
        draw(look(f"closed-form:{images}"), tmp_path / "schedule.png")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("number", "said"),
    [
        *(
            (0, "0 bytes"),
            (1, "1 byte"),
            (999, "999 bytes"),
            (1000, "1 kB"),
            (6_938_041_144, "6.94 GB"),
        ),
    ],
)
def test_large_sizes_have_three_digits(number, said):
    assert large(number) == said
