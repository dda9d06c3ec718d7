"""What a run is asked to do: frozen, checked when made, with a digest."""

from __future__ import annotations

import hashlib
import json
import math
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Literal, get_args

from memaudit.errors import ConfigError

ResizePolicy = Literal["center-crop", "stretch", "pad"]
Reconstruction = Literal["ode", "one-step", "sample"]
Sampler = Literal["euler", "heun", "dpmpp-2m"]
Device = Literal["auto", "cpu", "cuda"]
Dtype = Literal["float32", "bfloat16", "float16"]
LossName = Literal["clean", "ambient", "ambient-mixed"]
Prediction = Literal["epsilon", "v_prediction", "sample"]
ScheduleName = Literal["linear", "scaled_linear", "squaredcos_cap_v2"]
NOT_ASKED = ("out", "index", "batch_size", "images", "power")  # they change no finding
CLOSED_FORM = "closed-form:"  # prefix of a MODEL that is the perfect memorizer of images
BESIDE, NO_COPIES = "beside", "none"  # of --noisy-copies: those beside the model; none
UNRELATED = "unrelated"  # of --reference-trained-on: images that are in neither data set
PATHS = ("model", "dataset", "controls", "reference", "reference_trained_on", "noisy_copies")
WORDS = (None, BESIDE, NO_COPIES, UNRELATED)  # are no paths
REFERENCE_SCORE = "similarity_gain"  # what is pooled where there is a reference model


@dataclass(frozen=True)
class DataOptions:
    """How images are found and brought to the model's size."""

    resize: ResizePolicy = "center-crop"
    image_column: str | None = None
    caption_column: str | None = None
    split: str | None = None
    controls_split: str | None = None
    sample: int | None = None

    def __post_init__(self) -> None:
        _one_of("--resize", self.resize, get_args(ResizePolicy))
        if self.sample is not None:
            _at_least("--sample", self.sample, 1)


@dataclass(frozen=True)
class Corruption:
    """Gaussian noise: its levels and how often each is drawn.

    `sigmas`, `snr_db` and `timesteps` are explicit levels, one kind at a time; without them the
    levels are a log grid of `levels` points in 0.03 .. 0.6 of the identification limit.
    """

    sigmas: tuple[float, ...] = ()
    snr_db: tuple[float, ...] = ()
    timesteps: tuple[int, ...] = ()
    levels: int = 5
    draws: int = 4

    def __post_init__(self) -> None:
        given = [bool(self.sigmas), bool(self.snr_db), bool(self.timesteps)]
        if sum(given) > 1:
            raise ConfigError("give noise levels as --sigma, --snr-db or --timestep, not several")
        if any(sigma <= 0 for sigma in self.sigmas):
            raise ConfigError(f"--sigma must be above 0, found {min(self.sigmas)}")
        if any(t < 0 for t in self.timesteps):
            raise ConfigError(f"--timestep must be 0 or more, found {min(self.timesteps)}")
        _at_least("--levels", self.levels, 1)
        _at_least("--draws", self.draws, 1)

    @property
    def automatic(self) -> bool:
        """Whether the levels are derived from the data."""
        return not (self.sigmas or self.snr_db or self.timesteps)


