import json
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from diffusers import DDPMPipeline, DDPMScheduler, UNet2DModel

from memaudit.errors import ModelError
from memaudit.models.families.pixel import wrap
from memaudit.models.load import load_model
from memaudit.models.loaded import ModelOptions
from memaudit.models.pixel import PixelDenoiser
from memaudit.models.weights import sha256_file

MakeUnet = Callable[..., UNet2DModel]
COSINE = {"beta_schedule": "squaredcos_cap_v2", "prediction_type": "v_prediction"}


def denoised(denoiser: PixelDenoiser) -> torch.Tensor:
    x = torch.randn(2, 3, 8, 8, generator=torch.Generator().manual_seed(0))
    return denoiser.denoise(x, torch.tensor([0.5, 3.0]))


def test_saved_pipeline_comes_back_the_same(make_unet: MakeUnet, tmp_path: Path) -> None:
    scheduler = DDPMScheduler(**COSINE)
    DDPMPipeline(make_unet(), scheduler).save_pretrained(tmp_path)
    loaded = load_model(str(tmp_path), ModelOptions())
    assert torch.equal(
        denoised(loaded.denoiser), denoised(wrap(make_unet(), dict(scheduler.config)))
    )
    assert loaded.denoiser.clip == 1
    assert loaded.provenance.reading["prediction_type"] == "v_prediction"
    assert loaded.provenance.reading["schedule"] == "squaredcos_cap_v2"
    weights = tmp_path / "unet" / "diffusion_pytorch_model.safetensors"
    assert loaded.provenance.weights == {weights.name: sha256_file(weights)}


def test_a_flat_pipeline_with_everything_at_its_root_is_read(
    make_unet: MakeUnet, tmp_path: Path
) -> None:
    make_unet().save_pretrained(tmp_path)
    DDPMScheduler(**COSINE, clip_sample=False).save_pretrained(tmp_path)
    parts = {
        "_class_name": "DDPMPipeline",
        "unet": ["diffusers", "UNet2DModel"],
        "scheduler": ["diffusers", "DDPMScheduler"],
    }
    (tmp_path / "model_index.json").write_text(json.dumps(parts))
    loaded = load_model(str(tmp_path), ModelOptions())
    assert torch.equal(denoised(loaded.denoiser), denoised(wrap(make_unet(), COSINE)))


def test_bare_unet_takes_the_scheduler_beside_it(make_unet: MakeUnet, tmp_path: Path) -> None:
    make_unet().save_pretrained(tmp_path)
    DDPMScheduler(**COSINE, clip_sample=False).save_pretrained(tmp_path)
    loaded = load_model(str(tmp_path), ModelOptions())
    assert torch.equal(denoised(loaded.denoiser), denoised(wrap(make_unet(), COSINE)))
    assert "assumed" not in loaded.provenance.details["scheduler"]


def test_unet_folder_of_a_pipeline_takes_the_pipeline_s_scheduler(
    make_unet: MakeUnet, tmp_path: Path
) -> None:
    DDPMPipeline(make_unet(), DDPMScheduler(**COSINE)).save_pretrained(tmp_path)
    loaded = load_model(str(tmp_path / "unet"), ModelOptions())
    assert loaded.provenance.reading["prediction_type"] == "v_prediction"


def test_bare_unet_alone_is_assumed_linear_and_says_so(make_unet: MakeUnet, tmp_path: Path) -> None:
    make_unet().save_pretrained(tmp_path)
    loaded = load_model(str(tmp_path), ModelOptions())
    assert loaded.provenance.details["scheduler"]["assumed"] is True
    expected = wrap(make_unet(), {"beta_schedule": "linear", "prediction_type": "epsilon"})
    assert torch.equal(denoised(loaded.denoiser), denoised(expected))


def test_bfloat16_network_still_answers_in_float32(make_unet: MakeUnet, tmp_path: Path) -> None:
    make_unet().save_pretrained(tmp_path)
    half = denoised(load_model(str(tmp_path), ModelOptions(dtype="bfloat16")).denoiser)
    assert half.dtype == torch.float32
    full = denoised(load_model(str(tmp_path), ModelOptions()).denoiser)
    torch.testing.assert_close(half, full, rtol=0.1, atol=0.1)


def test_resolution_overrides_the_sample_size(make_unet: MakeUnet, tmp_path: Path) -> None:
    make_unet().save_pretrained(tmp_path)
    loaded = load_model(str(tmp_path), ModelOptions(resolution=16))
    assert loaded.denoiser.shape == (3, 16, 16)


def test_pickled_weights_are_refused_with_a_way_out(make_unet: MakeUnet, tmp_path: Path) -> None:
    make_unet().save_pretrained(tmp_path, safe_serialization=False)
    with pytest.raises(ModelError, match=r"pickle can run any code.*Convert it: memaudit convert"):
        load_model(str(tmp_path), ModelOptions())


def test_weights_that_are_not_finite_are_refused(make_unet: MakeUnet, tmp_path: Path) -> None:
    network = make_unet()
    network.conv_in.weight.data[0, 0, 0, 0] = torch.nan
    network.save_pretrained(tmp_path)
    with pytest.raises(ModelError, match=r"NaN or infinity \(conv_in.weight\)"):
        load_model(str(tmp_path), ModelOptions())


def test_damaged_weights_are_refused(make_unet: MakeUnet, tmp_path: Path) -> None:
    make_unet().save_pretrained(tmp_path)
    weights = tmp_path / "diffusion_pytorch_model.safetensors"
    weights.write_bytes(weights.read_bytes()[:5000])
    with pytest.raises(ModelError, match="safetensors"):
        load_model(str(tmp_path), ModelOptions())


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"_class_name": "UNet2DConditionModel"}, "holds a UNet2DConditionModel"),
        ({"num_class_embeds": 10}, "class-conditional"),
        ({"time_embedding_type": "fourier"}, "embeds time as 'fourier'"),
        ({"block_out_channels": [8, 32]}, "cannot be used: .*of one model"),
    ],
)
def test_networks_of_other_kinds_are_refused(
    make_unet: MakeUnet, tmp_path: Path, change: dict[str, object], words: str
) -> None:
    make_unet().save_pretrained(tmp_path)
    config = tmp_path / "config.json"
    config.write_text(json.dumps(json.loads(config.read_text()) | change))
    with pytest.raises(ModelError, match=words):
        load_model(str(tmp_path), ModelOptions())


def test_flow_prediction_is_refused(make_unet: MakeUnet) -> None:
    with pytest.raises(ModelError, match="'flow_prediction'; expected one of epsilon"):
        wrap(make_unet(), {"beta_schedule": "linear", "prediction_type": "flow_prediction"})


def test_folder_without_a_model_names_what_it_holds(tmp_path: Path) -> None:
    (tmp_path / "cat.png").write_bytes(b"")
    with pytest.raises(ModelError, match=r"expected model_index.json .* found cat.png"):
        load_model(str(tmp_path), ModelOptions())
