"""A finished run, read back from its directory; no model is loaded."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow as pa

from memaudit.errors import RunDirectoryError
from memaudit.reports.run_directory import RunDirectory, Work
from memaudit.stages.calibrate import COPY, HALF_LEVEL, Excess, Outcome, query_of, screened

FULL: tuple[Work, ...] = ("sample", "scores")  # where rows of the full scan stand


@dataclass(frozen=True)
class Setting:
    """What two runs must share for their images and draws to be the same."""

    seed: int
    resize: str
    resolution: str  # empty in runs of versions that did not keep it
    embedder: str
    embedder_digest: str
    duplicate_threshold: float | None
    score: str


@dataclass(frozen=True)
class Way:
    """How a run reconstructed; runs may differ in it, which a comparison then says."""

    sampler: str
    steps: int
    draws: int
    dtype: str
    q: float
    captions: str


@dataclass(frozen=True)
class Drawn:
    """Quality of generated images, as scan.json holds it; None where it has a reason instead."""

    n: int
    dimensions: int
    steps: int
    sampler: str
    frechet: float | None
    kid: float | None
    kid_std: float | None
    precision: float | None
    recall: float | None
    reason: str


@dataclass(frozen=True)
class OfCopies:
    """What the noisy copies that a model was trained on show, queried by themselves."""

    flagged: int  # members whose finding rests on their copy
    memorized: bool  # whether the verdict is evidence and copies alone suffice for it


@dataclass(frozen=True, eq=False)
class FinishedRun:
    """A complete scan: `findings` as it wrote them, `scores` of full passes only.

    `name` is what it is called beside others, at first its path. `screened` says that only part of
    the images were scanned in full. `copies` is the digest of the noisy copies that were queried,
    and it and `of_copies` are None where none were.
    """

    name: str
    path: str
    model: str
    fingerprint: str
    setting: Setting
    way: Way
    outcome: Outcome
    reasons: tuple[str, ...]
    screened: bool
    copy_threshold: float | None
    excess: Excess | None
    quality: Drawn | None
    copies: str | None
    of_copies: OfCopies | None
    findings: pd.DataFrame
    scores: pd.DataFrame

    @property
    def sigmas(self) -> list[float]:
        """Noise levels, ascending."""
        return sorted(float(sigma) for sigma in self.scores["sigma"].unique())

    @property
    def reconstructions(self) -> list[str]:
        """Those of the full passes, of clean images first."""
        names = {str(name) for name in self.scores["reconstruction"].unique()}
        return sorted(names, key=lambda name: (query_of(name) == COPY, name))


def read_run(path: str) -> FinishedRun:
    """Read a run; raises RunDirectoryError if it is none, not finished, or cannot be read."""
    folder = Path(path)
    _expect_finished(folder)
    try:
        report = json.loads((folder / "scan.json").read_text(encoding="utf-8"))
        findings = pd.read_parquet(folder / "findings.parquet")
        facts = _facts(report, findings)
    except (OSError, ValueError, KeyError, TypeError, AttributeError, pa.ArrowException) as error:
        raise RunDirectoryError(
            f"{path} cannot be read ({error!r}): expected scan.json and findings.parquet as this "
            "version of memaudit writes them; run its scan again with the same arguments"
        ) from error
    scores = _scores(RunDirectory(folder), findings)
    return FinishedRun(name=path, path=path, findings=findings, scores=scores, **facts)


def _expect_finished(folder: Path) -> None:
    if (folder / "scan.json").is_file():
        return
    if (folder / "run.json").is_file():
        raise RunDirectoryError(
            f"{folder} holds a scan that is not finished: run.json is there, scan.json is not; "
            "run the same scan command again, it continues"
        )
    raise RunDirectoryError(
        f"{folder} is no run directory: found no scan.json there; give the --out of a finished scan"
    )


def _facts(report: dict[str, Any], findings: pd.DataFrame) -> dict[str, Any]:
    """Take what a comparison needs out of scan.json."""
    outcome = Outcome(report["verdict"]["outcome"])
    provenance, summary, quality = report["provenance"], report["summary"], report.get("quality")
    config, data, embedder = provenance["config"], provenance["data"], provenance["embedder"]
    dataset, effort = summary["dataset"], summary["effort"]
    excess = dataset and dataset["excess"]
    return {
        "model": config["model"],
        "fingerprint": data["fingerprint"],
        "setting": Setting(
            seed=config["seed"],
            resize=config["data"]["resize"],
            resolution=data.get("resolution", ""),
            embedder=embedder["name"],
            embedder_digest=embedder["digest"],
            duplicate_threshold=config["duplicate_threshold"],
            score=config["score"],
        ),
        "way": Way(
            sampler=config["sampler"],
            steps=config["steps"],
            draws=config["corruption"]["draws"],
            dtype=config["dtype"],
            q=config["q"],
            captions=_captions(provenance.get("captions")),
        ),
        "outcome": outcome,
        "reasons": tuple(report["verdict"]["reasons"]),
        "screened": bool(effort and effort["screen"]),
        "copy_threshold": embedder["copy_threshold"],
        "excess": Excess(**excess) if excess else None,
        "quality": Drawn(**{name: quality[name] for name in _DRAWN}) if quality else None,
        "copies": (provenance.get("copies") or {}).get("digest"),
        "of_copies": _of_copies(summary.get("noisy"), outcome, findings),
    }


def _captions(told: dict[str, Any] | None) -> str:
    return "none" if told is None else f"{told['policy']} of {told['images']} images"


def _of_copies(
    noisy: dict[str, Any] | None, outcome: Outcome, findings: pd.DataFrame
) -> OfCopies | None:
    """The noisy copies share the level of the verdict with the clean images."""
    for one in noisy["by_query"] if noisy else ():
        if one["query"] == COPY:
            q = findings.loc[findings["query"] == COPY, "q_value"].min()
            p = one["test"]["p_value"] if one["test"] else 1.0
            found = bool(q <= HALF_LEVEL) or p <= HALF_LEVEL / 2
            return OfCopies(one["flagged"], found and outcome is Outcome.EVIDENCE)
    return None


_DRAWN = tuple(Drawn.__dataclass_fields__)


def _scores(run: RunDirectory, findings: pd.DataFrame) -> pd.DataFrame:
    """Rows of the full passes, of images that were scored."""
    tables = []
    for work in FULL:
        count = len(list((run.path / work).glob("part-*.parquet")))
        table, _ = run.read_parts(count, work)
        if len(table):
            tables.append(table[~screened(table)])
    if not tables:
        raise RunDirectoryError(
            f"{run.path} has no scores: expected parts in {run.path / 'scores'}; run its scan again"
        )
    scored = findings.loc[findings["score"].notna(), "example_id"]
    scores = pd.concat(tables, ignore_index=True)
    return scores[scores["example_id"].isin(scored)].reset_index(drop=True)
