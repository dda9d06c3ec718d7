import math

import numpy as np
import pytest
import torch
from diffusers import DDIMScheduler

from memaudit.errors import ModelError
from memaudit.models.schedule import schedule_from_config

CONFIGS = {
    "linear": {"beta_schedule": "linear"},
    "scaled": {"beta_schedule": "scaled_linear", "beta_start": 0.00085, "beta_end": 0.012},
    "cosine": {"beta_schedule": "squaredcos_cap_v2"},
    "zero snr": {"beta_schedule": "linear", "rescale_betas_zero_snr": True},
}


@pytest.fixture(params=CONFIGS.values(), ids=CONFIGS)
def config(request: pytest.FixtureRequest) -> dict[str, object]:
    return request.param


def test_sigma_is_the_noise_to_signal_ratio_of_diffusers(config: dict[str, object]) -> None:
    abar = DDIMScheduler(**config).alphas_cumprod.double()[:999]
    steps = torch.arange(999)
    expected = ((1 - abar) / abar).sqrt()
    torch.testing.assert_close(
        schedule_from_config(config).sigma(steps).double(), expected, rtol=1e-6, atol=0
    )


def test_timestep_inverts_sigma_between_the_steps_too(config: dict[str, object]) -> None:
    schedule = schedule_from_config(config)
    t = torch.linspace(0, len(schedule.log_sigmas) - 1, 4321)
    torch.testing.assert_close(schedule.timestep(schedule.sigma(t)), t, rtol=0, atol=2e-3)


def test_sigma_rises_and_stays_finite(config: dict[str, object]) -> None:
    schedule = schedule_from_config(config)
    assert (np.diff(schedule.log_sigmas) > 0).all()
    assert 0 < schedule.sigma_min < schedule.sigma_max < math.inf


def test_stable_diffusion_noise_is_the_published_one() -> None:
    t = torch.tensor([50.0, 250.0, 500.0, 900.0, 999.0])
    sigma = schedule_from_config(CONFIGS["scaled"]).sigma(t)
    torch.testing.assert_close(
        sigma, torch.tensor([0.23, 0.70, 1.62, 8.35, 14.6]), rtol=0.02, atol=0
    )


def test_zero_terminal_snr_drops_the_infinite_step() -> None:
    schedule = schedule_from_config(CONFIGS["zero snr"])
    assert len(schedule.log_sigmas) == 999
    assert schedule.sigma_max > schedule_from_config(CONFIGS["linear"]).sigma_max


def test_cosine_schedule_keeps_its_last_step() -> None:
    schedule = schedule_from_config(CONFIGS["cosine"])
    assert len(schedule.log_sigmas) == 1000
    assert schedule.sigma_max == pytest.approx(20_291, rel=1e-3)


def test_sigma_outside_the_schedule_takes_its_last_step() -> None:
    schedule = schedule_from_config(CONFIGS["cosine"])
    assert schedule.timestep(torch.tensor([1e-6, 1e9])).tolist() == [0, 999]


def test_trained_betas_win_over_the_named_schedule() -> None:
    betas = np.linspace(1e-4, 0.03, 200).tolist()
    schedule = schedule_from_config({"trained_betas": betas, "beta_schedule": "linear"})
    assert schedule.name == "trained_betas"
    assert len(schedule.log_sigmas) == 200
    assert schedule.sigma_min == pytest.approx(math.sqrt(1e-4 / (1 - 1e-4)), rel=1e-3)


@pytest.mark.parametrize(
    ("config", "words"),
    [
        ({"_class_name": "FlowMatchEulerDiscreteScheduler", "shift": 3.0}, "no beta schedule"),
        ({"beta_schedule": "zigzag"}, "zigzag"),
    ],
)
def test_schedulers_of_other_families_are_refused(config: dict[str, object], words: str) -> None:
    with pytest.raises(ModelError, match=words):
        schedule_from_config(config)
