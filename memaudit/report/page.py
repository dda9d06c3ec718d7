"""All that stands in a report of one run, ready for templates/run.html."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from memaudit.report import plain
from memaudit.report.asked import asked
from memaudit.report.beside import beside
from memaudit.report.figure import Figure, clean_levels
from memaudit.report.figures import figures
from memaudit.report.finished import Reported
from memaudit.report.kinds import Kind, kinds
from memaudit.report.pictures import STRONGEST, Picture, pictures
from memaudit.report.repeat import command
from memaudit.report.rows import Table, table
from memaudit.report.weights_told import weights_told
from memaudit.report.words import describe
from memaudit.run.record import Record
from memaudit.statistics.findings import described
from memaudit.statistics.verdict import Outcome

Fact = tuple[str, str]


@dataclass(frozen=True)
class Page:
    """A run in words, figures and rows; `key` tells its parts from those of other runs."""

    key: str
    name: str
    tone: str
    headline: str
    sentence: str
    asked: tuple[str, ...]
    kinds: tuple[Kind, ...]
    beside: tuple[str, ...]
    sure: tuple[str, ...]
    untested: tuple[str, ...]
    to_do: tuple[str, ...]
    strongest: tuple[Picture, ...]
    pictures: tuple[Picture, ...]
    figures: tuple[Figure, ...]
    table: Table
    columns: tuple[Fact, ...]
    provenance: tuple[Fact, ...]
    weights: tuple[Fact, ...]
    packages: tuple[Fact, ...]
    command: str
    summary: str
    redacted: bool
    digest: str


def page(run: Reported, key: str) -> Page:
    """Put a run into words."""
    record, model, packages = run.record, run.record.prepared.model, run.record.environment.packages
    shown = tuple(pictures(run))
    return Page(
        key=key,
        name=run.name,
        tone=_tone(record),
        headline=plain.headline(record),
        sentence=record.verdict.sentence,
        asked=tuple(asked(record)),
        kinds=kinds(record),
        beside=tuple(beside(record)),
        sure=tuple(plain.sure(record)),
        untested=tuple(plain.untested(record)),
        to_do=tuple(plain.to_do(record)),
        strongest=shown[:STRONGEST],
        pictures=shown[STRONGEST:],
        figures=tuple(figures(record, run.findings)),
        table=table(run),
        columns=described(record.prepared.columns),
        provenance=tuple(_provenance(record)),
        weights=(*model.weights.items(), *model.adapters.items()),
        packages=tuple((name, found or "not installed") for name, found in packages.items()),
        command=command(record.config),
        summary=describe(record),
        redacted=run.redacted,
        digest=run.digest,
    )  # fmt: skip


def _tone(record: Record) -> str:
    """The colour of a verdict: of evidence, by what it claims."""
    verdict = record.verdict
    return str(
        verdict.claim if verdict.outcome is Outcome.EVIDENCE else verdict.outcome.name.lower()
    )


def _provenance(record: Record) -> Iterator[Fact]:
    prepared, environment = record.prepared, record.environment
    model, data, commit = prepared.model, prepared.data, environment.commit
    yield "model", f"{model.model} ({model.family or 'no family'})"
    if model.revision:
        yield "revision", model.revision
    if model.base:
        yield "base of the adapters", model.base
    for text in weights_told(record):
        yield "weights used", text
    yield "read as", ", ".join(f"{k} {v}" for k, v in model.reading.items()) or "not said"
    yield "number format", f"{model.dtype or 'not said'}, on {prepared.device}"
    yield (
        "data",
        (
            f"{data.read} of {data.entries} entries read at {data.resolution}, {data.failed} "
            f"failed; fingerprint {data.fingerprint}"
        ),
    )
    yield "embedder", f"{prepared.embedder.name}, digest {prepared.embedder.digest}"
    levels = clean_levels(record)
    if prepared.primary.hides:
        yield "hidden", ", ".join(f"{share:.4g} of the image" for share in levels)
    else:
        yield "noise levels", ", ".join(f"sigma {sigma:g}" for sigma in levels)
    yield "seed", str(record.config.attack.seed)
    yield "question", f"digest {prepared.question}"
    changed = " with changes" if commit is not None and commit.dirty else ""
    yield (
        "memaudit",
        f"{environment.memaudit}" + (f", commit {commit.sha}{changed}" if commit else ""),
    )
    yield "machine", f"{environment.platform}, Python {environment.python}"
    yield "started as", " ".join(environment.command) or "left out"
    yield "finished", environment.finished
    for one in record.calibrations:
        yield "calibrated", f"q {one.q:g}: {one.flagged} flagged, {one.outcome}, {one.finished}"
