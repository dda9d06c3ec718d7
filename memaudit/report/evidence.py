"""evidence.zip: a report with all that it shows, sealed, for whoever a report is passed on to."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from jinja2 import Environment, FileSystemLoader, StrictUndefined, Template

from memaudit.errors import ForeignFileError, RunDirectoryError
from memaudit.files import to_csv, write_whole
from memaudit.report.finished import Reported
from memaudit.report.html import SEVERAL_LINES, TEMPLATES, Compared, html
from memaudit.report.page import page
from memaudit.report.words import describe
from memaudit.run.archive import pack
from memaudit.run.directory import ERRORS, FINDINGS, PREPARED, REPORT, SCAN, STRIPS, SUMMARY
from memaudit.run.manifest import MANIFEST
from memaudit.run.record import write
from memaudit.run.store import RUN
from memaudit.run.sums import SUMS, Sums, is_plain, sha256, write_sums
from memaudit.text import encodable, shown
from memaudit.version import __version__

EVIDENCE, README, PROVENANCE = "evidence.zip", "README.txt", "provenance.txt"
TABLE = f"{FINDINGS}.csv"
TOLD = "digest of the run"  # how the checksums name it
AS_THEY_ARE = (SCAN, TABLE, ERRORS, SUMMARY, RUN, PREPARED)  # files of a run, beside its strips
ABOUT = {  # what each file is, in plain words, in the order of the README
    REPORT: "The report, for people. Open it in a browser; it needs no network.",
    TABLE: "Every image of the scan and what was measured of it, one row an image.",
    f"{STRIPS}/": "The strongest findings as pictures: the original, the same as it was corrupted, "
    "what the model made of it, and the most similar other image.",
    PROVENANCE: "Which model, which images and which programs all of this comes from.",
    SUMMARY: "The summary that the scan printed.",
    SCAN: "The record of the scan, for programs: verdict, settings, all numbers.",
    ERRORS: "The images that could not be read or measured, and why.",
    RUN: "What the scan was asked, for programs.",
    PREPARED: "What was settled before the first measurement, for programs.",
    MANIFEST: "The sha256 of every file of the scan, also of those that are not in here. Its own "
    "sha256 is the digest of the run.",
    SUMS: "The sha256 of every file in here but itself.",
    README: "This text.",
}


@dataclass(frozen=True)
class Evidence:
    """A written evidence.zip: where, and the sha256 of its SHA256SUMS, hex."""

    path: Path
    digest: str


@dataclass(frozen=True, eq=False)
class Source:
    """A run to pack: what is reported of it, and its sealed files by name; none if redacted."""

    run: Reported
    files: Mapping[str, bytes]


def write_evidence(runs: Sequence[Source], out: Path, compared: Compared | None) -> Evidence:
    """Write evidence.zip; raises RunDirectoryError if it would be too large."""
    files = _files(runs, compared)
    told = [f"{TOLD}{_beside(k, runs)}: {one.run.digest}" for k, one in enumerate(runs, start=1)]
    files[README] = _readme(runs, [*files, README, SUMS])
    sums = write_sums(Sums({name: sha256(content) for name, content in files.items()}, told))
    try:
        packed = pack({**files, SUMS: sums})
    except ForeignFileError as error:
        raise RunDirectoryError(
            f"{out / EVIDENCE} cannot be written: {error}; scan with fewer --images, or name fewer "
            "runs"
        ) from error
    write_whole(out / EVIDENCE, packed)
    return Evidence(out / EVIDENCE, sha256(sums))


def _files(runs: Sequence[Source], compared: Compared | None) -> dict[str, bytes]:
    """All but README and checksums; the files of several runs stand in a folder each."""
    files = {REPORT: _bytes(html([one.run for one in runs], compared))}
    for k, one in enumerate(runs, start=1):
        folder = "" if len(runs) == 1 else f"run-{k}/"
        made = {**(one.files or _redacted(one.run)), PROVENANCE: _bytes(_provenance(one.run))}
        files |= {f"{folder}{name}": content for name, content in made.items()}
    return files


def packed_of(names: Sequence[str]) -> list[str]:
    """Which files of a run go into evidence.zip, of those that its manifest lists."""
    strips = (name for name in names if name.startswith(f"{STRIPS}/") and is_plain(name))
    return [*(name for name in AS_THEY_ARE if name in names), *strips]


def _redacted(run: Reported) -> dict[str, bytes]:
    """The same files without names and pictures; what names every file of the run is left out."""
    return {
        SCAN: write(run.record),
        TABLE: to_csv(run.findings),
        SUMMARY: _bytes(f"{describe(run.record)}\n"),
    }


def _provenance(run: Reported) -> str:
    told = page(run, "run")
    weights = ("Weight files, by sha256", told.weights)
    parts = (("", told.provenance), weights, ("Packages", told.packages))
    return "\n".join(
        [
            f"Digest of the run: {run.digest}",
            *(line for title, facts in parts for line in _listed(title, facts)),
            "",
            "How to repeat the run",
            f"  {shown(told.command)}",
            "",
        ]
    )


def _listed(title: str, facts: Sequence[tuple[str, str]]) -> Iterator[str]:
    if facts:
        yield ""
    if facts and title:
        yield title
    yield from (f"  {shown(name)}: {shown(said)}" for name, said in facts)


def _readme(runs: Sequence[Source], names: Sequence[str]) -> bytes:
    inside = {name.partition("/")[2] if name.startswith("run-") else name for name in names}
    there = {f"{STRIPS}/" if name.startswith(f"{STRIPS}/") else name for name in inside}
    text = _template().render(
        runs=[(f"run-{k}", one.run) for k, one in enumerate(runs, start=1)],
        files=[(name, said) for name, said in ABOUT.items() if name in there],
        width=max(map(len, there)),
        redacted=any(one.run.redacted for one in runs),
        version=__version__,
    )
    return _bytes(text)


def _beside(number: int, runs: Sequence[Source]) -> str:
    return "" if len(runs) == 1 else f" in run-{number}"


def _bytes(text: str) -> bytes:
    return encodable(text).encode()


@cache
def _template() -> Template:
    made = Environment(
        loader=FileSystemLoader(TEMPLATES),
        autoescape=False,
        finalize=lambda value: shown(value, SEVERAL_LINES) if type(value) is str else value,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    return made.get_template("evidence.txt")
