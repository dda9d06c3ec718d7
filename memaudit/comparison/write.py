"""What a comparison leaves in its directory."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from memaudit.comparison.plots import draw_distributions, draw_quality
from memaudit.errors import ConfigError
from memaudit.files import write_csv, write_json, write_text
from memaudit.records import COPY

if TYPE_CHECKING:
    from memaudit.comparison.result import ComparisonResult


def write(result: ComparisonResult, out: Path) -> None:
    """Write tables, plots and words; comparison.json comes last."""
    if out.exists() and not out.is_dir():
        raise ConfigError(f"--out {out} is a file; give a directory")
    out.mkdir(parents=True, exist_ok=True)
    write_csv(out / "comparison.csv", result.table)
    write_csv(out / "shares.csv", result.shares)
    write_csv(out / "flags.csv", result.changed)
    write_text(out / "comparison.txt", result.text + "\n")
    for probe in dict.fromkeys(one.probe for one in result.distributions):
        found = [one for one in result.distributions if one.probe == probe]
        copies = "-copies" if probe.input == COPY else ""
        draw_distributions(out / f"similarity-{probe.attack}{copies}", found)
    draw_quality(out / "quality", result.runs)
    write_json(out / "comparison.json", result.report())
