"""Models that cannot be audited end in a message and exit code 2; nothing is unpickled."""

import json
import math
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from diffusers import DDPMPipeline, DDPMScheduler, UNet2DConditionModel, UNet2DModel
from safetensors.torch import load_file, save_file

WEIGHTS = "diffusion_pytorch_model.safetensors"


def unet(**changes: Any) -> UNet2DModel:
    torch.manual_seed(0)
    blocks = {
        "block_out_channels": (8, 16),
        "down_block_types": ("DownBlock2D", "DownBlock2D"),
        "up_block_types": ("UpBlock2D", "UpBlock2D"),
    }
    shape = {"sample_size": 16, "norm_num_groups": 4, "layers_per_block": 1}
    return UNet2DModel(**shape, **(blocks | changes))


@pytest.fixture(scope="session")
def untrained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("models") / "untrained"
    DDPMPipeline(unet=unet(), scheduler=DDPMScheduler()).save_pretrained(folder)
    return folder


@pytest.fixture
def pipeline(untrained: Path, tmp_path: Path) -> Path:
    """A whole pipeline, to be damaged."""
    return Path(shutil.copytree(untrained, tmp_path / "model"))


@pytest.fixture
def refusal(memaudit_command, members, tmp_path) -> Callable[..., str]:
    """The message with which a scan of a model is refused."""

    def scan(model: object, *options: object) -> str:
        words = ("--embedder", "pixels", "--out", tmp_path / "run", *options)
        run = memaudit_command("scan", model, members, *words)
        assert (run.code, run.out) == (2, "")
        *opened, error = run.err.splitlines()
        assert error.startswith("memaudit: error: ")
        assert len(opened) <= 1
        assert all(line.startswith("memaudit: model: pixel (UNet2DModel), ") for line in opened)
        return str(error)

    return scan


def change(file: Path, **fields: object) -> None:
    file.write_text(json.dumps(json.loads(file.read_text()) | fields))


def test_pickled_weights_are_refused_and_never_opened(refusal, pipeline):
    (pipeline / "unet" / WEIGHTS).unlink()
    (pipeline / "unet" / "diffusion_pytorch_model.bin").write_bytes(b"no pickle either")
    message = refusal(pipeline)
    assert "pickled weights only (diffusion_pytorch_model.bin)" in message
    assert "Convert it: memaudit convert " in message


def test_a_folder_without_weights_is_refused(refusal, pipeline):
    (pipeline / "unet" / WEIGHTS).unlink()
    assert f"holds no weights, expected {WEIGHTS}" in refusal(pipeline)


def test_weights_of_another_variant_are_named(refusal, pipeline):
    assert f"holds {WEIGHTS}, expected diffusion_pytorch_model.fp16" in refusal(
        pipeline, "--variant", "fp16"
    )


@pytest.mark.parametrize("kept", [0, 4, 2000, 20_000])
def test_truncated_weights_are_refused(refusal, pipeline, kept):
    file = pipeline / "unet" / WEIGHTS
    file.write_bytes(file.read_bytes()[:kept])
    message = refusal(pipeline)
    assert f"{file} ({kept} bytes) is not a whole .safetensors file" in message
    assert "download it again" in message


def test_weights_with_nan_are_refused(refusal, pipeline):
    file = pipeline / "unet" / WEIGHTS
    tensors = load_file(file)
    tensors["conv_in.bias"][0] = torch.nan
    save_file(tensors, file, metadata={"format": "pt"})
    assert "hold NaN or infinity (conv_in.bias)" in refusal(pipeline)


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("block_out_channels", [8, 32]),
        ("layers_per_block", 2),
        ("down_block_types", ["DownBlock2D", "AttnDownBlock2D"]),
        ("down_block_types", ["DownBlock2D", "NoBlock"]),
        ("norm_num_groups", 3),
    ],
)
def test_a_config_that_does_not_fit_the_weights_is_refused(refusal, pipeline, field, value):
    change(pipeline / "unet" / "config.json", **{field: value})
    message = refusal(pipeline)
    assert str(pipeline / "unet") in message
    assert "of one model" in message or "from one model" in message


