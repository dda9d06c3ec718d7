"""What is asked of a split of a data set into members and controls."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from os.path import realpath
from pathlib import Path

from memaudit.config.attack import AttackConfig
from memaudit.config.checks import digest, keep_apart
from memaudit.config.data import AlphaPolicy, DataConfig, ResizePolicy
from memaudit.config.fields import LARGEST, check, like, option
from memaudit.config.scan import Device, ExecutionConfig
from memaudit.errors import ConfigError


@dataclass(frozen=True, kw_only=True)
class SplitConfig:
    """A random split before a training; `share` or `count` says how much becomes controls.

    What is drawn are clusters, where a column tells them, and groups of near copies, joined where
    they share an image.
    """

    dataset: str = option(about="The images to be split.", path=True)
    members: str = option(
        about="Where the data set to train on is written; a new or empty directory.",
        metavar="DIR",
        path=True,
    )
    controls: str = option(
        about="Where the data set that is held out is written; a new or empty directory.",
        metavar="DIR",
        path=True,
    )
    share: float | None = option(
        None,
        "Share of the clusters, or without --cluster-column of the groups of near copies, that "
        "become controls, for example .2.",
        low=0,
        high=1,
        open_=True,
    )
    count: int | None = option(None, "Instead of --share: how many of them.", low=1)
    cluster_column: str | None = like(DataConfig, "cluster_column")
    image_column: str | None = like(DataConfig, "image_column")
    split: str | None = like(DataConfig, "split")
    embedder: str = like(AttackConfig, "embedder")
    duplicate_threshold: float | None = like(DataConfig, "duplicate_threshold")
    resolution: int | None = option(
        None,
        "Side in pixels to which images are brought before near copies are looked for: that of "
        "the model to be trained, if it is small; default: their own. What is written keeps its "
        "size.",
        low=1,
        high=LARGEST,
    )
    resize: ResizePolicy = like(DataConfig, "resize")
    alpha: AlphaPolicy = like(DataConfig, "alpha")
    seed: int = option(0, "Seed of the draw.", low=0)
    device: Device = like(ExecutionConfig, "device")

    def __post_init__(self) -> None:
        check(self)
        if (self.share is None) == (self.count is None):
            raise ConfigError(
                "--share and --count both say how much becomes controls; give one of them, for "
                "example --share .2"
            )
        if self.resolution is None and self.resize != SplitConfig.resize:
            raise ConfigError(
                f"--resize {self.resize} is how images are brought to --resolution, which is not "
                "given; give it, or leave out --resize"
            )
        self._check_places()

    def _check_places(self) -> None:
        members, controls = Path(realpath(self.members)), Path(realpath(self.controls))
        if members.is_relative_to(controls) or controls.is_relative_to(members):
            raise ConfigError(
                f"--members {self.members} and --controls {self.controls} are one directory, or "
                "one lies inside the other, so images would be on both sides; give two side by side"
            )
        keep_apart("--members", self.members, self.dataset)
        keep_apart("--controls", self.controls, self.dataset)

    @property
    def data(self) -> DataConfig:
        """The data set alone, without controls."""
        return DataConfig(
            dataset=self.dataset,
            cluster_column=self.cluster_column,
            image_column=self.image_column,
            split=self.split,
            duplicate_threshold=self.duplicate_threshold,
            resize=self.resize,
            alpha=self.alpha,
        )

    @property
    def digest(self) -> str:
        """sha256 of what decides the draw, wherever it is written."""
        asked = asdict(self)
        for name in ("dataset", "members", "controls", "device"):
            del asked[name]
        return digest(asked)
