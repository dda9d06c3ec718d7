"""What a scan is asked to do, in five parts, and how data sets are read."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from typing import Any, Literal, get_args

from memaudit.config.checks import CLOSED_FORM, absolute, digest
from memaudit.config.fields import all_options, check, option, part, parts
from memaudit.errors import ConfigError

ResizePolicy = Literal["center-crop", "stretch", "pad"]
Reconstruction = Literal["ode", "one-step", "sample"]
Sampler = Literal["euler", "heun", "dpmpp-2m"]
PromptPolicy = Literal["own", "empty", "other"]
Device = Literal["auto", "cpu", "cuda"]
Dtype = Literal["float32", "bfloat16", "float16"]
# What is pooled into the one score of an image: how near its source is to the embedder, at the
# worst tile, and in pixels beside its rivals. Chosen on models whose memorized images are known.
SCORE = ("margin", "tile_l2", "l2_ratio")
BESIDE, NO_COPIES = "beside", "none"  # of --noisy-copies: those beside the model; none
UNRELATED = "unrelated"  # of --reference-trained-on: images that are in neither data set
WORDS = (None, BESIDE, NO_COPIES, UNRELATED)  # are no paths
REFERENCE_SCORE = ("similarity_gain",)  # what is pooled where there is a reference model


@dataclass(frozen=True, kw_only=True)
class DataOptions:
    """How images are found and brought to the model's size."""

    resize: ResizePolicy = option(
        "center-crop", "How images become the model's size; take what the training did."
    )
    sample: int | None = option(
        None, "Draw this many images at random from each data set; default: all.", low=1
    )
    image_column: str | None = option(
        None,
        "Column of Parquet/Arrow files, or extension in tar files, that holds the image; "
        "default: found by its type and name.",
        metavar="NAME",
    )
    caption_column: str | None = option(
        None,
        "Column, or field of .json files in tar files, that holds the caption; default: "
        "text, caption or prompt.",
        metavar="NAME",
    )
    split: str | None = option(
        None,
        "Split of the data set: a sub-folder, or the start of the file names.",
        metavar="NAME",
    )

    def __post_init__(self) -> None:
        check(self)


@dataclass(frozen=True, kw_only=True)
class DataConfig(DataOptions):
    """The members (`dataset`) and the controls of a scan."""

    dataset: str = option(about="The images that the model was trained on.", path=True)
    controls: str | None = option(
        None,
        "Images of the same kind that the model never saw; a verdict needs them.",
        metavar="DATASET",
        path=True,
    )
    controls_split: str | None = option(None, "Split of the controls, as --split.", metavar="NAME")
    duplicate_threshold: float | None = option(
        None,
        "Similarity from which images count as near duplicates, above 1 for exact copies only; "
        "default: by embedder.",
        low=0,
    )


@dataclass(frozen=True, kw_only=True)
class ModelConfig:
    """The model under audit and how its weights are read; `spec` is a folder or hub id."""

    spec: str = option(about="The model under audit.", name="model", path=True)
    resolution: int | None = option(
        None, "Side of the images in pixels; default: what the model says.", low=1
    )
    revision: str | None = option(None, "Branch, tag or commit of a model on the hub.")
    variant: str | None = option(None, "Variant of the weights, for instance fp16.")
    base_model: str | None = option(
        None,
        "The pipeline that a folder of LoRA adapters belongs to; default: what its lora.json says.",
        metavar="MODEL",
        path=True,
    )
    dtype: Dtype = option(
        "float32",
        "Number format of the network; noise and scores are always float32.",
    )

    def __post_init__(self) -> None:
        check(self)
        if self.spec == CLOSED_FORM:
            raise ConfigError(f"{CLOSED_FORM} needs the path of the images to memorize")