def test_weights_with_more_than_the_config_asks_for_are_refused(refusal, pipeline):
    file = pipeline / "unet" / WEIGHTS
    save_file(load_file(file) | {"extra.weight": torch.zeros(1)}, file, metadata={"format": "pt"})
    assert "1 tensors are missing, left over or of another shape, extra.weight" in refusal(pipeline)


def test_other_latent_pipelines_are_refused_by_name(refusal, pipeline):
    parts = {"vae": ["diffusers", "AutoencoderKL"], "_class_name": "LattePipeline"}
    change(pipeline / "model_index.json", **parts)
    assert "is a LattePipeline, which makes video" in refusal(pipeline)


def test_class_conditional_models_are_refused(refusal, tmp_path):
    unet(num_class_embeds=3).save_pretrained(tmp_path / "model")
    assert "is class-conditional" in refusal(tmp_path / "model")


def test_text_conditional_models_are_refused(refusal, tmp_path):
    UNet2DConditionModel(
        sample_size=8,
        block_out_channels=(8,),
        norm_num_groups=4,
        layers_per_block=1,
        cross_attention_dim=8,
        attention_head_dim=4,
        down_block_types=("CrossAttnDownBlock2D",),
        up_block_types=("CrossAttnUpBlock2D",),
    ).save_pretrained(tmp_path / "model")
    assert "holds a UNet2DConditionModel; this version audits UNet2DModel" in refusal(
        tmp_path / "model"
    )


def test_flow_models_are_refused(refusal, pipeline):
    scheduler = {"_class_name": "FlowMatchEulerDiscreteScheduler", "shift": 1.0}
    (pipeline / "scheduler" / "scheduler_config.json").write_text(json.dumps(scheduler))
    assert "FlowMatchEulerDiscreteScheduler has no beta schedule" in refusal(pipeline)


@pytest.mark.parametrize(
    ("field", "value", "said"),
    [
        ("prediction_type", "flow", "prediction_type is 'flow'; expected one of epsilon"),
        ("beta_schedule", "none", "noise schedule cannot be used: NotImplementedError"),
        ("clip_sample_range", "wide", "clip_sample_range is 'wide', expected a number above 0"),
    ],
)
def test_a_scheduler_that_cannot_be_read_is_refused(refusal, pipeline, field, value, said):
    change(pipeline / "scheduler" / "scheduler_config.json", **{field: value})
    assert said in refusal(pipeline)


def test_models_of_other_channels_are_refused(refusal, tmp_path):
    unet(in_channels=4, out_channels=4).save_pretrained(tmp_path / "model")
    assert "the UNet maps 4 channels to 4" in refusal(tmp_path / "model")


@pytest.mark.parametrize("size", [15, [16, 15], [1, 2, 3]])
def test_resolutions_the_network_cannot_take_are_refused(refusal, pipeline, size):
    change(pipeline / "unet" / "config.json", sample_size=size)
    assert f"the resolution is {size!r}, expected a multiple of 2" in refusal(pipeline)


OUT_OF_BOUNDS = [
    ("unet/config", "sample_size", [0, -32, "wide", 1.5, True, 10**6, 10**30]),
    ("unet/config", "layers_per_block", [0, -1, "2", 10**9]),
    ("unet/config", "block_out_channels", [[0, 0], [-8, 8], ["a"], [10**12], [8] * 300]),
    ("unet/config", "norm_num_groups", [0, -1, "8", 10**30]),
    ("unet/config", "in_channels", [0, -3, "3", 10**12]),
    ("unet/config", "dropout", [10**9]),
    ("unet/config", "act_fn", ["x" * 5000]),
    ("scheduler/scheduler_config", "num_train_timesteps", [0, -1, "1000", 10**9, 1.5, True]),
    ("scheduler/scheduler_config", "trained_betas", [[0.1] * 200_000]),
]


