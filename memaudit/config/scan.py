"""What a scan is asked to do, in five parts."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any, Literal

from memaudit.config.attack import BESIDE, NO_COPIES, UNRELATED, AttackConfig
from memaudit.config.checks import CLOSED_FORM, absolute, digest
from memaudit.config.data import DataConfig
from memaudit.config.fields import LARGEST, all_options, check, option, part, parts
from memaudit.config.hiding import OBJECT
from memaudit.errors import ConfigError

Device = Literal["auto", "cpu", "cuda"]
Dtype = Literal["float32", "bfloat16", "float16"]
Prediction = Literal["epsilon", "v_prediction", "sample"]
Weights = Literal["ema", "raw"]
WORDS = (None, BESIDE, NO_COPIES, UNRELATED)  # are no paths


@dataclass(frozen=True, kw_only=True)
class ModelConfig:
    """The model under audit and how its weights are read; `spec` is a folder or hub id."""

    spec: str = option(about="The model under audit.", name="model", path=True)
    resolution: tuple[int, ...] | None = option(
        None,
        "Side of the images in pixels, or height,width; default: what the model says.",
        low=1,
        high=LARGEST,
    )
    revision: str | None = option(None, "Branch, tag or commit of a model on the hub.")
    variant: str | None = option(None, "Variant of the weights, for instance fp16.")
    base_model: str | None = option(
        None,
        "The pipeline that LoRA adapters belong to (default: what their lora.json says), or a "
        "folder with what a model in one file lacks.",
        metavar="MODEL",
        path=True,
    )
    prediction: Prediction | None = option(
        None,
        "What the network of a model in one file predicts, where neither the file nor --base-model "
        "says it.",
    )
    weights: Weights | None = option(
        None,
        "Which weights of a model that holds EMA weights beside raw ones; default: ema, and those "
        "at the plain place of a model that holds one set.",
    )
    distilled_guidance: float | None = option(
        None,
        "What a model that guidance was distilled into is told (FLUX dev); default: 1, its own "
        "answer. Adapters are asked best at what they were trained with, often 3.5.",
        low=0,
        high=100,
    )
    dtype: Dtype = option(
        "float32",
        "Number format of the network; noise and scores are always float32.",
    )

    def __post_init__(self) -> None:
        asked: Any = self.resolution
        if isinstance(asked, int):  # as Python says one side
            object.__setattr__(self, "resolution", (asked,))
        check(self)
        if self.resolution is not None and len(self.resolution) not in (1, 2):
            raise ConfigError(
                f"--resolution gives {len(self.resolution)} numbers, expected the side of the "
                "images, or their height and width"
            )
        if self.spec == CLOSED_FORM:
            raise ConfigError(f"{CLOSED_FORM} needs the path of the images to memorize")

    @property
    def sides(self) -> tuple[int, int] | None:
        """Height and width that are asked for."""
        return None if self.resolution is None else (self.resolution[0], self.resolution[-1])


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
    tolerated_count: int = option(
        5,
        "A scan that finds nothing is inconclusive if it would not find so many memorized images "
        "either, nor so large a share of the members (--tolerated-share).",
        low=1,
    )
    tolerated_share: float = option(
        0.05, "Share of the members that goes with --tolerated-count.", low=0, high=1
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
    report: bool = option(True, "Write no report.html into the run directory.")
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
        self._check_boxes()

    def _check_boxes(self) -> None:
        wanted = any(one.kind == OBJECT for one in self.attack.hidings)
        if wanted and self.data.boxes is None:
            raise ConfigError(
                f"--corruption {OBJECT} hides what boxes name; give a file of boxes with --boxes"
            )
        if not wanted and self.data.boxes is not None:
            raise ConfigError(
                f"--boxes are for --corruption {OBJECT}, which is not asked for; add it, or leave "
                "them out"
            )

    def recalibrated(self, calibration: CalibrationConfig) -> ScanConfig:
        """The same scan, calibrated in another way."""
        return self._with(calibration=calibration)

    def settled(self, images: int) -> ScanConfig:
        """The same scan, with the way to scan so many images decided."""
        return self._with(attack=self.attack.settled(images))

    def _with(self, **changed: Any) -> ScanConfig:
        deciding = {one.field.name: getattr(self, one.field.name) for one in parts(ScanConfig)}
        return ScanConfig(**{**deciding, **changed})

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
