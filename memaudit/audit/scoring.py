"""Score the pool: shard by shard, all of it in full, or in full only what a first pass promotes."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass
from functools import partial

import pandas as pd

from memaudit.attacks.base import Bench, Grids, Pass
from memaudit.attacks.passes import claim_passes, full_passes, screens
from memaudit.audit.pool import Candidates
from memaudit.audit.work import Crew, attack
from memaudit.config import AttackConfig
from memaudit.errors import DataError, RunDirectoryError
from memaudit.records import FULL, KEYS, SCREEN, Primary
from memaudit.run.directory import RunDirectory
from memaudit.run.parts import Part, Work
from memaudit.statistics.adaptive import agreement, promoted, screening_order
from memaudit.statistics.effort import Effort
from memaudit.statistics.probes import first_pass

SAMPLED = 64  # images, or one in a hundred, that show whether a first pass is informative
INFORMATIVE = 0.5  # least rank correlation of a first pass with the full score


@dataclass(frozen=True, eq=False)
class Scored:
    """The scores of the pool, the ids that failed and why, and what it took."""

    part: Part
    effort: Effort


@dataclass(frozen=True, eq=False)
class Scorer:
    """A bench, what it may be asked about, and how the work is done and kept."""

    bench: Bench
    candidates: Candidates
    run: RunDirectory
    crew: Crew

    def score(self, work: Work, ids: Iterable[str], passes: tuple[Pass, ...]) -> Part:
        """Run passes over images, shards that are done left out.

        Raises DataError if none of the images can be read, RunDirectoryError if the parts are of
        other images or levels.
        """
        tasks = self.crew.tasks(work, ids, passes)
        if not tasks:
            return Part()
        do = partial(attack, self.bench, self.candidates)
        part = self.crew.complete(self.run.parts(work), tasks, do)
        wanted = {example_id for task in tasks for example_id in task.ids}
        if part.table.empty:
            raise DataError(
                f"none of {len(wanted)} images could be read again to be scanned (the first: "
                f"{next(iter(part.failed.values()))}); mend that and give another --out"
            )
        levels = {sigma for how in passes for sigma in how.grid.sigmas}
        of_now = set(part.table["example_id"]) | part.failed.keys() == wanted
        twice = bool(part.table.duplicated([*KEYS]).any())
        if not of_now or twice or set(part.table["sigma"]) != levels:
            raise RunDirectoryError(
                f"the scores in {self.run.place} are of other images or noise levels than those of "
                "now: an image was lost or mended since they were made; give another --out"
            )
        return part


@dataclass(frozen=True)
class Extent:
    """How much an adaptive scan does, at most, if its cheapest first pass is informative."""

    evaluations: int
    embeddings: int
    in_full: int  # images
    sampled: int

    @classmethod
    def of(cls, config: AttackConfig, grids: Grids, images: int) -> Extent:
        """Add up what the passes cost; without --adaptive, or where that saves nothing, in full."""
        full = [how.cost for how in full_passes(config, grids)]
        each = sum(cost.evaluations for cost in full)
        rows = sum(cost.embeddings for cost in full)
        always = [how.cost for how in claim_passes(config, grids)[1:]]
        of_all = sum(cost.evaluations for cost in always)
        rows_of_all = sum(cost.embeddings for cost in always)
        whole = cls(each * images, rows * images, images, 0)
        if not config.adaptive:
            return whole
        sampled = min(images, max(SAMPLED, math.ceil(images / 100)))
        in_full = sampled + math.ceil(config.fraction * images)
        cheapest, *others = (how.cost for how in screens(config, grids))
        tried = sampled * sum(cost.evaluations for cost in others)
        tried_rows = sampled * sum(cost.embeddings for cost in others)
        adaptive = cls(
            in_full * (each - of_all) + images * (cheapest.evaluations + of_all) + tried,
            in_full * (rows - rows_of_all)
            + images * (cheapest.embeddings + rows_of_all)
            + tried_rows,
            in_full,
            sampled,
        )
        return adaptive if adaptive.evaluations < whole.evaluations else whole


def score_pool(scorer: Scorer, config: AttackConfig, grids: Grids, primary: Primary) -> Scored:
    """Score every candidate, or continue; raises DataError if none can be read."""
    ids = scorer.candidates.ids
    passes = full_passes(config, grids)
    extent = Extent.of(config, grids, len(ids))
    if extent.sampled:
        always = claim_passes(config, grids)[1:]
        tried = screens(config, grids)
        return _Adaptive(scorer, config, passes, always, tried, primary).score(extent)
    whole = _evaluations(passes) * len(ids)
    asked = "a first pass over so few images would save nothing" if config.adaptive else ""
    return Scored(scorer.score("scores", ids, passes), Effort(whole, whole, reason=asked))


def assemble(sample: Part, screen: Part, scores: Part, screened_by: str) -> Part:
    """Put the parts of a scan together, as they are calibrated.

    Of a scan with a first pass (`screened_by`) the sample has rows of all first passes that were
    tried; those of the chosen one stay, and an image that failed in any pass has no rows.
    """
    tried = sample.table
    if tried.empty:
        return scores
    first = first_pass(tried)
    kept = tried[~first]
    if not screened_by:
        return Part.joined([Part(kept, sample.failed), scores])
    seen = tried[first & (tried["attack"] == screened_by)]
    parts = [Part(seen, sample.failed), screen, Part(kept), scores]
    joined = Part.joined(parts)
    whole = ~joined.table["example_id"].isin(list(joined.failed))
    return Part(joined.table[whole], joined.failed)


@dataclass(frozen=True, eq=False)
class _Adaptive:
    """A cheap first pass over the whole pool, then the full work on its top fraction.

    What membership rests on is asked of all of the pool (`always`): it takes few evaluations.
    Which images go on is decided on members and controls alike, so p-values stay exact. The first
    pass must agree in rank with the full score on a random sample of the pool, else all of the
    pool is scanned in full.
    """

    scorer: Scorer
    config: AttackConfig
    passes: tuple[Pass, ...]
    always: tuple[Pass, ...]
    tried: tuple[Pass, ...]
    primary: Primary

    def score(self, extent: Extent) -> Scored:
        ids = self.scorer.candidates.ids
        in_sample = set(sorted(ids)[: extent.sampled])
        sampled = [name for name in ids if name in in_sample]
        rest = [name for name in ids if name not in in_sample]
        everything = (*self.passes, *self.tried)
        sample = self.scorer.score("sample", sampled, everything)
        agreements = self._agreements(sample.table)
        chosen = [k for k, found in enumerate(agreements) if found >= INFORMATIVE]
        done = Effort(
            evaluations=len(sampled) * _evaluations(everything),
            in_full=len(ids) * _evaluations(self.passes),
        )
        if not chosen:
            return self._in_full(sample, rest, max(agreements), done)
        return self._promote(
            sample, rest, _First(self.tried[chosen[0]], agreements[chosen[0]]), done
        )

    def _in_full(self, sample: Part, rest: list[str], best: float, done: Effort) -> Scored:
        scores = self.scorer.score("scores", rest, self.passes)
        effort = Effort(
            evaluations=done.evaluations + len(rest) * _evaluations(self.passes),
            in_full=done.in_full,
            reason=(
                "no first pass agrees with the full score on a sample (rank correlation "
                f"{best:.2f}, wanted {INFORMATIVE}), so all images were scanned in full"
            ),
        )
        return Scored(assemble(sample, Part(), scores, ""), effort)

    def _promote(self, sample: Part, rest: list[str], first: _First, done: Effort) -> Scored:
        name = first.how.attack.name
        of_all, of_few = (first.how, *self.always), self._left
        screen = self.scorer.score("screen", rest, of_all)
        seen = assemble(sample, screen, Part(), name).table
        seen = seen[first_pass(seen)]
        images = len(self.scorer.candidates.ids)
        wanted = math.ceil(self.config.fraction * images)
        top = set(screening_order(seen, self.primary)[:wanted])
        chosen = [example_id for example_id in rest if example_id in top]
        full = self.scorer.score("scores", chosen, of_few)
        part = assemble(sample, screen, full, name)
        spent = len(rest) * _evaluations(of_all) + len(chosen) * _evaluations(of_few)
        effort = Effort(
            evaluations=done.evaluations + spent,
            in_full=done.in_full,
            screen=name,
            agreement=first.agreement,
            promoted=len(promoted(part.table, self.primary)),
            sampled=images - len(rest),
        )
        return Scored(part, effort)

    @property
    def _left(self) -> tuple[Pass, ...]:
        """What is asked of promoted images alone."""
        names = {how.attack.name for how in self.always}
        return tuple(how for how in self.passes if how.attack.name not in names)

    def _agreements(self, sample: pd.DataFrame) -> list[float]:
        """Of each first pass that is tried, with the full score."""
        full = sample[sample["phase"] == FULL]
        return [
            agreement(
                sample[(sample["phase"] == SCREEN) & (sample["attack"] == how.attack.name)],
                full,
                self.primary,
            )
            for how in self.tried
        ]


@dataclass(frozen=True)
class _First:
    """The first pass that was chosen, and its agreement with the full score."""

    how: Pass
    agreement: float


def _evaluations(passes: tuple[Pass, ...]) -> int:
    """Network evaluations that an image takes in all of these passes."""
    return sum(how.cost.evaluations for how in passes)
