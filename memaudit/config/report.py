"""What a report is asked to be."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from memaudit.config.checks import keep_out_of
from memaudit.config.fields import check, option
from memaudit.errors import ConfigError

Format = Literal["html", "md", "csv", "json"]


@dataclass(frozen=True)
class ReportConfig:
    """A report of finished runs; several are compared with the first of them."""

    runs: tuple[str, ...] = option(about="Finished runs.", hidden=True)
    out: str = option(about="Where the report is written.", metavar="DIRECTORY")
    format: tuple[Format, ...] = option(
        ("html",),
        "html: one file for people; md: a section for the model's card; csv: the findings as "
        "tables, in full and in ten columns; json: record and findings for machines.",
    )
    bom: bool = option(
        False,
        "Begin tables with the mark of UTF-8, for spreadsheets that do not guess it.",
    )
    evidence: bool = option(
        False,
        "Write evidence.zip as well: report, findings, record, pictures and checksums, to pass on; "
        "memaudit verify checks it.",
    )
    redact: bool = option(
        False,
        "Leave out pictures, captions, file names, paths and names of models, data and machines; "
        "images go by keyed names.",
    )
    redact_key: str | None = option(
        None,
        "With --redact: a file that makes the keyed names, so that whoever has it finds the images "
        "again; default: a random key that nobody keeps.",
        metavar="FILE",
    )

    def __post_init__(self) -> None:
        check(self)
        if not self.runs:
            raise ConfigError("found no run, expected one or more; name the --out of a scan")
        if not self.format:
            raise ConfigError("--format is empty, expected html, md, csv or json")
        if self.bom and "csv" not in self.format:
            raise ConfigError("--bom is about tables; give --format csv with it")
        keep_out_of("--out", self.out, self.runs)
        if self.redact_key is not None and not self.redact:
            raise ConfigError("--redact-key is given without --redact; give both or neither")
