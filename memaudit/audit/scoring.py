"""Score the pool: shard by shard, all of it in full, or in full only what a first pass promotes."""

from __future__ import annotations

import math
from dataclasses import dataclass

import pandas as pd

from memaudit.audit.passes import Grid, Pass, evaluations_each, full_passes, screens
from memaudit.audit.shards import Stages, run_shard
from memaudit.config import ScanConfig
from memaudit.errors import DataError, RunDirectoryError
from memaudit.progress import Progress
from memaudit.run.directory import RunDirectory, Work
from memaudit.statistics import Effort, agreement, promoted, rows_of, screening_order

SAMPLED = 64  # images, or one in a hundred, that show whether a first pass is informative
INFORMATIVE = 0.5  # least rank correlation of a first pass with the full score


@dataclass(frozen=True, eq=False)
class Scored:
    """The scores of the pool, the ids that failed and why, and what it took."""

    scores: pd.DataFrame
    failed: dict[str, str]
    effort: Effort


def score_pool(stages: Stages, run: RunDirectory, progress: Progress) -> Scored:
    """Score every representative, or continue; raises DataError if none can be read."""
    config, rows = stages.config, stages.pool.representatives
    passes = full_passes(config, stages.grid)
    each = evaluations_each(passes, config.sampler)
    if config.adaptive and saves(config, stages.grid, len(rows)):
        sampled = sample_size(len(rows))
        return _Adaptive(stages, run, progress, passes, each).score(sampled)
    scores, failed = score_rows(stages, run, ("scores", rows, passes), progress)
    asked = "a first pass over so few images would save nothing" if config.adaptive else ""
    return Scored(scores, failed, Effort(each * len(rows), each * len(rows), reason=asked))


def sample_size(images: int) -> int:
    """How many of a pool of so many images show whether a first pass is informative."""
    return min(images, max(SAMPLED, math.ceil(images / 100)))


def saves(config: ScanConfig, grid: Grid, images: int) -> bool:
    """Whether a first pass over so many images can take fewer evaluations than the full scan."""
    each = evaluations_each(full_passes(config, grid), config.sampler)
    return adaptive_evaluations(config, grid, images) < each * images


def adaptive_evaluations(config: ScanConfig, grid: Grid, images: int) -> int:
    """Evaluations of an adaptive scan whose cheapest first pass is informative, at most."""
    candidates = screens(config, grid)
    each = evaluations_each(full_passes(config, grid), config.sampler)
    cheapest, *others = (how.evaluations(config.sampler) for how in candidates)
    in_full = sample_size(images) + math.ceil(config.fraction * images)
    return in_full * each + images * cheapest + sample_size(images) * sum(others)


def score_rows(
    stages: Stages,
    run: RunDirectory,
    work: tuple[Work, pd.DataFrame, tuple[Pass, ...]],
    progress: Progress,
) -> tuple[pd.DataFrame, dict[str, str]]:
    """Run passes over rows of the pool, shards that are done left out -> scores, failed ids.

    `work` is where its parts stand, the rows, and the passes. Raises DataError if none of the rows
    can be read, RunDirectoryError if the parts are of other images or levels.
    """
    name, rows, passes = work
    if rows.empty:
        return pd.DataFrame(), {}
    size = stages.config.shard_size
    starts = range(0, len(rows), size)
    for number, start in enumerate(starts):
        if not run.part(number, name).is_file():
            shard = run_shard(stages, rows[start : start + size], passes)
            run.write_part(number, *shard, work=name)
        progress("scan" if name == "scores" else name, min(start + size, len(rows)), len(rows))
    scores, failed = run.read_parts(len(starts), name)
    if scores.empty:
        first = next(iter(failed.values()))
        raise DataError(
            f"none of {len(rows)} images could be read again to be scanned (the first: {first}); "
            "mend that and give another --out"
        )
    wanted = {sigma for how in passes for sigma in how.sigmas}
    of_now = set(scores["example_id"]) | failed.keys() == set(rows["example_id"])
    if not of_now or set(scores["sigma"]) != wanted:
        raise RunDirectoryError(
            f"the scores in {run.path} are of other images or noise levels than those of now: an "
            "image was lost or mended since they were made; give another --out"
        )
    return scores, failed


@dataclass(frozen=True, eq=False)
class _Adaptive:
    """A cheap first pass over the whole pool, then the full work on its top fraction.

    Which images go on is decided on members and controls alike, so p-values stay exact. The first
    pass must agree in rank with the full score on a random sample of the pool, else all of the
    pool is scanned in full.
    """

    stages: Stages
    run: RunDirectory
    progress: Progress
    passes: tuple[Pass, ...]
    each: int  # network evaluations of an image in full

    def score(self, sampled: int) -> Scored:
        rows = self.stages.pool.representatives
        in_sample = rows["example_id"].isin(sorted(rows["example_id"])[:sampled])
        candidates = screens(self.stages.config, self.stages.grid)
        found, failed = self._run("sample", rows[in_sample], (*self.passes, *candidates))
        tried = self._cost(rows[in_sample], (*self.passes, *candidates))
        in_full = rows_of(found, *(how.name for how in self.passes))
        agreements = self._agreements(found, in_full, candidates)
        screen = next((how for how in candidates if agreements[how.name] >= INFORMATIVE), None)
        rest = rows[~in_sample]
        if screen is None:
            scores, lost = self._run("scores", rest, self.passes)
            effort = Effort(
                evaluations=tried + self._cost(rest, self.passes),
                in_full=self.each * len(rows),
                reason=(
                    "no first pass agrees with the full score on a sample (rank correlation "
                    f"{max(agreements.values()):.2f}, wanted {INFORMATIVE}), so all images were "
                    "scanned in full"
                ),
            )
            return Scored(pd.concat([in_full, scores], ignore_index=True), failed | lost, effort)
        screened, lost = self._run("screen", rest, (screen,))
        seen = rows_of(found, screen.name)
        first = pd.concat([seen, screened], ignore_index=True)
        top = self._top(first, len(rows))
        chosen = rest[rest["example_id"].isin(top)]
        full, gone = self._run("scores", chosen, self.passes)
        failed = failed | lost | gone
        scores = pd.concat([first, in_full, full], ignore_index=True)
        scores = scores[~scores["example_id"].isin(list(failed))]
        effort = Effort(
            evaluations=tried + self._cost(rest, (screen,)) + self._cost(chosen, self.passes),
            in_full=self.each * len(rows),
            screen=screen.name,
            agreement=agreements[screen.name],
            promoted=len(promoted(scores, self.stages.config.column)),
            sampled=sampled,
        )
        return Scored(scores, failed, effort)

    def _agreements(
        self, sample: pd.DataFrame, in_full: pd.DataFrame, candidates: tuple[Pass, ...]
    ) -> dict[str, float]:
        column = self.stages.config.column
        by_name = {how.name: rows_of(sample, how.name) for how in candidates}
        return {name: agreement(rows, in_full, column) for name, rows in by_name.items()}

    def _top(self, first: pd.DataFrame, images: int) -> list[str]:
        config = self.stages.config
        return screening_order(first, config.column)[: math.ceil(config.fraction * images)]

    def _run(
        self, name: Work, rows: pd.DataFrame, passes: tuple[Pass, ...]
    ) -> tuple[pd.DataFrame, dict[str, str]]:
        return score_rows(self.stages, self.run, (name, rows, passes), self.progress)

    def _cost(self, rows: pd.DataFrame, passes: tuple[Pass, ...]) -> int:
        return len(rows) * evaluations_each(passes, self.stages.config.sampler)
