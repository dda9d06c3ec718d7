"""A finished run, read back from its directory; no model is loaded."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow as pa

from memaudit.config import REFERENCE_SCORE
from memaudit.errors import RunDirectoryError
from memaudit.run.directory import RunDirectory, Work
from memaudit.run.identity import weights_digest
from memaudit.run.noisy_data import NoisyData, noisy_data
from memaudit.statistics import COPY, Excess, Outcome, query_of, screened

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
    reference: str


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

    @property
    def kind(self) -> tuple[int, int, str]:
        """What Frechet distances must share to be compared."""
        return self.n, self.steps, self.sampler


@dataclass(frozen=True, eq=False)
class FinishedRun:
    """A complete scan: `findings` as it wrote them, `scores` of full passes only.

    `name` is what it is called beside others, at first its path. `screened` says that only part of
    the images were scanned in full. `noisy` is None for a model of clean data.
    """

    name: str
    path: str
    model: str
    reference: str
    fingerprint: str
    setting: Setting
    way: Way
    outcome: Outcome
    reasons: tuple[str, ...]
    screened: bool
    copy_threshold: float | None
    excess: Excess | None
    quality: Drawn | None
    noisy: NoisyData | None
    findings: pd.DataFrame
    scores: pd.DataFrame

    @property
    def copies(self) -> str | None:
        """Digest of the noisy copies that were asked for; None where none were."""
        return self.noisy.copies if self.noisy else None

    @property
    def training(self) -> tuple[str, float | None]:
        """The loss of a model of noisy data, and the noise at which its sampling stops."""
        return self.noisy.training if self.noisy else ("clean", None)

    @property
    def untold(self) -> str:
        """Why it cannot be said to memorize less by its clean images; empty if it can."""
        return self.noisy.untold if self.noisy else ""

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
        "reference": config.get("reference") or "none",
        "fingerprint": data["fingerprint"],
        "setting": Setting(
            seed=config["seed"],
            resize=config["data"]["resize"],
            resolution=data.get("resolution", ""),
            embedder=embedder["name"],
            embedder_digest=embedder["digest"],
            duplicate_threshold=config["duplicate_threshold"],
            score=REFERENCE_SCORE if config.get("reference") else config["score"],
            reference=weights_digest(provenance.get("reference") or {}) or "none",
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
        "noisy": noisy_data(report, findings),
    }


def _captions(told: dict[str, Any] | None) -> str:
    return "none" if told is None else f"{told['policy']} of {told['images']} images"


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
    scored = findings.loc[findings["score"].notna() & findings["representative"]]
    scores = pd.concat(tables, ignore_index=True)
    in_full = scored.loc[scored["stage"] == "full", "example_id"]
    lost = in_full[~in_full.isin(scores["example_id"])]
    if len(lost):
        raise RunDirectoryError(
            f"{run.path} has lost the scores of {len(lost)} of {len(in_full)} images: parts are "
            "missing; run its scan again, it makes them anew"
        )
    return scores[scores["example_id"].isin(scored["example_id"])].reset_index(drop=True)
