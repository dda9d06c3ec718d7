"""What a model is and how it is read, in one record; `describing` makes it of any loaded model."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any, Literal

from memaudit.models.checked import Checked
from memaudit.models.denoiser import Conditioning
from memaudit.models.ignored import Ignored
from memaudit.models.parts import Role
from memaudit.models.provenance import Memorized

FORMAT = 1  # of the record


@dataclass(frozen=True)
class Prediction:
    """What the network predicts (epsilon, ...), with which sign, and what is made of it.

    `sign` is -1 where it is flipped.
    """

    type: str | None
    sign: int | None
    estimate: Literal["mean", "sample"]


@dataclass(frozen=True)
class Curve:
    """Some steps of a schedule, the first and the last among them, and the noise there."""

    timesteps: tuple[int, ...]
    sigmas: tuple[float, ...]


@dataclass(frozen=True)
class NoiseRange:
    """The noise that the model knows, by sigma and by log-SNR = -2 ln sigma.

    `steps` counts those of the schedule, and one that `ends_in_noise` with sigma infinite, which is
    not in the range. `assumed`: the model's folder does not say which schedule it is.
    """

    schedule: str | None
    assumed: bool
    steps: int | None
    ends_in_noise: bool
    sigma_min: float
    sigma_max: float
    log_snr_min: float | None
    log_snr_max: float | None
    curve: Curve | None


@dataclass(frozen=True)
class Space:
    """Where the model works: C, H, W of it, height and width of the images, factors of a VAE."""

    kind: Literal["pixels", "latents"]
    shape: tuple[int, int, int]
    resolution: tuple[int, int]
    scaling_factor: float | None
    shift_factor: float | None


@dataclass(frozen=True)
class Conditioned:
    """What the model is told of an image, by which text encoders; and what is hidden of it.

    `inpainting`: it is told a mask and what the rest shows. `mask`: through which mask a network of
    masked images is asked, in words.
    """

    kind: Conditioning
    text_encoders: tuple[str, ...]
    inpainting: bool
    mask: str | None


@dataclass(frozen=True)
class WeightFile:
    """One file of weights, or of adapters; part and size are null where its family does not say."""

    name: str
    part: str | None
    bytes: int | None
    sha256: str


@dataclass(frozen=True)
class PartRecord:
    """One part of the model; `bytes` of all its weight files."""

    name: str
    role: Role
    class_name: str
    parameters: int | None
    dtype: str | None
    bytes: int


@dataclass(frozen=True)
class Adapters:
    """The names of files of LoRA adapters, and the pipeline that they were put into."""

    base: str | None
    files: tuple[str, ...]


@dataclass(frozen=True)
class NoisyTraining:
    """What the model says of the noise, or the mask, in its training images.

    Below `sample_from` it learned nothing. `copies`: its noisy copies stand beside it.
    """

    loss: str
    sigma_n: float
    seed: int
    consistency: bool
    mask: dict[str, Any] | None
    drawn_by: str
    sample_from: float | None
    copies: bool


@dataclass(frozen=True)
class Inspection:
    """All that is told of a model; null for what is not known, or not asked for.

    `parameters` and `dtype` are those of the network that is asked, `bytes` of all weight files.
    `ignored` are files and folders beside it that no audit reads, of so many (`ignored_count`).
    """

    format: int
    model: str
    revision: str | None
    family: str | None
    class_name: str | None
    reading: dict[str, str]
    prediction: Prediction
    noise: NoiseRange
    space: Space
    conditioning: Conditioned
    parameters: int | None
    dtype: str | None
    device: str
    bytes: int | None
    digest: str | None
    parts: tuple[PartRecord, ...]
    weights: tuple[WeightFile, ...]
    adapters: Adapters | None
    noisy_training: NoisyTraining | None
    memorized: Memorized | None
    ignored: tuple[Ignored, ...] | None = None
    ignored_count: int | None = None
    self_check: Checked | None = None

    def content(self) -> dict[str, Any]:
        """As plain values."""
        return asdict(self)
