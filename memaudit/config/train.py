"""What a training is asked to do."""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass, field
from typing import Literal, get_args

from memaudit.config.base import Base
from memaudit.config.checks import absolute, at_least, digest, one_of
from memaudit.config.corrupted import Consistency, Mask
from memaudit.config.data import DataOptions
from memaudit.config.scan import Device
from memaudit.errors import ConfigError

LossName = Literal["clean", "ambient", "ambient-mixed", "ambient-mask", "sure", "gsure"]
Prediction = Literal["epsilon", "v_prediction", "sample"]
ScheduleName = Literal["linear", "scaled_linear", "squaredcos_cap_v2"]
Precision = Literal["float32", "bfloat16"]
NOISY = ("ambient", "ambient-mixed", "sure", "gsure")  # losses on noisy copies
MASKED = ("ambient-mask", "gsure")  # on masked images; gsure on noisy ones that may be masked
STEIN = ("sure", "gsure")  # with a divergence by finite differences
HOW = ("out", "save_every", "sample_every", "gradient_checkpointing", "device")  # not the weights
LATENT = ("clean", "ambient", "ambient-mixed")  # losses that a base can be trained with
NETWORK = ("channels", "layers", "prediction", "schedule")  # what a base brings along
RESOLUTION = 32


@dataclass(frozen=True)
class TrainConfig:
    """One training: of a pixel UNet from scratch, or of LoRA adapters for a `base`.

    `resolution` None is RESOLUTION from scratch and the base's own size otherwise. The noise of the
    training images is `sigma_n`, or that of the step `timestep_n` of the schedule.
    """

    dataset: str
    out: str
    loss: LossName = "clean"
    sigma_n: float | None = None
    timestep_n: int | None = None
    base: Base | None = None
    mask: Mask | None = None
    consistency: Consistency = field(default_factory=Consistency)
    data: DataOptions = field(default_factory=DataOptions)
    resolution: int | None = None
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
    sample_every: int = 0
    precision: Precision = "float32"
    gradient_checkpointing: bool = False
    device: Device = "auto"
    seed: int = 0

    def __post_init__(self) -> None:
        one_of("--loss", self.loss, get_args(LossName))
        one_of("--precision", self.precision, get_args(Precision))
        self._check_corruption()
        self._check_consistency()
        self._check_network()
        self._check_base()
        for name in ("steps", "batch_size", "save_every"):
            at_least(f"--{name.replace('_', '-')}", getattr(self, name), 1)
        for name in ("warmup", "seed", "sample_every"):
            at_least(f"--{name.replace('_', '-')}", getattr(self, name), 0)
        if not self.lr > 0 or not self.weight_decay >= 0:
            raise ConfigError(
                "--lr must be above 0 and --weight-decay 0 or more, found "
                f"{self.lr} and {self.weight_decay}"
            )
        if not 0 <= self.ema < 1:
            raise ConfigError(f"--ema must lie in [0, 1), found {self.ema}")
        if self.loss in STEIN and self.precision != "float32":
            raise ConfigError(
                f"--loss {self.loss} takes differences so small that {self.precision} drowns "
                "them; leave out --precision"
            )

    def _check_corruption(self) -> None:
        if self.sigma_n is not None and self.timestep_n is not None:
            raise ConfigError("--sigma-n and --timestep-n say the same; give one of them")
        if self.loss not in NOISY and self.noisy:
            raise ConfigError(
                "--sigma-n is the noise of the training images of losses on noisy copies; "
                "leave it out, or give --loss ambient"
            )
        if self.loss in NOISY and not self.noisy:
            raise ConfigError(f"--loss {self.loss} takes --sigma-n or --timestep-n; give one")
        if self.sigma_n is not None and not 0 < self.sigma_n < math.inf:
            raise ConfigError(f"--sigma-n must be above 0, found {self.sigma_n}")
        if self.loss not in MASKED and self.mask is not None:
            raise ConfigError(
                f"--mask hides parts of the training images from {' and '.join(MASKED)}; leave it "
                "out, or give --loss ambient-mask"
            )
        if self.loss == "ambient-mask" and self.mask is None:
            raise ConfigError("--loss ambient-mask takes --mask pixels or --mask boxes")
        if self.loss == "gsure" and self.mask is not None and self.mask.further is not None:
            raise ConfigError(
                "--mask-further belongs to --loss ambient-mask; gsure hides nothing on top: leave "
                "it out"
            )

    def _check_consistency(self) -> None:
        if not self.consistency.weight:
            return
        if self.loss != "ambient":
            raise ConfigError(
                "--consistency-weight adds what --loss ambient cannot learn, the levels below "
                f"--sigma-n; --loss {self.loss} has no use for it: leave it out"
            )
        if self.consistency.start >= self.steps:
            raise ConfigError(
                f"--consistency-start {self.consistency.start} is never reached in --steps "
                f"{self.steps}; give a smaller one"
            )

    def _check_network(self) -> None:
        at_least("--layers", self.layers, 1)
        factor = 2 ** (len(self.channels) - 1)
        side = self.resolution or RESOLUTION
        if self.base is None and (not self.channels or side % factor):
            raise ConfigError(
                f"--resolution {side} must be a multiple of {factor}, because "
                f"{len(self.channels)} --channels halve it {len(self.channels) - 1} times"
            )
        if any(width < 1 or width % 8 for width in self.channels):
            raise ConfigError(f"--channels must be multiples of 8, found {self.channels}")

    def _check_base(self) -> None:
        if self.base is None:
            return
        if self.loss not in LATENT:
            raise ConfigError(
                f"--base-model is trained with --loss {', '.join(LATENT)}, found {self.loss}: the "
                "others are made for pixels"
            )
        own = [name for name in NETWORK if getattr(self, name) != getattr(TrainConfig, name)]
        if own or self.flip:
            option = f"--{own[0]}" if own else "--flip"
            raise ConfigError(
                f"{option} belongs to a UNet that is trained from scratch on pixels; leave it out, "
                "or leave out --base-model"
            )

    @property
    def noisy(self) -> bool:
        """Whether the training images are noisy copies."""
        return self.sigma_n is not None or self.timestep_n is not None

    @property
    def side(self) -> int:
        """Height and width of the images; known only after the base is."""
        return self.resolution or RESOLUTION

    @property
    def digest(self) -> str:
        """sha256 of everything but where the model goes and how its training is run and saved."""
        fields = asdict(self)
        for name in HOW:
            del fields[name]
        fields["dataset"] = absolute(self.dataset)
        return digest(fields)
