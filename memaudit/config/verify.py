"""What a verification is asked to do."""

from __future__ import annotations

import re
from dataclasses import dataclass

from memaudit.config.fields import check, option
from memaudit.config.scan import Device
from memaudit.errors import ConfigError

TOLERANCE = 1e-4
DIGITS = re.compile(r"[0-9a-fA-F]{64}")


@dataclass(frozen=True, kw_only=True)
class ReplayConfig:
    """How many findings are repeated, and where model and images stand on this machine."""

    replay: int = option(
        about="Load the model and repeat so many findings from their seeds, in the order of "
        "findings.csv: the flagged with the highest scores first.",
        low=1,
    )
    model: str | None = option(None, "With --replay: the model that was scanned.")
    dataset: str | None = option(None, "With --replay: the members that were scanned.")
    controls: str | None = option(None, "With --replay: the controls, if there were some.")
    reference: str | None = option(
        None, "With --replay: the reference model; default: where the scan found it."
    )
    base_model: str | None = option(
        None, "With --replay: --base-model of the scan; default: where the scan found it."
    )
    noisy_copies: str | None = option(
        None, "With --replay: the noisy copies; default: where the scan found them."
    )
    boxes: str | None = option(
        None, "With --replay: the file of boxes; default: where the scan found it."
    )
    controls_boxes: str | None = option(
        None, "With --replay: that of the controls; default: where the scan found it."
    )
    index: str | None = option(
        None,
        "With --replay: where the embedded images are kept; default: the cache.",
        metavar="DIRECTORY",
    )
    device: Device = option("auto", "With --replay: where the networks run.")
    tolerance: float = option(
        TOLERANCE,
        "With --replay: the largest deviation that passes; absolute up to 1, a share above.",
        low=0,
    )

    def __post_init__(self) -> None:
        check(self)
        if self.model is None or self.dataset is None:
            raise ConfigError(
                "--replay needs --model and --dataset (and --controls, if there were some): a run "
                "holds neither the model nor the images"
            )


@dataclass(frozen=True, kw_only=True)
class VerifyConfig:
    """A finished run or an evidence.zip, a digest that was told, and what is repeated."""

    run: str = option(about="A finished run, or an evidence.zip.", hidden=True)
    digest: str | None = option(
        None, "The digest that you were told in another way: of the run, or of the zip.",
        metavar="HEX",
    )  # fmt: skip
    again: ReplayConfig | None = option(None, "--replay")

    def __post_init__(self) -> None:
        check(self)
        if self.digest is not None and DIGITS.fullmatch(self.digest) is None:
            raise ConfigError(
                f"--digest has {len(self.digest)} characters, expected the 64 hexadecimal digits "
                "that the scan printed; copy all of them"
            )