@pytest.mark.parametrize(
    ("file", "field", "value"),
    [(file, field, value) for file, field, values in OUT_OF_BOUNDS for value in values],
)
def test_a_configuration_out_of_the_stated_bounds_is_refused_before_anything_is_made(
    refusal, pipeline, file, field, value
):
    change(pipeline / f"{file}.json", **{field: value})
    message = refusal(pipeline)
    assert f"{file}.json gives {field} " in message
    assert ", expected a" in message


def test_numbers_that_are_not_finite_are_refused(refusal, pipeline):
    file = pipeline / "unet" / "config.json"
    file.write_text(file.read_text().replace('"sample_size": 16', '"sample_size": 1e999'))
    assert "the number 1e999 is not finite" in refusal(pipeline)


def test_a_scheduler_may_hold_numbers_that_are_not_finite(
    memaudit_command, pipeline, members, tmp_path
):
    change(pipeline / "scheduler" / "scheduler_config.json", lambda_min_clipped=-math.inf)
    words = ("--embedder", "pixels", "--levels", 1, "--draws", 1, "--steps", 1, "--no-self-check")
    run = memaudit_command("scan", pipeline, members, "--out", tmp_path / "run", *words)
    assert run.code == 4


def test_more_layers_than_any_model_has_are_refused(refusal, pipeline):
    change(pipeline / "unet" / "config.json", layers_per_block=60, block_out_channels=[8] * 60)
    assert "describes 3600 layers (block_out_channels, layers_per_block" in refusal(pipeline)


def test_a_network_larger_than_its_weights_is_refused_before_it_takes_memory(refusal, pipeline):
    change(pipeline / "unet" / "config.json", block_out_channels=[16_384, 16_384])
    message = refusal(pipeline)
    assert "describes a network of" in message
    assert "numbers, and its weights hold 41899" in message


@pytest.mark.parametrize(
    ("field", "value"),
    [
        *(("act_fn", value) for value in (None, "x")),
        *(("attention_head_dim", value) for value in ({}, [])),
        *(("down_block_types", value) for value in (None, [], ["Evil"], 5)),
        *(("block_out_channels", value) for value in (None, [], 5)),
        ("time_embedding_dim", 7),
    ],
)
def test_whatever_a_library_raises_over_a_network_names_its_folder(refusal, pipeline, field, value):
    change(pipeline / "unet" / "config.json", **{field: value})
    assert f"{pipeline}" in refusal(pipeline)


@pytest.mark.parametrize("field", ["clip_sample", "rescale_betas_zero_snr"])
@pytest.mark.parametrize("value", ["false", 0, []])
def test_a_flag_of_a_scheduler_is_true_or_false(refusal, pipeline, field, value):
    change(pipeline / "scheduler" / "scheduler_config.json", **{field: value})
    assert f"gives {field} {value!r}, expected true or false" in refusal(pipeline)


def test_of_many_betas_a_message_shows_a_few(refusal, pipeline):
    betas = {"beta_schedule": None, "trained_betas": [0.0] * 1000}
    change(pipeline / "scheduler" / "scheduler_config.json", **betas)
    message = refusal(pipeline)
    assert "give no noise that rises from step to step" in message
    assert len(message) < 500


@pytest.mark.parametrize("field", ["norm_eps", "mid_block_scale_factor", "freq_shift"])
@pytest.mark.parametrize("value", ["x", []])
def test_whatever_a_network_raises_when_it_is_asked_is_the_models_fault(
    refusal, pipeline, field, value
):
    change(pipeline / "unet" / "config.json", **{field: value})
    assert "the network of the model cannot be used: " in refusal(pipeline)


@pytest.mark.parametrize("field", ["quantization_config", "_attn_implementation"])
def test_what_brings_in_other_code_is_refused(refusal, pipeline, field):
    change(pipeline / "unet" / "config.json", **{field: "some/kernels"})
    assert f"({field}), which is not read" in refusal(pipeline)


def test_a_pipe_in_place_of_a_configuration_is_refused_and_not_waited_for(refusal, pipeline):
    (pipeline / "unet" / "config.json").unlink()
    os.mkfifo(pipeline / "unet" / "config.json")
    assert "expected a regular file, found a pipe" in refusal(pipeline)