@dataclass(frozen=True, kw_only=True)
class Corruption:
    """Gaussian noise: its levels and how often each is drawn.

    `sigmas`, `snr_db` and `timesteps` are explicit levels, one kind at a time; without them the
    levels are a log grid of `levels` points in 0.03 .. 0.6 of the identification limit.
    """

    sigmas: tuple[float, ...] = option(
        (),
        "Noise levels: standard deviation of the noise, for images in [-1, 1].",
        name="sigma",
        low=0,
        open_=True,
    )
    snr_db: tuple[float, ...] = option((), "Noise levels: -20 log10 of sigma, in dB.")
    timesteps: tuple[int, ...] = option(
        (),
        "Noise levels: steps of the model's own schedule, from 0.",
        name="timestep",
        low=0,
    )
    levels: int = option(5, "Number of noise levels, where none is given.", low=1)
    draws: int = option(4, "How often each image is corrupted at each level.", low=1)

    def __post_init__(self) -> None:
        given = [bool(self.sigmas), bool(self.snr_db), bool(self.timesteps)]
        if sum(given) > 1:
            raise ConfigError("give noise levels as --sigma, --snr-db or --timestep, not several")
        check(self)

    @property
    def automatic(self) -> bool:
        """Whether the levels are derived from the data."""
        return not (self.sigmas or self.snr_db or self.timesteps)


@dataclass(frozen=True, kw_only=True)
class AttackConfig:
    """What is asked of the model, of which images, and what is pooled of its answers."""

    corruption: Corruption = field(default_factory=Corruption)
    reconstruct: tuple[Reconstruction, ...] = option(
        ("ode",),
        "ode: deterministic sampling; one-step: the posterior mean; sample: stochastic "
        "sampling. Several at once are scored apart.",
    )
    sampler: Sampler = option("euler", "Solver under --reconstruct ode.")
    steps: int = option(10, "Steps of the solver, or of the stochastic sampling.", low=1)
    extra_attacks: tuple[str, ...] = option(
        (),
        "Attacks of plug-ins, run beside the reconstruction: they have rows in the scores and in "
        "the table of noise levels, and no part in the verdict.",
        metavar="NAME,...",
    )
    prompt: PromptPolicy = option(
        "own",
        "What a text-to-image model is told of each image: its own caption, nothing, or the "
        "caption of another image.",
    )
    noisy_copies: str | None = option(
        None,
        "Of a model of noisy data: the folder of the noisy copies it was trained on, which "
        "are corrupted too; none leaves them out. Default: those beside the model, if any.",
        metavar="DIR",
        flag_value=BESIDE,
        path=True,
    )
    reference: str | None = option(
        None,
        "A model that reconstructs the same corrupted images; the score is how much nearer "
        "MODEL comes to the image than it.",
        metavar="MODEL",
        path=True,
    )
    reference_trained_on: str | None = option(
        None,
        "What the reference was trained on: images that are compared with both data sets, or "
        "unrelated, by your word.",
        metavar="DATASET|unrelated",
        path=True,
    )
    embedder: str = option(
        "sscd",
        "What measures similarity: sscd[:file], sscd-distilled[:file], "
        "open_clip:MODEL/TAG-OR-FILE, dinov2:FOLDER, pixels, or the name of a plug-in.",
    )
    score: tuple[str, ...] = option(
        SCORE, "The columns that are pooled into the score of an image.", hidden=True
    )
    adaptive: bool = option(
        False, "Scan in full only what a cheap first pass over members and controls puts on top."
    )
    fraction: float = option(
        0.05, "Part of all images that --adaptive scans in full.", low=0, high=1, open_=True
    )
    seed: int = option(0, "Seed of all noise and of --sample.", low=0)

    def __post_init__(self) -> None:
        if not self.reconstruct:
            raise ConfigError(f"--reconstruct needs one of {', '.join(get_args(Reconstruction))}")
        if len(set(self.reconstruct)) < len(self.reconstruct):
            raise ConfigError(f"--reconstruct names a mode twice: {', '.join(self.reconstruct)}")
        check(self)
        if self.reference == CLOSED_FORM:
            raise ConfigError(f"{CLOSED_FORM} needs the path of the images to memorize")
        if (self.reference is None) != (self.reference_trained_on is None):
            raise ConfigError(
                "--reference and --reference-trained-on go together: a reference that saw the "
                "controls makes any model look guilty, so say what it was trained on, a path or "
                f"{UNRELATED}"
            )

    @property
    def columns(self) -> tuple[str, ...]:
        """The columns of scores that are pooled."""
        return self.score if self.reference is None else REFERENCE_SCORE


