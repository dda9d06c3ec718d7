from collections.abc import Callable

import pytest
import torch
from diffusers import DDIMScheduler, DDPMScheduler, UNet2DModel
from torch import Tensor

from memaudit.errors import ConfigError
from memaudit.models.families.pixel import wrap
from memaudit.models.parameterization import PREDICTIONS

MakeUnet = Callable[..., UNet2DModel]
SCHEDULES = {
    "linear": {"beta_schedule": "linear"},
    "scaled": {"beta_schedule": "scaled_linear", "beta_start": 0.00085, "beta_end": 0.012},
    "cosine": {"beta_schedule": "squaredcos_cap_v2"},
    "zero-snr": {"beta_schedule": "linear", "rescale_betas_zero_snr": True},
}
TIMES = (0, 37, 250, 700, 940)


def noisy(channels: int = 3, scale: float = 1.0) -> Tensor:
    """Five samples x_t of about unit variance, as a scheduler holds them."""
    generator = torch.Generator().manual_seed(1)
    return scale * torch.randn(5, channels, 8, 8, generator=generator)


def by_scheduler(scheduler: DDPMScheduler, network: UNet2DModel, x_t: Tensor) -> Tensor:
    """The scheduler's own x0 at each of TIMES."""
    rows = []
    scheduler.set_timesteps(1000)
    for row, t in zip(x_t, TIMES, strict=True):
        output = network(row[None], t).sample
        rows.append(scheduler.step(output, t, row[None]).pred_original_sample)
    return torch.cat(rows)


def by_denoiser(config: dict[str, object], network: UNet2DModel, x_t: Tensor) -> Tensor:
    """Ours, all of TIMES in one batch."""
    denoiser = wrap(network, config)
    sigma = torch.tensor([denoiser.sigma_of_timestep(t) for t in TIMES])
    return denoiser.denoise(x_t * (1 + sigma**2).sqrt().view(-1, 1, 1, 1), sigma)


def assert_same_x0(ours: Tensor, theirs: Tensor) -> None:
    for a, b in zip(ours, theirs, strict=True):
        assert float((a - b).abs().max()) < 1e-5 * float(b.abs().max())


@pytest.mark.parametrize("schedule", SCHEDULES.values(), ids=SCHEDULES)
@pytest.mark.parametrize("prediction", PREDICTIONS)
@pytest.mark.parametrize("scheduler", [DDPMScheduler, DDIMScheduler])
def test_x0_is_that_of_the_scheduler_of_diffusers(
    make_unet: MakeUnet, scheduler: type, prediction: str, schedule: dict[str, object]
) -> None:
    config = {**schedule, "prediction_type": prediction, "clip_sample": False}
    theirs = by_scheduler(scheduler(**config), make_unet(), noisy())
    assert_same_x0(by_denoiser(config, make_unet(), noisy()), theirs)


def test_learned_variance_is_dropped(make_unet: MakeUnet) -> None:
    config = {"beta_schedule": "linear", "clip_sample": False, "variance_type": "learned_range"}
    network = make_unet(3, 6)
    theirs = by_scheduler(DDPMScheduler(**config), network, noisy())
    assert theirs.shape == noisy().shape
    assert_same_x0(by_denoiser(config, network, noisy()), theirs)


@pytest.mark.parametrize("clip", [1.0, 0.25])
def test_x0_is_clipped_where_the_scheduler_clips(make_unet: MakeUnet, clip: float) -> None:
    config = {"beta_schedule": "linear", "clip_sample": True, "clip_sample_range": clip}
    theirs = by_scheduler(DDPMScheduler(**config), make_unet(), noisy(scale=3))
    assert float(theirs.abs().max()) == clip
    ours = by_denoiser(config, make_unet(), noisy(scale=3))
    torch.testing.assert_close(ours, theirs, rtol=0, atol=1e-4)


def test_levels_mix_in_a_batch(make_unet: MakeUnet) -> None:
    denoiser = wrap(make_unet(), {"beta_schedule": "squaredcos_cap_v2"})
    sigma = torch.tensor([0.01, 0.3, 1.0, 7.0, 90.0])
    together = denoiser.denoise(noisy(), sigma)
    for k in range(5):
        alone = denoiser.denoise(noisy()[k : k + 1], sigma[k : k + 1])[0]
        last_bits = 1e-5 * (1 + float(sigma[k]))  # of the network's noise, times sigma in x0
        torch.testing.assert_close(together[k], alone, rtol=1e-4, atol=last_bits)


def test_grayscale_model_sees_luma_and_answers_in_three_channels(make_unet: MakeUnet) -> None:
    denoiser = wrap(make_unet(1, 1), {"beta_schedule": "linear"})
    assert denoiser.shape == (1, 8, 8)
    red = torch.zeros(1, 3, 8, 8, dtype=torch.uint8)
    red[:, 0] = 255
    x = denoiser.encode(red)
    assert x.shape == (1, 1, 8, 8)
    assert float(x.mean()) == pytest.approx(2 * 0.299 - 1)
    assert denoiser.denoise(x, torch.ones(1)).shape == x.shape
    assert denoiser.decode(x).unique().tolist() == [76]
    assert denoiser.decode(x).shape == red.shape


@pytest.mark.parametrize("channels", [1, 3])
def test_every_gray_value_survives_encoding_and_decoding(
    make_unet: MakeUnet, channels: int
) -> None:
    denoiser = wrap(make_unet(channels, channels), {"beta_schedule": "linear"})
    values = torch.arange(256, dtype=torch.uint8).view(4, 1, 8, 8).expand(-1, 3, -1, -1)
    assert torch.equal(denoiser.decode(denoiser.encode(values)), values)


def test_decoding_clips_what_lies_outside_the_range(make_unet: MakeUnet) -> None:
    denoiser = wrap(make_unet(), {"beta_schedule": "linear"})
    x = torch.tensor([-7.0, 7.0]).view(2, 1, 1, 1).expand(2, 3, 8, 8)
    assert denoiser.decode(x).flatten(1).unique(dim=1).tolist() == [[0], [255]]


@pytest.mark.parametrize("timestep", [-1, 1000])
def test_timestep_outside_the_schedule_is_refused(make_unet: MakeUnet, timestep: int) -> None:
    denoiser = wrap(make_unet(), {"beta_schedule": "linear"})
    with pytest.raises(ConfigError, match=r"outside the schedule's 0 \.\. 999"):
        denoiser.sigma_of_timestep(timestep)


def test_misreadings_never_hold_the_declared_reading(make_unet: MakeUnet) -> None:
    denoiser = wrap(make_unet(), {"beta_schedule": "linear", "prediction_type": "sample"})
    x, sigma = noisy(), torch.full((5,), 2.0)
    declared = denoiser.denoise(x, sigma)
    names = []
    for name, other in denoiser.misreadings():
        names.append(name)
        assert not torch.allclose(other.denoise(x, sigma), declared, rtol=1e-4), name
    assert len(set(names)) == len(names) == 12
