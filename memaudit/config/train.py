"""What a training is asked to do."""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass, field
from typing import Literal, get_args

from memaudit.config.checks import absolute, at_least, digest, one_of
from memaudit.config.scan import DataOptions, Device
from memaudit.errors import ConfigError

LossName = Literal["clean", "ambient", "ambient-mixed"]
Prediction = Literal["epsilon", "v_prediction", "sample"]
ScheduleName = Literal["linear", "scaled_linear", "squaredcos_cap_v2"]


@dataclass(frozen=True)
class TrainConfig:
    """One training of a pixel UNet from scratch."""

    dataset: str
    out: str
    loss: LossName = "clean"
    sigma_n: float | None = None
    data: DataOptions = field(default_factory=DataOptions)
    resolution: int = 32
    channels: tuple[int, ...] = (32, 64, 64)
    layers: int = 1
    prediction: Prediction = "v_prediction"
    schedule: ScheduleName = "squaredcos_cap_v2"
    steps: int = 4000
    batch_size: int = 16
    lr: float = 1e-3
    weight_decay: float = 1e-2
    warmup: int = 100
    ema: float = 0.999
    flip: bool = False
    save_every: int = 500
    device: Device = "auto"
    seed: int = 0

    def __post_init__(self) -> None:
        one_of("--loss", self.loss, get_args(LossName))
        if self.loss == "clean" and self.sigma_n is not None:
            raise ConfigError(
                "--sigma-n is the noise of the training images of ambient losses; "
                "leave it out, or give --loss ambient"
            )
        if self.loss != "clean" and not (self.sigma_n and 0 < self.sigma_n < math.inf):
            raise ConfigError(f"--loss {self.loss} takes --sigma-n above 0, found {self.sigma_n}")
        for name in ("steps", "batch_size", "save_every", "layers"):
            at_least(f"--{name.replace('_', '-')}", getattr(self, name), 1)
        factor = 2 ** (len(self.channels) - 1)
        if not self.channels or self.resolution % factor:
            raise ConfigError(
                f"--resolution {self.resolution} must be a multiple of {factor}, because "
                f"{len(self.channels)} --channels halve it {len(self.channels) - 1} times"
            )
        if any(width < 1 or width % 8 for width in self.channels):
            raise ConfigError(f"--channels must be multiples of 8, found {self.channels}")
        if not self.lr > 0 or not self.weight_decay >= 0:
            raise ConfigError(
                "--lr must be above 0 and --weight-decay 0 or more, found "
                f"{self.lr} and {self.weight_decay}"
            )
        at_least("--warmup", self.warmup, 0)
        at_least("--seed", self.seed, 0)
        if not 0 <= self.ema < 1:
            raise ConfigError(f"--ema must lie in [0, 1), found {self.ema}")

    @property
    def digest(self) -> str:
        """sha256 of everything but where the model goes, how long it trains and how it is saved."""
        fields = asdict(self)
        for name in ("out", "save_every"):
            del fields[name]
        fields["dataset"] = absolute(self.dataset)
        return digest(fields)
