"""What a training is asked to do."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from typing import Literal

from memaudit.config.base import Base
from memaudit.config.checks import absolute, digest
from memaudit.config.corrupted import Consistency, Mask
from memaudit.config.data import DataOptions
from memaudit.config.fields import LARGEST, check, option
from memaudit.config.scan import Device, Prediction
from memaudit.errors import ConfigError

LossName = Literal["clean", "ambient", "ambient-mixed", "ambient-mask", "sure", "gsure"]
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

    dataset: str = option(about="The images to train on.")
    out: str = option(
        about="Where the model and its checkpoints are written; the same command continues there.",
        metavar="DIRECTORY",
    )
    loss: LossName = option(
        "clean",
        "What is minimised. clean: the denoising error on clean images; ambient: that on noisy "
        "copies only, one an image, by the double Tweedie rule; ambient-mixed: clean up to "
        "--sigma-n, ambient above; ambient-mask: on masked images, hiding more; sure and gsure: on "
        "noisy copies, by Stein's estimate of the error.",
    )
    sigma_n: float | None = option(
        None,
        "Noise of the copies that ambient, ambient-mixed, sure and gsure train on, for images in "
        "[-1, 1].",
        low=0,
        open_=True,
    )
    timestep_n: int | None = option(None, "The same noise, as a step of the schedule.", low=0)
    base: Base | None = option(None, "the pipeline to be fine-tuned")
    consistency: Consistency = field(default_factory=Consistency)
    mask: Mask | None = option(None, "--mask pixels or boxes")
    resolution: int | None = option(
        None,
        f"Side of the images in pixels; default: {RESOLUTION}, or that of --base-model.",
        low=1,
        high=LARGEST,
    )
    channels: tuple[int, ...] = option((32, 64, 64), "Width of the UNet at each scale.")
    layers: int = option(1, "Blocks of the UNet at each scale.", low=1)
    prediction: Prediction = option(
        "v_prediction",
        "What the network predicts. Under the loss used here epsilon learns slowly: the highest "
        "noise outweighs the rest.",
    )
    schedule: ScheduleName = option("squaredcos_cap_v2", "Noise schedule of the training.")
    steps: int = option(4000, "Number of training steps.", low=1)
    batch_size: int = option(16, "Images in each training step, of all processes together.", low=1)
    lr: float = option(1e-3, "Learning rate of AdamW, after the warm-up.", low=0, open_=True)
    weight_decay: float = option(1e-2, "Weight decay of AdamW.", low=0)
    warmup: int = option(100, "Steps in which the learning rate rises to --lr.", low=0)
    ema: float = option(0.999, "Decay of the averaged weights, which are what is saved.")
    flip: bool = option(False, "Mirror images at random.")
    save_every: int = option(
        500, "Steps between checkpoints: what an interruption can cost.", low=1
    )
    sample_every: int = option(
        0, "Steps between grids of samples, samples/step-*.png; 0: none.", low=0
    )
    precision: Precision = option(
        "float32", "Number format of the network's arithmetic; bfloat16 needs a GPU."
    )
    gradient_checkpointing: bool = option(
        False, "Compute parts of the network twice to save memory."
    )
    seed: int = option(
        0, "Seed of the initial weights, the noise and the order of the images.", low=0
    )
    data: DataOptions = field(default_factory=DataOptions)
    device: Device = option("auto", "Where the networks run; auto takes a GPU if there is one.")

    def __post_init__(self) -> None:
        check(self)
        self._check_corruption()
        self._check_consistency()
        self._check_network()
        self._check_base()
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
        fields["data"]["controls_split"] = None  # as in the digests of trainings that are begun
        if self.data.alpha == DataOptions.alpha:
            del fields["data"]["alpha"]
        return digest(fields)
