"""`memaudit inspect`: what it prints, and that it ends as a scan does."""

import io
import json
import os
import shutil
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image as PillowImage

from memaudit.cli.terminal import can_show
from memaudit.demo.run import MODELS

WEIGHTS = "diffusion_pytorch_model.safetensors"


@pytest.fixture
def inspect(memaudit_command):
    return lambda *words: memaudit_command("inspect", *words)


@pytest.fixture
def model(tmp_path: Path) -> Path:
    return Path(shutil.copytree(MODELS / "overfit", tmp_path / "model"))


@pytest.fixture
def flat(write_folder) -> Path:
    """Images of which nobody can tell one reading from another."""
    return write_folder("flat", [np.full((8, 8, 3), 10 * k, np.uint8) for k in range(3)])


def test_what_a_model_is_goes_to_stdout_and_nothing_to_stderr(inspect, model):
    run = inspect(model)
    assert (run.code, run.err) == (0, "")
    assert run.out.splitlines()[0] == f"{model}: pixel (UNet2DModel)"
    assert "  prediction      v_prediction, sign +1" in run.out
    assert "█" in run.out
    assert f"  {WEIGHTS}" in run.out


def test_json_is_one_object_in_ascii_whatever_lies_in_the_folder(inspect, model):
    for name in (b"\xff\xfe.bin", b"\x1b[31mred\n.bin", "\u202egpj.bin".encode()):
        (Path(os.fsdecode(os.fsencode(model) + b"/" + name))).write_bytes(b"x")
    run = inspect(model, "--json")
    assert (run.code, run.err) == (0, "")
    assert run.out.isascii()
    found = json.loads(run.out)
    names = [one["name"] for one in found["ignored"]]
    assert names == ["\x1b[31mred\n.bin", "\u202egpj.bin", "\\xff\\xfe.bin"]
    assert all("never loaded" in one["reason"] for one in found["ignored"])
    assert found["self_check"] is None
    run = inspect(model)
    assert all(one.isprintable() or one == "\n" for one in run.out)
    assert "  \\x1b[31mred\\n.bin (1 byte): a pickle" in run.out


def test_of_many_ignored_files_a_few_are_printed_and_all_are_counted(inspect, model):
    for k in range(1005):
        (model / f"{k:04}.bin").touch()
    assert "  and 985 more, which --json names" in inspect(model).out
    found = json.loads(inspect(model, "--json").out)
    assert (len(found["ignored"]), found["ignored_count"]) == (1000, 1005)


def test_a_reading_that_is_refused_ends_as_in_a_scan_and_the_rest_is_printed_first(
    inspect, memaudit_command, model, flat, tmp_path
):
    run = inspect(model, "--images", flat, "--json")
    assert run.code == 2
    assert run.err.startswith("memaudit: error: unsupported or misread model: ")
    found = json.loads(run.out)
    assert found["self_check"]["state"] == "refused"
    assert f"memaudit: error: {found['self_check']['reason']}\n" == run.err
    assert found["family"] == "pixel"
    run = inspect(model, "--images", flat, "--plot", tmp_path / "schedule.svg")
    assert (run.code, (tmp_path / "schedule.svg").is_file()) == (2, True)
    assert "Self-check: refused, on 3 images" in run.out
    assert "of the trivial answer" in run.out
    words = ("--embedder", "pixels", "--out", tmp_path / "run")
    assert memaudit_command("scan", model, flat, *words).code == 2


BROKEN = pytest.mark.parametrize(
    ("break_it", "options"),
    [
        (lambda model: (model / "unet" / WEIGHTS).unlink(), ()),
        (lambda model: (model / "unet" / WEIGHTS).rename(model / "unet" / "model.bin"), ()),
        (lambda model: (model / "unet" / WEIGHTS).write_bytes(b"x"), ()),
        (lambda model: (model / "model_index.json").write_text("{"), ()),
        (lambda model: (model / "unet" / "config.json").write_text("[]"), ()),
        (lambda model: (model / "scheduler" / "scheduler_config.json").unlink(), ()),
        (shutil.rmtree, ()),
        (lambda model: [shutil.rmtree(model), model.mkdir()], ()),
        (lambda model: [shutil.rmtree(model), model.write_text("x")], ()),
        (lambda _: None, ("--variant", "fp16")),
        (lambda _: None, ("--variant", "../x")),
        (lambda _: None, ("--resolution", 15)),
        (lambda _: None, ("--base-model", "other")),
        (lambda _: None, ("--dtype", "float16")),
        (lambda _: None, ("--device", "tpu")),
    ],
)


@pytest.fixture
def scanned(memaudit_command, members, tmp_path):
    """What a scan of a model ends in."""
    words = (members, "--embedder", "pixels", "--out", tmp_path / "run")
    return lambda model, *options: memaudit_command("scan", model, *words, *options)


@BROKEN
def test_what_cannot_be_opened_ends_as_in_a_scan(inspect, scanned, model, break_it, options):
    break_it(model)
    run, scan = inspect(model, *options, "--json"), scanned(model, *options)
    assert (run.code, run.out) == (scan.code, "") == (2, "")
    assert run.err.splitlines()[-1].removeprefix("Error: ") == (
        scan.err.splitlines()[-1].removeprefix("Error: ")
    )


@pytest.mark.parametrize("model", ["no-owner-has/this-model", "not//an id"])
def test_an_id_that_the_hub_cannot_serve_ends_as_in_a_scan(inspect, scanned, model):
    run, scan = (command(model, "--local-files-only") for command in (inspect, scanned))
    assert (run.code, run.out, run.err) == (scan.code, "", scan.err)
    assert run.code in (2, 3)


def test_images_that_cannot_be_read_are_refused_by_name(inspect, model, tmp_path):
    folder = tmp_path / "images"
    folder.mkdir()
    for words in (("--images", folder), ("--images", tmp_path / "nowhere")):
        run = inspect(model, *words)
        assert (run.code, run.out) == (2, "")
        assert str(words[1]) in run.err
    (folder / "broken.png").write_bytes(b"no picture")
    run = inspect(model, "--images", folder)
    assert (run.code, run.out) == (2, "")
    assert "none of 1 images drawn from" in run.err


def test_a_plot_goes_where_it_is_asked_for_or_is_refused(inspect, model, tmp_path):
    assert inspect(model, "--plot", tmp_path / "schedule.png").code == 0
    with PillowImage.open(tmp_path / "schedule.png") as picture:
        assert picture.format == "PNG"
    run = inspect(model, "--plot", tmp_path / "no" / "folder.png")
    assert run.code == 2
    assert str(tmp_path / "no" / "folder.png") in run.err
    run = inspect(f"closed-form:{tmp_path}", "--plot", tmp_path / "new.png")
    assert run.code == 2
    assert "has no steps; leave it out" in run.err
    assert not (tmp_path / "new.png").exists()


def test_options_may_come_from_a_file(inspect, model, tmp_path):
    (tmp_path / "options.toml").write_text("[inspect]\nresolution = 16\n")
    found = json.loads(inspect(model, "--config", tmp_path / "options.toml", "--json").out)
    assert found["space"]["resolution"] == [16, 16]


def test_an_output_without_letters_for_blocks_is_told_so(monkeypatch):
    for encoding, shows in (("ascii", False), ("latin-1", False), ("utf-8", True)):
        monkeypatch.setattr(sys, "stdout", io.TextIOWrapper(io.BytesIO(), encoding=encoding))
        assert can_show("▁█") == shows