@pytest.mark.parametrize(
    "text",
    [
        *("[]", "{", "null", "[" * 100_000, '{"loss": "ambient", "sigma_n": 1e999, "seed": 0}'),
        *(
            f'{{"loss": "ambient", "sigma_n": {sigma}, "seed": {seed}}}'
            for sigma, seed in (
                *(("1e300", 0), ("-1", 0), ('"x"', 0), ("0.2", -5), ("0.2", "1e300")),
                *(("0.2", "1e999"), ("0.2", "9" * 5000), ("0.2", 1 << 64), ("0.2", "[]")),
            )
        ),
        '{"loss": ["ambient"], "sigma_n": 0.2, "seed": 0}',
        '{"loss": "ambient", "sigma_n": 0.2, "seed": 0, "mask": 5}',
        '{"loss": "gsure", "sigma_n": 0.2, "seed": 0, "mask": {"kind": ["x"], "share": 0.5}}',
        '{"loss": "gsure", "sigma_n": 0.2, "seed": 0, "mask": {"kind": "pixels", "share": "x"}}',
        '{"loss": "ambient-mask", "sigma_n": 0, "seed": 0}',
    ],
)
def test_a_record_of_noise_that_makes_no_sense_is_refused(refusal, pipeline, text):
    (pipeline / "ambient.json").write_text(text)
    assert f"{pipeline / 'ambient.json'} " in refusal(pipeline)


def test_a_model_without_a_size_asks_for_one(refusal, pipeline):
    change(pipeline / "unet" / "config.json", sample_size=None)
    assert "say --resolution" in refusal(pipeline)
    assert "expected a multiple of 2" in refusal(pipeline, "--resolution", 15)


@pytest.mark.parametrize("text", ["", "{", "[]", "{}", '{"_class_name": "Other"}'])
def test_a_damaged_config_is_refused(refusal, pipeline, text):
    (pipeline / "unet" / "config.json").write_text(text)
    assert str(pipeline / "unet") in refusal(pipeline)


def test_what_is_no_model_is_refused(refusal, tmp_path):
    folder = tmp_path / "folder"
    folder.mkdir()
    assert "holds no model: expected model_index.json" in refusal(folder)
    (folder / "notes.txt").write_text("no model")
    assert "found notes.txt" in refusal(folder)
    assert "is a file; give the folder of a diffusers model" in refusal(folder / "notes.txt")
    assert "neither a folder on this machine nor a hub id" in refusal(tmp_path / "nowhere")


def test_an_incomplete_download_is_refused(refusal, pipeline):
    shutil.rmtree(pipeline / "scheduler")
    assert "is the download complete?" in refusal(pipeline)


def test_an_untrained_model_is_refused_as_misread(refusal, pipeline):
    assert "misread model" in refusal(pipeline)


def test_without_the_self_check_the_verdict_is_inconclusive(
    memaudit_command, pipeline, members, controls, tmp_path
):
    words = ("--embedder", "pixels", "--levels", 1, "--draws", 1, "--steps", 1)
    data = (members, "--controls", controls, "--out", tmp_path / "run")
    run = memaudit_command("scan", pipeline, *data, *words, "--no-self-check")
    assert run.code == 4
    assert "self-check of the model was switched off" in run.out


def test_a_hub_model_that_is_not_here_is_a_missing_dependency(memaudit_command, members, tmp_path):
    model = ("no-such-owner/no-such-model", members, "--out", tmp_path / "run")
    for words in (model, (*model, "--local-files-only")):
        run = memaudit_command("scan", *words)
        assert run.code == 3
        assert "check the id and the network" in run.err


@pytest.mark.skipif(torch.cuda.is_available(), reason="needs a machine without a GPU")
def test_a_gpu_that_is_not_there_is_refused(refusal, pipeline):
    assert "torch finds no GPU here" in refusal(pipeline, "--device", "cuda")
