"""Models of noisy data and reference models on the command line."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from diffusers import DDPMScheduler, UNet2DModel
from safetensors.torch import save_file

from memaudit.corruption.noise import frozen_noise
from memaudit.data import image_id
from memaudit.models.codec import encode_pixels

QUICK = ("--embedder", "pixels", "--sigma", "1,3", "--draws", 1, "--steps", 2, "--no-power")


@pytest.fixture
def model(tmp_path) -> Path:
    """An untrained UNet of 16 px that says it was trained on noisy data."""
    torch.manual_seed(0)
    blocks = {"down_block_types": ("DownBlock2D",) * 2, "up_block_types": ("UpBlock2D",) * 2}
    size = {"sample_size": 16, "block_out_channels": (8, 16), "norm_num_groups": 4}
    network = UNet2DModel(layers_per_block=1, add_attention=False, **size, **blocks)
    folder = tmp_path / "model"
    network.save_pretrained(folder)
    DDPMScheduler().save_config(folder)
    (folder / "ambient.json").write_text('{"loss": "ambient", "sigma_n": 0.5, "seed": 0}')
    return folder


@pytest.fixture
def audit(memaudit_command, model, members, controls, tmp_path):
    """Scan the model, quickly: `audit(*options)`."""

    def run(*options, command="scan"):
        out = ("--out", tmp_path / "run") if command == "scan" else ()
        words = (command, model, members, "--controls", controls, *QUICK, *out)
        return memaudit_command(*words, *options, *(("--no-self-check",) if out else ()))

    return run


def copies_of(images, folder):
    ids = [image_id(image) for image in images]
    x0 = encode_pixels(torch.from_numpy(np.stack(images)).permute(0, 3, 1, 2), 3)
    noisy = x0 + 0.5 * frozen_noise(ids, (3, 16, 16), 0.5, 0)
    folder.mkdir(parents=True)
    rows = {name: one.contiguous().clone() for name, one in zip(ids, noisy, strict=True)}
    save_file(rows, folder / "part-00000.safetensors")


def test_without_its_copies_a_model_of_noisy_data_is_said_to_be_half_audited(audit):
    run = audit("--verbose")
    assert run.code == 4
    assert (
        "memaudit: the model was trained on noisy data and audited against clean images only, "
        "which misses noisy copies that it memorized: no noisy copies stand beside it; name their "
        "folder with --noisy-copies DIR"
    ) in run.err
    assert "  noisy data      ambient, noise 0.5 in the training images; audited against" in run.out


def test_copies_beside_the_model_are_used(audit, model, tiles, tmp_path):
    copies_of(tiles[:6], model / "noisy")
    run = audit("--verbose")
    assert run.err.startswith("memaudit: model: pixel (UNet2DModel), ")
    assert run.err.count("\n") == 1
    assert "audited against clean images and noisy copies" in run.out
    assert "  by noisy copy   " in run.out
    assert "the frozen noise of its training copies: p " in run.out
    report = json.loads((tmp_path / "run" / "scan.json").read_text())
    assert report["prepared"]["copies"]["images"] == 6
    assert {(level["attack"], level["input"]) for level in report["summary"]["levels"]} == {
        (attack, what)
        for attack in ("reconstruction-ode", "mirrored-residual")
        for what in ("clean image", "noisy copy")
    }


@pytest.mark.parametrize("words", [("--noisy-copies",), ("--noisy-copies", "elsewhere")])
def test_copies_that_are_asked_for_and_not_there_are_refused(audit, words):
    run = audit(*words)
    assert run.code == 2
    assert "holds no noisy copies; expected part-*.safetensors" in run.err


def test_a_plan_counts_the_copies(audit, model, tiles):
    alone = json.loads(audit("--json", command="plan").out)
    copies_of(tiles[:6], model / "noisy")
    both = json.loads(audit("--json", command="plan").out)
    assert both["evaluations"] == 2 * alone["evaluations"]
    assert both["queries"] == 2 * alone["queries"]


def test_one_step_on_a_model_of_noisy_data_is_inconclusive(audit, model, tiles):
    copies_of(tiles[:6], model / "noisy")
    run = audit("--reconstruct", "one-step")
    assert run.code == 4
    assert "one step misses what full sampling detects; scan with --reconstruct ode" in run.out


def test_a_reference_without_what_it_was_trained_on_is_refused(scan, members, controls):
    run = scan(members, "--controls", controls, "--reference", f"closed-form:{members}")
    assert run.code == 2
    assert "--reference and --reference-trained-on go together" in run.err


def test_a_reference_is_named_in_the_summary(scan, members, controls, tiles, write_folder):
    others = write_folder("others", tiles[60:])
    words = ("--reference", f"closed-form:{others}", "--reference-trained-on", others)
    run = scan(members, "--controls", controls, *words, "--verbose")
    assert run.code == 0
    assert (
        f"  reference       closed-form:{others}, trained on {others}: it saw 0 members" in run.out
    )


def test_a_reference_that_saw_the_controls_is_refused(scan, members, controls):
    words = ("--reference", f"closed-form:{controls}", "--reference-trained-on", "unrelated")
    run = scan(members, "--controls", controls, *words)
    assert run.code == 2
    assert "was trained on the controls" in run.err
    assert "makes any model look like a memorizer" in run.err
