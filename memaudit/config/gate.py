"""What a gate is asked to do."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from os.path import realpath

from memaudit.config.checks import keep_out_of
from memaudit.config.fields import check, option
from memaudit.errors import ConfigError


@dataclass(frozen=True)
class GateConfig:
    """A finished scan, a policy, an earlier scan, and the files that are written; all paths."""

    run: str = option(about="A finished run.", path=True)
    policy: str | None = option(
        None, "What is tolerated, in TOML; default: no evidence.", metavar="FILE", path=True
    )
    baseline: str | None = option(
        None,
        "An earlier run, or its scan.json, with which new findings are counted.",
        metavar="RUN",
        path=True,
    )
    junit: str | None = option(
        None, "Write a JUnit file with a case for each rule.", metavar="FILE", path=True
    )
    sarif: str | None = option(
        None, "Write the strongest findings as SARIF 2.1.0.", metavar="FILE", path=True
    )
    gitlab: str | None = option(
        None, "Write the findings as GitLab code quality.", metavar="FILE", path=True
    )

    def __post_init__(self) -> None:
        check(self)
        named = [self.policy, self.junit, self.sarif, self.gitlab]
        for path, times in Counter(realpath(one) for one in named if one is not None).items():
            if times > 1:
                raise ConfigError(f"{path} is named twice, expected a file of its own for each use")
        runs = [self.run] if self.baseline is None else [self.run, self.baseline]
        for file in ("junit", "sarif", "gitlab"):
            keep_out_of(f"--{file}", getattr(self, file), runs)