@dataclass(frozen=True, kw_only=True)
class CalibrationConfig:
    """How finished scores become findings; another one needs no model."""

    q: float = option(
        0.05,
        "False discovery rate at which members are flagged.",
        low=0,
        high=1,
        open_=True,
    )

    def __post_init__(self) -> None:
        check(self)


@dataclass(frozen=True, kw_only=True)
class ExecutionConfig:
    """How a scan is run and what is checked beside it; no score depends on it."""

    out: str = option(
        about="Where scores and findings are written; the same command continues there.",
        metavar="DIRECTORY",
    )
    device: Device = option("auto", "Where the networks run; auto takes a GPU if there is one.")
    local_files_only: bool = option(False, "Never ask the hub for the model.")
    batch_size: int = option(
        16, "Images that the network sees at a time; the findings do not depend on it.", low=1
    )
    shard_size: int = option(
        64, "Images whose scores are written together: what an interruption can cost.", low=1
    )
    index: str | None = option(
        None,
        "Where the embedded images are kept; default: the cache, found again for the same files.",
        metavar="DIRECTORY",
    )
    images: int = option(
        50, "Most picture strips to write, for the flagged with the highest scores.", low=0
    )
    self_check: bool = option(
        True, "Scan a model even if it looks misread; the verdict is then inconclusive."
    )
    power: bool = option(
        True,
        "Leave out the power check (the perfect memorizer in the same scan); a scan that "
        "finds nothing is then inconclusive.",
    )
    generate: int = option(
        0,
        "Images to generate and compare with the controls: quality beside memorization, for "
        "memaudit compare.",
        low=0,
    )

    def __post_init__(self) -> None:
        check(self)


@dataclass(frozen=True, init=False)
class ScanConfig:
    """One scan. Data, model and attack decide its scores and make its digest.

    Options are given by their own names, whichever part they belong to, or a part as a whole:
    `ScanConfig(model="folder", dataset="images", out="run", q=0.1)`. `dataclasses.replace` takes
    the same names.
    """

    data: DataConfig
    target: ModelConfig
    attack: AttackConfig
    calibration: CalibrationConfig
    execution: ExecutionConfig

    def __init__(self, **options: Any) -> None:
        given = dict(options)
        for one in parts(ScanConfig):
            object.__setattr__(self, one.field.name, part(one, given))
        if given:
            raise ConfigError(_unknown(sorted(given)))

    def recalibrated(self, calibration: CalibrationConfig) -> ScanConfig:
        """The same scan, calibrated in another way."""
        deciding = {one.field.name: getattr(self, one.field.name) for one in parts(ScanConfig)}
        return ScanConfig(**{**deciding, "calibration": calibration})

    def asked(self) -> dict[str, Any]:
        """The parts that decide the scores, paths in full."""
        return {
            name: _with_paths(part, asdict(part))
            for name, part in (
                ("data", self.data),
                ("target", self.target),
                ("attack", self.attack),
            )
        }

    @property
    def digest(self) -> str:
        """sha256 of what was asked; a run directory holds one digest only."""
        return digest(self.asked())


def _with_paths(part: Any, content: dict[str, Any]) -> dict[str, Any]:
    for one in all_options(type(part)):
        name = one.field.name
        if one.about.path and content.get(name) not in WORDS:
            content[name] = absolute(content[name])
    return content


def _unknown(names: list[str]) -> str:
    known = sorted(one.name for one in all_options(ScanConfig))
    return f"a scan has no option {', '.join(names)}; known are {', '.join(known)}"