@dataclass(frozen=True)
class ScanConfig:
    """One scan. Everything but NOT_ASKED belongs to its digest."""

    model: str
    dataset: str
    out: str
    controls: str | None = None
    data: DataOptions = field(default_factory=DataOptions)
    corruption: Corruption = field(default_factory=Corruption)
    reconstruct: tuple[Reconstruction, ...] = ("ode",)
    sampler: Sampler = "euler"
    steps: int = 10
    embedder: str = "sscd"
    score: str = "margin"
    duplicate_threshold: float | None = None
    resolution: int | None = None
    revision: str | None = None
    variant: str | None = None
    dtype: Dtype = "float32"
    device: Device = "auto"
    local_files_only: bool = False
    self_check: bool = True
    power: bool = True
    adaptive: bool = False
    fraction: float = 0.05
    q: float = 0.05
    noisy_copies: str | None = None
    reference: str | None = None
    reference_trained_on: str | None = None
    seed: int = 0
    batch_size: int = 16
    shard_size: int = 64
    images: int = 50
    index: str | None = None

    def __post_init__(self) -> None:
        if not self.reconstruct:
            raise ConfigError(f"--reconstruct needs one of {', '.join(get_args(Reconstruction))}")
        if len(set(self.reconstruct)) < len(self.reconstruct):
            raise ConfigError(f"--reconstruct names a mode twice: {', '.join(self.reconstruct)}")
        for mode in self.reconstruct:
            _one_of("--reconstruct", mode, get_args(Reconstruction))
        _one_of("--sampler", self.sampler, get_args(Sampler))
        _one_of("--dtype", self.dtype, get_args(Dtype))
        _one_of("--device", self.device, get_args(Device))
        for name in ("steps", "batch_size", "shard_size"):
            _at_least(f"--{name.replace('_', '-')}", getattr(self, name), 1)
        _at_least("--images", self.images, 0)
        _at_least("--seed", self.seed, 0)
        if self.resolution is not None:
            _at_least("--resolution", self.resolution, 1)
        threshold = self.duplicate_threshold
        if threshold is not None and not threshold >= 0:
            raise ConfigError(f"--duplicate-threshold must be 0 or more, found {threshold}")
        if CLOSED_FORM in (self.model, self.reference):
            raise ConfigError(f"{CLOSED_FORM} needs the path of the images to memorize")
        self._check_reference()
        for name in ("q", "fraction"):
            if not 0 < getattr(self, name) < 1:
                raise ConfigError(f"--{name} must lie between 0 and 1, found {getattr(self, name)}")

    def _check_reference(self) -> None:
        if (self.reference is None) != (self.reference_trained_on is None):
            raise ConfigError(
                "--reference and --reference-trained-on go together: a reference that saw the "
                "controls makes any model look guilty, so say what it was trained on, a path or "
                f"{UNRELATED}"
            )

    @property
    def column(self) -> str:
        """The column of scores that is pooled."""
        return self.score if self.reference is None else REFERENCE_SCORE

    def asked(self) -> dict[str, Any]:
        """The part of the configuration that decides the findings."""
        fields = asdict(self)
        for name in NOT_ASKED:
            del fields[name]
        for name in PATHS:
            if fields[name] not in WORDS:
                fields[name] = _absolute(fields[name])
        return fields

    @property
    def digest(self) -> str:
        """sha256 of what was asked; a run directory holds one digest only."""
        return digest(self.asked())


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
        _one_of("--loss", self.loss, get_args(LossName))
        if self.loss == "clean" and self.sigma_n is not None:
            raise ConfigError(
                "--sigma-n is the noise of the training images of ambient losses; "
                "leave it out, or give --loss ambient"
            )
        if self.loss != "clean" and not (self.sigma_n and 0 < self.sigma_n < math.inf):
            raise ConfigError(f"--loss {self.loss} takes --sigma-n above 0, found {self.sigma_n}")
        for name in ("steps", "batch_size", "save_every", "layers"):
            _at_least(f"--{name.replace('_', '-')}", getattr(self, name), 1)
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
        _at_least("--warmup", self.warmup, 0)
        _at_least("--seed", self.seed, 0)
        if not 0 <= self.ema < 1:
            raise ConfigError(f"--ema must lie in [0, 1), found {self.ema}")

    @property
    def digest(self) -> str:
        """sha256 of everything but where the model goes, how long it trains and how it is saved."""
        fields = asdict(self)
        for name in ("out", "save_every"):
            del fields[name]
        fields["dataset"] = _absolute(self.dataset)
        return digest(fields)


def digest(content: Any) -> str:
    """sha256 (hex) of anything JSON can hold, keys sorted."""
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()


def _absolute(path: str | None) -> str | None:
    if path is None:
        return None
    kind = CLOSED_FORM if path.startswith(CLOSED_FORM) else ""
    target = Path(path.removeprefix(kind))
    return f"{kind}{target.resolve()}" if target.exists() else path


def _one_of(option: str, value: str, choices: tuple[str, ...]) -> None:
    if value not in choices:
        raise ConfigError(f"{option} must be one of {', '.join(choices)}; found {value!r}")


def _at_least(option: str, value: int, low: int) -> None:
    if value < low:
        raise ConfigError(f"{option} must be {low} or more, found {value}")
