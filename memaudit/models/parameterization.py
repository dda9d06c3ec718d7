"""How the output of a network is understood: from F to x0, given x = x0 + sigma n."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any, Protocol, cast, get_args

import numpy as np
from torch import Tensor

from memaudit.config import Prediction
from memaudit.corruption.noise import per_row
from memaudit.errors import ModelError
from memaudit.models.schedule import Schedule, schedule_from_config

PREDICTIONS: tuple[Prediction, ...] = get_args(Prediction)
TIME_SCALES = {
    "time as t": 1.0,
    "time as t/1000": 1e-3,
    "time as 4 t": 4.0,
    "time as 1000 t": 1e3,
}
OTHER_SCHEDULES = (
    {"beta_schedule": "linear"},
    {"beta_schedule": "scaled_linear", "beta_start": 0.00085, "beta_end": 0.012},
    {"beta_schedule": "scaled_linear", "beta_start": 0.0015, "beta_end": 0.0195},
    {"beta_schedule": "squaredcos_cap_v2"},
)
Predict = Callable[[Tensor, Tensor], Tensor]  # what the network sees [B, C, H, W], time [B] -> F


class Parameterization(Protocol):
    """What a network is shown of x = x0 + sigma n, and how its answer F becomes x0.

    It knows neither the network nor the space: `predict` asks the one in the other.
    """

    @property
    def sigma_min(self) -> float:
        """The lowest noise the network was trained on."""

    @property
    def sigma_max(self) -> float:
        """The highest finite noise the network was trained on."""

    def x0(self, x: Tensor, sigma: Tensor, predict: Predict) -> Tensor:
        """X [B, C, H, W] and sigma [B] -> the estimate of x0 [B, C, H, W]; fp32 in and out."""

    def sigma_of_timestep(self, timestep: int) -> float:
        """The noise at a step of the training schedule; raises ConfigError if it has none."""

    def others(self) -> Iterator[tuple[str, Parameterization]]:
        """Other ways to understand the same network, by name, for the self-check."""

    def described(self) -> dict[str, str]:
        """What scan.json holds of it."""


@dataclass(frozen=True, eq=False)
class VariancePreserving:
    """Prediction type, schedule and time of a network that sees x_t = a x.

    a = 1/sqrt(1 + sigma^2), s = sigma a. epsilon: x0 = (x_t - s F)/a; v (Salimans & Ho 2022, arXiv
    2202.00512): x0 = a x_t - s F; sample: x0 = F.
    """

    prediction: Prediction
    schedule: Schedule
    sign: float = 1.0
    time_scale: float = 1.0
    reversed_time: bool = False

    @property
    def sigma_min(self) -> float:
        """The lowest noise of the schedule."""
        return self.schedule.sigma_min

    @property
    def sigma_max(self) -> float:
        """The highest finite noise of the schedule."""
        return self.schedule.sigma_max

    @property
    def steps(self) -> int:
        """How many steps of finite noise the schedule has."""
        return len(self.schedule.log_sigmas)

    @property
    def ends_in_noise(self) -> bool:
        """Whether one more step is noise alone."""
        return self.schedule.ends_in_noise

    def time(self, sigma: Tensor) -> Tensor:
        """[B] sigma -> [B] the network's time argument."""
        t = self.schedule.timestep(sigma)
        if self.reversed_time:
            t = len(self.schedule.log_sigmas) - 1 - t
        return t * self.time_scale

    def x0(self, x: Tensor, sigma: Tensor, predict: Predict) -> Tensor:
        """The posterior mean of x0 given x = x0 + sigma n; fp32 in and out."""
        signal = per_row((1 + sigma**2).rsqrt(), x)
        noise = per_row(sigma, x) * signal
        x_t = signal * x
        output = predict(x_t, self.time(sigma)) * self.sign
        if self.prediction == "epsilon":
            return (x_t - noise * output) / signal
        if self.prediction == "v_prediction":
            return signal * x_t - noise * output
        return output

    def sigma_of_timestep(self, timestep: int) -> float:
        """The noise at a step 0 .. T - 1 of the schedule; else ConfigError."""
        return self.schedule.sigma_of_timestep(timestep)

    def others(self) -> Iterator[tuple[str, VariancePreserving]]:
        """Readings with another sign, prediction type, time or schedule, by name."""
        for prediction in PREDICTIONS:
            for sign in (1.0, -1.0):
                if (prediction, sign) != (self.prediction, self.sign):
                    name = f"prediction type {prediction}" + (" with its sign flipped" * (sign < 0))
                    yield name, replace(self, prediction=prediction, sign=sign)
        yield "time running backwards", replace(self, reversed_time=not self.reversed_time)
        for name, scale in TIME_SCALES.items():
            if scale != self.time_scale:
                yield name, replace(self, time_scale=scale)
        for config in OTHER_SCHEDULES:
            schedule = schedule_from_config(config)
            if not np.array_equal(schedule.log_sigmas, self.schedule.log_sigmas):
                end = f" to beta {config['beta_end']:g}" if "beta_end" in config else ""
                name = f"schedule {schedule.name} with {len(schedule.log_sigmas)} steps{end}"
                yield name, replace(self, schedule=schedule)

    def described(self) -> dict[str, str]:
        """The names of its prediction type and its schedule."""
        return {"prediction_type": self.prediction, "schedule": self.schedule.name}


def variance_preserving(config: Mapping[str, Any]) -> VariancePreserving:
    """Read prediction type and schedule out of a diffusers scheduler configuration."""
    name = config.get("prediction_type", "epsilon")
    if name not in PREDICTIONS:
        raise ModelError(
            f"the scheduler's prediction_type is {name!r}; expected one of {', '.join(PREDICTIONS)}"
        )
    return VariancePreserving(cast(Prediction, name), schedule_from_config(config))
