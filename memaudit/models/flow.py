"""Flow matching: networks that predict where noise leads, on the straight line to an image."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any, ClassVar, Literal, get_args

from diffusers import SchedulerMixin
from torch import Tensor

from memaudit.corruption.noise import per_row
from memaudit.errors import ConfigError, ModelError
from memaudit.models.parameterization import Predict
from memaudit.text import shown

TRAINED = 1000  # steps
FLOW = "FlowMatch"  # begins the names of the schedulers of diffusers
FlowPrediction = Literal["flow", "epsilon", "sample"]
PREDICTIONS: tuple[FlowPrediction, ...] = get_args(FlowPrediction)
OTHER_SCALES = {"time as u": 1.0, "time as 1000 u": 1000.0, "time as u/1000": 1e-3}


@dataclass(frozen=True, eq=False)
class FlowMatching:
    """How a network of flow matching is shown x = x0 + sigma n, and how its answer becomes x0.

    It sees x_t = (1 - u) x0 + u n with u = sigma / (1 + sigma), and is told the time `scale` * u,
    or `scale` * (1 - u) where time is `reversed`. It predicts n - x0, so x0 = x_t - u F (Lipman et
    al. 2022, arXiv 2210.02747; Liu et al. 2022, arXiv 2209.03003). How a sampler shifts its steps
    changes nothing of that. `steps` are those of the training; the first and the last but one bound
    the noise.
    """

    scale: float = 1.0
    reversed: bool = False
    sign: float = 1.0
    prediction: FlowPrediction = "flow"
    steps: int = TRAINED
    first_step: ClassVar[int] = 1  # of the first, 0, the noise is none

    @property
    def sigma_min(self) -> float:
        """The noise of the first step."""
        return 1 / (self.steps - 1)

    @property
    def sigma_max(self) -> float:
        """The noise of the last step but one; that of the last is infinite."""
        return float(self.steps - 1)

    @property
    def middle(self) -> float:
        """The noise at u = 1/2, where signal and noise are alike."""
        return 1.0

    def x0(self, x: Tensor, sigma: Tensor, predict: Predict) -> Tensor:
        """The posterior mean of x0 given x = x0 + sigma n; fp32 in and out."""
        u = sigma / (1 + sigma)
        noise = per_row(u, x)
        x_t = (1 - noise) * x
        output = predict(x_t, self.scale * (1 - u if self.reversed else u)) * self.sign
        if self.prediction == "flow":
            return x_t - noise * output
        return output if self.prediction == "sample" else (x_t - noise * output) / (1 - noise)

    def sigma_of_timestep(self, timestep: int) -> float:
        """The noise at a step 1 .. T - 1 of the training; else ConfigError."""
        if not 0 < timestep < self.steps:
            raise ConfigError(
                f"--timestep {timestep} is outside 1 .. {self.steps - 1}, the steps of the model's "
                "flow whose noise is finite"
            )
        return timestep / (self.steps - timestep)

    def others(self) -> Iterator[tuple[str, FlowMatching]]:
        """Readings with another sign, time or prediction, by name."""
        yield "flow with its sign flipped", replace(self, sign=-self.sign)
        yield "time running backwards", replace(self, reversed=not self.reversed)
        for name, scale in OTHER_SCALES.items():
            if scale != self.scale:
                yield name, replace(self, scale=scale)
        for prediction in PREDICTIONS:
            if prediction != self.prediction:
                yield f"prediction type {prediction}", replace(self, prediction=prediction)

    def described(self) -> dict[str, str]:
        """What is predicted, at what time."""
        time = "1 - u" if self.reversed else "u"
        scaled = f"{self.scale:g} ({time})" if self.reversed else f"{self.scale:g} {time}"
        return {
            "prediction_type": "flow",
            "schedule": "flow matching",
            "time": time if self.scale == 1 else scaled,
        }


def flow_matching(
    scheduler: SchedulerMixin, scale: float = 1.0, *, backwards: bool = False
) -> FlowMatching:
    """Read a flow that this scheduler samples; raises ModelError for one of another kind.

    `backwards`: the network's time runs from noise to image, and its answer from image to noise.
    """
    config: Any = scheduler.config
    name, prediction = type(scheduler).__name__, config.get("prediction_type")
    if not (name.startswith(FLOW) or prediction == "flow_prediction"):
        raise ModelError(
            f"the scheduler is a {shown(name)} of prediction_type {prediction!r}, expected one of "
            "flow matching (FlowMatchEulerDiscreteScheduler, or prediction_type flow_prediction); "
            "take the scheduler_config.json that the model was trained with"
        )
    steps = config.get("num_train_timesteps", 1000)
    if steps != TRAINED:  # by which pipelines scale the time that they tell
        raise ModelError(
            f"the scheduler gives num_train_timesteps {steps!r}, expected {TRAINED}, as all "
            "published flows have; correct its scheduler_config.json"
        )
    return FlowMatching(scale, backwards, -1.0 if backwards else 1.0)
