"""What a comparison is asked to do."""

from __future__ import annotations

from dataclasses import dataclass

from memaudit.config.checks import keep_out_of
from memaudit.config.fields import check, option
from memaudit.errors import ConfigError


@dataclass(frozen=True)
class CompareConfig:
    """A comparison of finished runs with the first of them; `out` is where it is written, if."""

    runs: tuple[str, ...] = option(about="Finished runs, the base first.")
    out: str | None = option(
        None,
        "Where tables and plots are written; default: nothing is written.",
        metavar="DIRECTORY",
    )

    def __post_init__(self) -> None:
        check(self)
        if len(self.runs) < 2:
            raise ConfigError(
                f"found {len(self.runs)} run, expected two or more; name the base first, then the "
                "runs to compare with it"
            )
        keep_out_of("--out", self.out, self.runs)
