"""`memaudit scan --weights`: which weights were scanned is always said where a model has both."""

import json
import shutil
from pathlib import Path

import pytest
import torch
from diffusers import DDPMPipeline, DDPMScheduler, UNet2DModel

QUICK = ("--embedder", "pixels", "--levels", 2, "--draws", 1, "--steps", 2, "--attacks", "none")


@pytest.fixture(scope="module")
def model(tmp_path_factory) -> Path:
    """An untrained pipeline with a folder of EMA weights beside its UNet."""
    torch.manual_seed(0)
    blocks = {"down_block_types": ("DownBlock2D",) * 2, "up_block_types": ("UpBlock2D",) * 2}
    shape = {"sample_size": 16, "block_out_channels": (8, 16), "norm_num_groups": 4}
    network = UNet2DModel(**shape, **blocks, layers_per_block=1)
    folder = tmp_path_factory.mktemp("models") / "model"
    DDPMPipeline(network, DDPMScheduler()).save_pretrained(folder)
    network.conv_in.bias.data.fill_(1)
    network.save_pretrained(folder / "unet_ema")
    return folder


@pytest.fixture
def scan_model(memaudit_command, members, tmp_path, model):
    def run(*options):
        words = (*QUICK, "--no-self-check", "--no-power", "--out", tmp_path / "run", *options)
        return memaudit_command("scan", model, members, *words)

    return run


def test_ema_weights_are_scanned_and_it_is_said_everywhere(scan_model, tmp_path):
    done = scan_model("--verbose")
    said = "EMA weights of the unet (unet_ema), which models are sampled with; beside them lie unet"
    assert f"  weights         {said}\n" in done.out
    assert f"memaudit: {said}; --weights raw asks for the other weights\n" in done.err
    assert said in (tmp_path / "run" / "summary.txt").read_text()
    assert said in (tmp_path / "run" / "report.html").read_text()
    record = json.loads((tmp_path / "run" / "scan.json").read_text())
    assert record["config"]["target"]["weights"] is None
    assert record["prepared"]["model"]["choices"] == [
        {
            "part": "unet",
            "used": "ema",
            "place": "unet_ema",
            "beside": ["unet"],
            "why": "default",
        }
    ]


def test_raw_weights_that_were_asked_for_are_another_question(scan_model, tmp_path):
    assert scan_model().code == 4
    refused = scan_model("--weights", "raw")
    assert refused.code == 2
    assert "--weights was not given, now raw" in refused.err
    shutil.rmtree(tmp_path / "run")
    done = scan_model("--weights", "raw", "--verbose")
    assert "raw weights of the unet (unet), as asked for; beside them lie unet_ema" in done.out
    assert "--weights ema asks for" not in done.err
    assert "--weights raw" in (tmp_path / "run" / "report.html").read_text()


def test_ema_weights_that_are_not_there_are_refused(memaudit_command, members, model):
    shutil.copytree(model, model.with_name("plain"), ignore=shutil.ignore_patterns("unet_ema"))
    words = (*QUICK, "--out", members.with_name("run"), "--weights", "ema")
    refused = memaudit_command("scan", model.with_name("plain"), members, *words)
    assert (refused.code, refused.out, refused.err.count("\n")) == (2, "", 1)
    assert "holds no EMA weights beside raw ones" in refused.err
    assert "diffusion_pytorch_model.safetensors" in refused.err


def test_a_choice_that_is_none_is_refused(scan_model):
    refused = scan_model("--weights", "average")
    assert refused.code == 2
    assert "'average' is not one of 'ema', 'raw'" in refused.err
