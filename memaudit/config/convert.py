"""What is asked of a conversion of a pickled checkpoint."""

from __future__ import annotations

from dataclasses import dataclass

from memaudit.config.fields import check, option


@dataclass(frozen=True, kw_only=True)
class ConvertConfig:
    """One conversion; `take` names one of several sets of weights in the file."""

    file: str = option(about="The pickled checkpoint.", path=True)
    out: str = option(about="The .safetensors file that is written.", path=True)
    take: str | None = option(
        None,
        "Which set of weights to keep, where the file holds several: for instance ema. A message "
        "lists them.",
        metavar="KEY",
    )

    def __post_init__(self) -> None:
        check(self)
