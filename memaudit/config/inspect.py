"""What is asked of an inspection of a model."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from memaudit.config.attack import AttackConfig
from memaudit.config.checks import CLOSED_FORM, keep_apart
from memaudit.config.data import DataOptions
from memaudit.config.fields import check, like, option
from memaudit.config.scan import Device, ExecutionConfig, ModelConfig
from memaudit.errors import ConfigError

PICTURES = (".png", ".svg")


@dataclass(frozen=True, kw_only=True)
class InspectConfig:
    """A model, and with `images` how those are read on which the self-check is run."""

    target: ModelConfig
    images: str | None = option(
        None,
        "Check on some images of this data set whether the model is read as it was trained, as a "
        "scan does before anything else.",
        metavar="DATASET",
        path=True,
    )
    data: DataOptions = field(default_factory=DataOptions)
    noisy_copies: str | None = like(AttackConfig, "noisy_copies")
    seed: int = option(0, "Seed of the noise, and of which images are drawn.", low=0)
    plot: str | None = option(
        None, "Draw the noise schedule into this file, .png or .svg.", metavar="FILE"
    )
    device: Device = like(ExecutionConfig, "device")
    batch_size: int = option(16, "Images that the network sees at a time.", low=1)
    local_files_only: bool = like(ExecutionConfig, "local_files_only")

    def __post_init__(self) -> None:
        check(self)
        if self.plot is not None and Path(self.plot).suffix.lower() not in PICTURES:
            raise ConfigError(
                f"--plot {self.plot} ends in neither {' nor '.join(PICTURES)}; name a file of one "
                "of these kinds"
            )
        keep_apart("--plot", self.plot, self.images)
        if self.images is None and self.noisy_copies is not None:
            raise ConfigError(
                "--noisy-copies are asked for by the self-check, which takes --images; give both, "
                "or leave them out"
            )
        if (
            self.images is None
            and self.data != DataOptions()
            and not self.target.spec.startswith(CLOSED_FORM)
        ):
            raise ConfigError(
                "options of images (--resize, --alpha, --split, --image-column) are given and no "
                "--images; give both, or leave them out"
            )
