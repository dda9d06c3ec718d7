"""From the scores of a run to its findings and its verdict; no model is needed."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path

import pandas as pd

from memaudit.audit.pool import UNREAD
from memaudit.audit.result import ScanResult
from memaudit.audit.scoring import assemble
from memaudit.config import CalibrationConfig, ScanConfig
from memaudit.report.finished import reported
from memaudit.report.html import html
from memaudit.report.words import describe
from memaudit.run.directory import PREFIX, RunDirectory
from memaudit.run.parts import Part
from memaudit.run.record import Calibration, Prepared, Record
from memaudit.run.store import hold
from memaudit.statistics.counts import Unread
from memaudit.statistics.detectable import detectable_in
from memaudit.statistics.findings import calibrate
from memaudit.statistics.options import Options
from memaudit.statistics.summary import Conduct, Summary, summarise
from memaudit.statistics.verdict import Outcome


@dataclass(frozen=True, eq=False)
class Found:
    """Findings, what could not be scanned, and the summary of both."""

    findings: pd.DataFrame
    errors: pd.DataFrame
    summary: Summary


def make_findings(
    rows: pd.DataFrame,
    part: Part,
    conduct: Conduct,
    options: Options,
    memorizer: pd.DataFrame | None = None,
) -> Found:
    """Calibrate scores; `rows` are those of pool.parquet.

    `memorizer` are the scores of images under the perfect memorizer of the members, from which
    follows how few memorized images the scan finds; without them it stays as it was.
    """
    readable = rows["error"] == ""
    pool = rows[readable].drop(columns="error")
    calibrated = calibrate(part.table, pool, options)
    unread = rows.loc[~readable, "split"].value_counts()
    lost = Unread(int(unread.get("member", 0)), int(unread.get("control", 0)))
    conduct = replace(conduct, unread=lost)
    if memorizer is not None and conduct.power is not None:
        held = memorizer[memorizer["example_id"].isin(calibrated.sides.members)]
        least = detectable_in(calibrated, held, conduct.power.share, options)
        conduct = replace(conduct, detectable=least)
    summary = summarise(calibrated, options, conduct)
    findings = calibrated.findings
    if summary.verdict.outcome is not Outcome.EVIDENCE:  # then a flag claims nothing
        findings["claim"] = ""
    chosen = pool[pool["representative"]].drop_duplicates("example_id")
    failed = chosen[chosen["example_id"].isin(list(part.failed))]
    without = pool[pool["lost"] != ""]
    errors = [
        rows.loc[rows["error"] != "", UNREAD],
        without.assign(error=without["lost"])[UNREAD],
        failed.assign(error=failed["example_id"].map(part.failed))[UNREAD],
    ]
    return Found(findings, pd.concat(errors, ignore_index=True), summary)


def options_of(prepared: Prepared, calibration: CalibrationConfig, seed: int) -> Options:
    """How the scores of a prepared run are calibrated."""
    return Options(
        primary=prepared.primary,
        columns=prepared.columns,
        membership=prepared.membership,
        others=prepared.others,
        q=calibration.q,
        copy_threshold=prepared.embedder.copy_threshold,
        embedder=prepared.embedder.name,
        seed=seed,
        captions=prepared.captions is not None and prepared.captions.policy == "own",
        tolerated_count=calibration.tolerated_count,
        tolerated_share=calibration.tolerated_share,
    )


def recalibrate(path: str, calibration: CalibrationConfig) -> ScanResult:
    """Make the findings of a finished run anew and keep them; its scores stay as they are.

    Score, levels and checks are those of the run; each calibration is recorded. Raises
    RunDirectoryError if the run is not finished, was changed or is in use.
    """
    RunDirectory.at(path).expect_finished()
    with hold(Path(path)) as store:
        run = RunDirectory(store)
        record = run.record()
        run.expect_kept()
        part = read_scores(run, record)
        options = options_of(record.prepared, calibration, record.config.attack.seed)
        found = make_findings(run.pool(), part, record.summary.conduct, options)
        config = record.config.recalibrated(calibration)
        result = ScanResult(
            config=config,
            record=recorded(record, config, found.summary),
            scores=part.table,
            findings=found.findings,
            errors=found.errors,
        )
        _drop_pictures(run, result)
        return keep(run, result)


def read_scores(run: RunDirectory, record: Record) -> Part:
    """The scores of a finished run, as they are calibrated."""
    return assemble(
        run.parts("screen").read_all(),
        run.parts("scores").read_all(),
        screened=record.summary.conduct.adaptive,
    )


def recorded(record: Record, config: ScanConfig, summary: Summary) -> Record:
    """Add a calibration to a record."""
    now = Calibration(
        q=config.calibration.q,
        flagged=summary.flagged.groups,
        outcome=str(summary.verdict.outcome),
        finished=datetime.now(UTC).isoformat(timespec="seconds"),
    )
    return replace(
        record,
        verdict=summary.verdict,
        config=config,
        summary=summary,
        calibrations=(*record.calibrations, now),
    )


def keep(run: RunDirectory, result: ScanResult) -> ScanResult:
    """Write what people read and seal it; -> the result with the digest of the run.

    scan.json comes last and says that the scan is complete.
    """
    run.keep_findings(result.findings, result.errors, describe(result.record))
    run.seal(result.record)
    wanted = result.record.config.execution.report
    told = html([reported(run, result.record, result.findings)]) if wanted else None
    run.keep_report(told)
    run.finish(result.record)
    return replace(result, digest=run.digest)


def _drop_pictures(run: RunDirectory, result: ScanResult) -> None:
    """Remove strips of images that are not flagged any more; new ones take the model."""
    rows = result.findings
    flagged = {str(name)[:PREFIX] for name in rows.loc[rows["flagged"], "example_id"]}
    for shown, name in run.strips().items():
        if shown not in flagged:
            run.store.remove(name)
