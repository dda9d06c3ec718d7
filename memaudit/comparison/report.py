"""The report of several runs: each by itself, below what their comparison says."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from memaudit.comparison.names import short_names
from memaudit.comparison.pipeline import compare
from memaudit.comparison.result import ComparisonResult
from memaudit.config import CompareConfig, ReportConfig
from memaudit.errors import ConfigError, RunDirectoryError
from memaudit.report.evidence import Evidence, Source, packed_of, write_evidence
from memaudit.report.finished import Reported, read_reported
from memaudit.report.html import Compared
from memaudit.report.redaction import read_key, redact
from memaudit.report.write import write_reports
from memaudit.run.directory import SCAN, RunDirectory
from memaudit.run.manifest import MANIFEST, some
from memaudit.run.sums import sha256


@dataclass(frozen=True)
class Written:
    """Where reports were written, and evidence.zip if it was asked for."""

    reports: list[Path]
    evidence: Evidence | None = None


def report(config: ReportConfig) -> Written:
    """Write a report of finished runs and say where; no model is loaded.

    Runs that cannot be compared are reported one by one, and the report says why. Raises
    RunDirectoryError for what is no finished run, and where evidence is asked for, for one that is
    not as it was sealed.
    """
    out, paths = Path(config.out), tuple(dict.fromkeys(config.runs))
    if (out / SCAN).is_file():
        raise ConfigError(f"--out {out} is a run, which has its own report; give another directory")
    runs, compared = _named(paths), _compared(paths)
    files = [_sealed(path) if config.evidence else {} for path in paths]
    if config.redact:
        compared = None if compared is None else _unnamed(compared, runs)
        key = read_key(config.redact_key)
        runs = [redact(run, key, f"run {k}") for k, run in enumerate(runs, start=1)]
    written = write_reports(runs, out, config.format, compared, mark=config.bom)
    if not config.evidence:
        return Written(written)
    sources = [
        Source(run, {} if config.redact else one) for run, one in zip(runs, files, strict=True)
    ]
    return Written(written, write_evidence(sources, out, compared))


def _sealed(path: str) -> dict[str, bytes]:
    """The files of a run that go into evidence.zip; raises RunDirectoryError if one was changed."""
    run = RunDirectory.at(path)
    if not run.digest:
        raise RunDirectoryError(
            f"{path} was finished by a memaudit that sealed no run; run its scan again with the "
            "same arguments: its scores are kept, and it is sealed"
        )
    sums = run.sealed.manifest().sums
    files = {name: run.content(name) for name in packed_of(list(sums))}
    changed = [name for name, content in files.items() if sha256(content) != sums[name]]
    if changed:
        raise RunDirectoryError(
            f"{path} is not as it was sealed ({some(changed)} changed), so it is no evidence; "
            f"memaudit verify {path} names all that differs"
        )
    return {**files, MANIFEST: run.content(MANIFEST)}


def told(result: ComparisonResult) -> Compared:
    """What a report says of a comparison."""
    remarks = tuple(said for one in result.comparisons for said in one.remarks)
    return Compared(result.sentences, remarks, result.text)


def _named(paths: Sequence[str]) -> list[Reported]:
    names = short_names(paths)
    return [replace(read_reported(path), name=names[path]) for path in paths]


def _unnamed(compared: Compared, runs: Sequence[Reported]) -> Compared:
    """The sentences alone, in which runs go by their numbers."""
    number = {run.name: f"run {k}" for k, run in enumerate(runs, start=1)}
    longest = sorted(number, key=len, reverse=True)
    names = re.compile(rf"(?<!\w)(?:{'|'.join(map(re.escape, longest))})(?!\w)")
    said = (names.sub(lambda found: number[found[0]], one) for one in compared.sentences)
    return Compared(tuple(said), (), "")


def _compared(paths: tuple[str, ...]) -> Compared | None:
    if len(paths) < 2:
        return None
    try:
        return told(compare(CompareConfig(paths)))
    except RunDirectoryError as error:
        return Compared(("The runs are not compared.",), (str(error),), "")
