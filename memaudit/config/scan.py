"""What a scan is asked to do, and how data sets are read."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from typing import Any, Literal, get_args

from memaudit.config.checks import CLOSED_FORM, absolute, at_least, digest, one_of
from memaudit.errors import ConfigError

ResizePolicy = Literal["center-crop", "stretch", "pad"]
Reconstruction = Literal["ode", "one-step", "sample"]
Sampler = Literal["euler", "heun", "dpmpp-2m"]
PromptPolicy = Literal["own", "empty", "other"]
Device = Literal["auto", "cpu", "cuda"]
Dtype = Literal["float32", "bfloat16", "float16"]
NOT_ASKED = ("out", "index", "batch_size", "images", "power", "generate")  # they change no finding
# Younger than the first runs: left out of the digest at their defaults, so that those go on.
LATER = ("prompt", "base_model")
# What is pooled into the one score of an image: how near its source is to the embedder, at the
# worst tile, and in pixels beside its rivals. Chosen on models whose memorized images are known.
SCORE = "margin+tile_l2+l2_ratio"
BESIDE, NO_COPIES = "beside", "none"  # of --noisy-copies: those beside the model; none
UNRELATED = "unrelated"  # of --reference-trained-on: images that are in neither data set
PATHS = (
    "model",
    "dataset",
    "controls",
    "reference",
    "reference_trained_on",
    "noisy_copies",
    "base_model",
)
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
        one_of("--resize", self.resize, get_args(ResizePolicy))
        if self.sample is not None:
            at_least("--sample", self.sample, 1)


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
        at_least("--levels", self.levels, 1)
        at_least("--draws", self.draws, 1)

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
    score: str = SCORE
    duplicate_threshold: float | None = None
    resolution: int | None = None
    revision: str | None = None
    variant: str | None = None
    base_model: str | None = None
    prompt: PromptPolicy = "own"
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
    generate: int = 0
    index: str | None = None

    def __post_init__(self) -> None:
        if not self.reconstruct:
            raise ConfigError(f"--reconstruct needs one of {', '.join(get_args(Reconstruction))}")
        if len(set(self.reconstruct)) < len(self.reconstruct):
            raise ConfigError(f"--reconstruct names a mode twice: {', '.join(self.reconstruct)}")
        for mode in self.reconstruct:
            one_of("--reconstruct", mode, get_args(Reconstruction))
        one_of("--sampler", self.sampler, get_args(Sampler))
        one_of("--prompt", self.prompt, get_args(PromptPolicy))
        one_of("--dtype", self.dtype, get_args(Dtype))
        one_of("--device", self.device, get_args(Device))
        for name in ("steps", "batch_size", "shard_size"):
            at_least(f"--{name.replace('_', '-')}", getattr(self, name), 1)
        at_least("--images", self.images, 0)
        at_least("--generate", self.generate, 0)
        at_least("--seed", self.seed, 0)
        if self.resolution is not None:
            at_least("--resolution", self.resolution, 1)
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
        for name in LATER:
            if fields[name] == getattr(ScanConfig, name):
                del fields[name]
        for name in PATHS:
            if fields.get(name) not in WORDS:
                fields[name] = absolute(fields[name])
        return fields

    @property
    def digest(self) -> str:
        """sha256 of what was asked; a run directory holds one digest only."""
        return digest(self.asked())
