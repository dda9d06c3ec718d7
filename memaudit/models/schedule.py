"""Noise schedules of variance-preserving models, seen as a curve sigma(t)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from diffusers import DDPMScheduler
from numpy.typing import NDArray
from torch import Tensor

from memaudit.errors import ConfigError, ModelError
from memaudit.models.limits import naming, short

BETA_FIELDS = (
    "num_train_timesteps",
    "beta_start",
    "beta_end",
    "beta_schedule",
    "trained_betas",
    "rescale_betas_zero_snr",
)


@dataclass(frozen=True, eq=False)
class Schedule:
    """sigma(t) = sqrt((1 - abar_t) / abar_t), increasing in t = 0 .. len - 1.

    With zero terminal SNR (Lin et al. 2023, arXiv 2305.08891) the last sigma is infinite; the
    curve ends one step before it, and `ends_in_noise` says so.
    """

    name: str
    log_sigmas: NDArray[np.float64]  # [T]
    ends_in_noise: bool = False

    @property
    def sigma_min(self) -> float:
        """The lowest noise the network was trained on."""
        return float(np.exp(self.log_sigmas[0]))

    @property
    def sigma_max(self) -> float:
        """The highest finite noise the network was trained on."""
        return float(np.exp(self.log_sigmas[-1]))

    def timestep(self, sigma: Tensor) -> Tensor:
        """[B] sigma -> [B] float32 time, linear in log sigma between the trained steps."""
        log_sigma = np.log(sigma.detach().cpu().double().numpy())
        t = np.interp(log_sigma, self.log_sigmas, np.arange(len(self.log_sigmas)))
        return torch.from_numpy(t).to(sigma.device, torch.float32)

    def sigma(self, t: Tensor) -> Tensor:
        """[B] time in [0, T - 1] -> [B] float32 sigma."""
        steps = np.arange(len(self.log_sigmas))
        log_sigma = np.interp(t.detach().cpu().double().numpy(), steps, self.log_sigmas)
        return torch.from_numpy(np.exp(log_sigma)).to(t.device, torch.float32)

    def sigma_of_timestep(self, timestep: int) -> float:
        """The noise at a trained step 0 .. T - 1; else ConfigError."""
        steps = len(self.log_sigmas)
        if not 0 <= timestep < steps:
            raise ConfigError(f"--timestep {timestep} is outside the schedule's 0 .. {steps - 1}")
        return float(np.exp(self.log_sigmas[timestep]))


def schedule_from_config(config: Mapping[str, Any]) -> Schedule:
    """Read the schedule out of a diffusers scheduler configuration.

    Linear, cosine (`squaredcos_cap_v2`), scaled-linear, sigmoid and trained betas, with or
    without zero terminal SNR. Raises ModelError for schedulers of other families.
    """
    if "beta_schedule" not in config and config.get("trained_betas") is None:
        raise ModelError(
            f"scheduler {config.get('_class_name', 'without a class name')} has no beta schedule, "
            "so the model is not a variance-preserving pixel model; this version reads DDPM-style "
            "schedulers (linear, scaled_linear, squaredcos_cap_v2, with or without zero terminal "
            "SNR)"
        )
    betas = {key: config[key] for key in BETA_FIELDS if config.get(key) is not None}
    with naming("the scheduler's noise schedule", "correct its scheduler_config.json"):
        scheduler = DDPMScheduler(**betas)
    abar = scheduler.alphas_cumprod.double().numpy()
    ends_in_noise = bool(len(abar) and abar[-1] == 0)  # zero terminal SNR: sigma is infinite there
    abar = abar[:-1] if ends_in_noise else abar
    if len(abar) < 2 or not (abar[-1] > 0 and abar[0] < 1 and (np.diff(abar) < 0).all()):
        raise ModelError(
            f"the scheduler's betas ({short(betas)}) give no noise that rises from step to step; "
            "expected two steps or more with betas between 0 and 1. Correct scheduler_config.json"
        )
    name = "trained_betas" if "trained_betas" in betas else str(config["beta_schedule"])
    return Schedule(name, 0.5 * np.log((1 - abar) / abar), ends_in_noise)
