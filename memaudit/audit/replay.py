"""Repeat findings of a finished run: the same images, noise and model, through the same code."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np
import pandas as pd

from memaudit.attacks.base import Pass
from memaudit.attacks.passes import full_passes
from memaudit.audit.bench import Opened, grids_of, open_parts, reopen
from memaudit.audit.calibration import read_scores
from memaudit.audit.prepare import embed
from memaudit.audit.spec import BenchSpec
from memaudit.audit.work import Task
from memaudit.audit.work import attack as run_passes
from memaudit.config import ReplayConfig
from memaudit.errors import ConfigError, DataError
from memaudit.models.loaded import Loaded
from memaudit.models.provenance import Provenance
from memaudit.progress import Progress, silent
from memaudit.records import FULL, KEYS
from memaudit.run.directory import RunDirectory
from memaudit.run.parts import Part
from memaudit.run.record import Record

ROWS = ["row", "split", "source", "example_id"]  # what tells that data sets are those of a run


@dataclass(frozen=True)
class Deviation:
    """The largest deviation of a column; None where a value is missing on one side."""

    column: str
    largest: float | None


@dataclass(frozen=True)
class Repeated:
    """An image whose scores were repeated; `failed` says why they could not be, or is blank."""

    example_id: str
    source: str
    flagged: bool
    rows: int
    columns: tuple[Deviation, ...]
    failed: str = ""


@dataclass(frozen=True)
class Replayed:
    """What was repeated. `unlike`: why nothing was, since model or embedder are others.

    A deviation is |recorded - repeated|, divided by |recorded| where that is above 1; a name that
    is another counts as 1.
    """

    tolerance: float
    device: str
    recorded_device: str
    unlike: tuple[str, ...] = ()
    images: tuple[Repeated, ...] = ()
    columns: tuple[Deviation, ...] = ()

    @property
    def passes(self) -> bool:
        """Whether all of it was repeated within the tolerance."""
        all_in = all(self.within(one) for one in self.columns)
        return bool(self.images) and all_in and not any(one.failed for one in self.images)

    def within(self, deviation: Deviation) -> bool:
        """Whether a deviation passes."""
        return deviation.largest is not None and deviation.largest <= self.tolerance


def replay(
    run_path: str, asked: ReplayConfig, progress: Progress = silent, loaded: Loaded | None = None
) -> Replayed:
    """Repeat the scores of some findings of a finished run; nothing is written into it.

    In the order of the findings: the flagged first, then by falling score, one image a duplicate
    group, those that were scanned in full. A model, reference or embedder with other weights is
    named, and nothing is repeated with it. `loaded` is a model of your own, as for a scan. Raises
    DataError for other images than those of the run.
    """
    run = RunDirectory.at(run_path)
    record = run.record()
    spec = _spec(record, run_path, asked)
    opened = open_parts(spec, loaded)
    device = str(opened.loaded.denoiser.device)
    replayed = Replayed(asked.tolerance, device, record.prepared.device)
    unlike = tuple(_unlike(record, opened))
    if unlike:
        return replace(replayed, unlike=unlike)
    embedded = embed(spec, opened, progress)
    _expect_same(run.pool(), embedded.table)
    bench, candidates = reopen(spec, opened, run, embedded.directory)
    asked_of_each = spec.attack.done(adaptive=record.summary.conduct.adaptive)
    passes = full_passes(asked_of_each, grids_of(bench, record.prepared.levels))
    chosen = _chosen(run.findings(), asked.replay)
    tasks = _tasks([str(one) for one in chosen["example_id"]], record, passes)
    parts = []
    for done, task in enumerate(tasks):
        progress("replay", done, len(tasks))
        parts.append(run_passes(bench, candidates, task))
    progress("replay", len(tasks), len(tasks))
    return _compared(replayed, chosen, read_scores(run, record).table, Part.joined(parts))


def _spec(record: Record, run_path: str, asked: ReplayConfig) -> BenchSpec:
    """What the scan was asked, with the places where model and images stand now."""
    config = record.config
    if config.data.controls is not None and asked.controls is None:
        raise ConfigError(
            f"the scan had controls ({config.data.controls}), and none are given; name them with "
            "--controls: every image is compared with those of both sides"
        )
    if config.data.controls is None and asked.controls is not None:
        raise ConfigError("the scan had no controls; leave --controls out")
    target, attack = config.target, config.attack
    return BenchSpec(
        replace(
            config.data,
            dataset=str(asked.dataset),
            controls=asked.controls,
            boxes=asked.boxes or config.data.boxes,
            controls_boxes=asked.controls_boxes or config.data.controls_boxes,
        ),
        replace(target, spec=str(asked.model), base_model=asked.base_model or target.base_model),
        replace(
            attack,
            reference=asked.reference or attack.reference,
            noisy_copies=asked.noisy_copies or attack.noisy_copies,
        ),
        replace(config.execution, device=asked.device, index=asked.index, out=run_path),
    )


def _unlike(record: Record, opened: Opened) -> Iterator[str]:
    """What of the models and the embedder is not what the record has."""
    prepared = record.prepared
    yield from _other_weights("model", prepared.model, opened.loaded.provenance)
    if prepared.reference is not None and opened.reference is not None:
        yield from _other_weights(
            "reference", prepared.reference.model, opened.reference.provenance
        )
    if opened.embedder.digest != prepared.embedder.digest:
        yield (
            f"embedder {opened.embedder.name}: its digest is {opened.embedder.digest}, the record "
            f"has {prepared.embedder.digest}"
        )


def _other_weights(who: str, recorded: Provenance, found: Provenance) -> Iterator[str]:
    for kind in ("weights", "adapters"):
        then, now = getattr(recorded, kind), getattr(found, kind)
        for name in sorted(then.keys() | now.keys()):
            if then.get(name) != now.get(name):
                told, there = (one.get(name, "no such file") for one in (then, now))
                yield f"{who}, {name}: its sha256 is {there}, the record has {told}"
    if recorded.memorized != found.memorized:
        yield f"{who}: the images that it memorized are not those of the record"


def _expect_same(pool: pd.DataFrame, table: pd.DataFrame) -> None:
    """Raise DataError unless the readable images are those of the run, in their places."""
    recorded = pool.loc[pool["error"] == "", ROWS].reset_index(drop=True)
    both = recorded.merge(table[ROWS], how="outer", on=ROWS, indicator=True)
    other = both[both["_merge"] != "both"].sort_values(["_merge", "row"])
    if len(other):
        first = other.iloc[0]
        side = "is in the run only" if first["_merge"] == "left_only" else "is not in the run"
        raise DataError(
            f"the data sets are not those of the run: of {len(recorded)} images in the run and "
            f"{len(table)} in the data sets, {(both['_merge'] == 'both').sum()} are the same (the "
            f"first that is not, {first['split']} {first['source']}, {side}); give the images that "
            "were scanned"
        )


def _chosen(findings: pd.DataFrame, count: int) -> pd.DataFrame:
    rows = findings[findings["representative"] & (findings["stage"] == FULL)]
    return rows.drop_duplicates("example_id").head(count)


def _tasks(ids: list[str], record: Record, passes: tuple[Pass, ...]) -> list[Task]:
    size = record.prepared.shard_size
    starts = range(0, len(ids), size)
    return [
        Task("scores", number, tuple(ids[start : start + size]), passes)
        for number, start in enumerate(starts)
    ]


def _compared(
    replayed: Replayed, chosen: pd.DataFrame, recorded: pd.DataFrame, made: Part
) -> Replayed:
    """Compare rows by their keys, and take the largest deviation of each column."""
    ids = [str(one) for one in chosen["example_id"]]
    then = _keyed(recorded[recorded["phase"] == FULL], ids)
    now = _keyed(made.table, ids)
    deviations = _deviations(then, now)
    by_image = deviations.groupby(level="example_id").max()
    rows = now.groupby(level="example_id").size()
    images = [
        Repeated(
            example_id=example_id,
            source=str(source),
            flagged=bool(flagged),
            rows=int(rows.get(example_id, 0)),
            columns=_columns(by_image[by_image.index == example_id].max()),
            failed=made.failed.get(example_id, ""),
        )
        for example_id, source, flagged in zip(
            ids, chosen["source"], chosen["flagged"], strict=True
        )
    ]
    columns = _columns(deviations.max()) if len(deviations) else ()
    return replace(replayed, images=tuple(images), columns=columns)


def _keyed(table: pd.DataFrame, ids: list[str]) -> pd.DataFrame:
    if table.empty:
        return pd.DataFrame(index=pd.MultiIndex.from_tuples([], names=KEYS))
    return table[table["example_id"].isin(ids)].set_index(list(KEYS)).sort_index()


def _deviations(then: pd.DataFrame, now: pd.DataFrame) -> pd.DataFrame:
    """Deviations of all columns by the keys; infinite where a value is missing on one side."""
    rows = then.index.union(now.index)
    names = [*then.columns, *(name for name in now.columns if name not in then.columns)]
    then, now = (one.reindex(index=rows, columns=names) for one in (then, now))
    return pd.DataFrame({name: _deviation(then[name], now[name]) for name in names}, index=rows)


def _deviation(then: pd.Series[float], now: pd.Series[float]) -> pd.Series[float]:
    one_sided = then.isna() != now.isna()
    if all(pd.api.types.is_numeric_dtype(one) for one in (then, now)):
        size = then.abs().clip(lower=1)
        found = ((then - now).abs() / size).fillna(0.0)
    else:
        found = (then.fillna("") != now.fillna("")).astype(float)
    return found.mask(one_sided, np.inf)


def _columns(found: pd.Series[float]) -> tuple[Deviation, ...]:
    return tuple(
        Deviation(str(name), float(value) if np.isfinite(value) else None)
        for name, value in found.items()
    )
