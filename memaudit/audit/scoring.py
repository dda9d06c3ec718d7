"""Score the pool: shard by shard, all of it in full, or in full only what a first pass promotes."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass, replace
from functools import partial

from memaudit.attacks.base import Bench, Grids, Pass
from memaudit.attacks.mirrored import NAME as MIRRORED
from memaudit.attacks.mirrored import tells_apart
from memaudit.attacks.passes import asked_of_all, first_passes, full_passes
from memaudit.audit.pool import Candidates
from memaudit.audit.work import Crew, attack
from memaudit.config import AttackConfig
from memaudit.errors import DataError, RunDirectoryError
from memaudit.records import KEYS, Primary
from memaudit.run.directory import RunDirectory
from memaudit.run.parts import Part, Work
from memaudit.statistics.adaptive import outstanding, promoted
from memaudit.statistics.effort import Effort
from memaudit.statistics.probes import first_pass

Claims = tuple[Primary, ...]
NOTHING = Part()
SAMPLED = 100  # images at most, or one in thirty, that are scanned in full at random
BLIND = (
    "nothing shows that the model knows pictures better than their mirror images, on which the "
    "first pass rests; all images were scanned in full"
)


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
        levels = {sigma for how in passes for sigma in how.grid.levels}
        of_now = set(part.table["example_id"]) | part.failed.keys() == wanted
        twice = bool(part.table.duplicated([*KEYS]).any())
        if not of_now or twice or set(part.table["level"]) != levels:
            raise RunDirectoryError(
                f"the scores in {self.run.place} are of other images or noise levels than those of "
                "now: an image was lost or mended since they were made; give another --out"
            )
        return part


@dataclass(frozen=True)
class Extent:
    """How much a scan does; of an adaptive one, about so much."""

    evaluations: int
    embeddings: int
    in_full: int  # images
    adaptive: bool = False

    @classmethod
    def of(cls, config: AttackConfig, grids: Grids, images: int) -> Extent:
        """Add up what the passes cost; without --adaptive, or where that saves nothing, in full."""
        whole = cls._of(images, full_passes(replace(config, adaptive=False), grids))
        if not config.adaptive:
            return whole
        always = asked_of_all(config, grids)
        first = cls._of(images, (*first_passes(config, grids), *always))
        chosen = math.ceil(config.fraction * images) + _sampled(images)
        few = cls._of(min(images, chosen), _left(config, grids))
        evaluations = first.evaluations + few.evaluations
        if evaluations >= whole.evaluations:
            return whole
        return cls(evaluations, first.embeddings + few.embeddings, few.in_full, adaptive=True)

    @classmethod
    def _of(cls, images: int, passes: tuple[Pass, ...]) -> Extent:
        return cls(
            images * _evaluations(passes),
            images * sum(how.cost.embeddings for how in passes),
            images,
        )


def score_pool(scorer: Scorer, config: AttackConfig, grids: Grids, claims: Claims) -> Scored:
    """Score every candidate, or continue; raises DataError if none can be read."""
    if not config.adaptive:
        return _in_full(scorer, config, grids)
    images = len(scorer.candidates.ids)
    if not Extent.of(config, grids, images).adaptive:
        reason = "a first pass over so few images would save nothing"
        return _in_full(scorer, replace(config, adaptive=False), grids, reason)
    return _adaptive(scorer, config, grids, claims)


def assemble(screen: Part, scores: Part, *, screened: bool) -> Part:
    """Put the parts of a scan together, as they are calibrated.

    Rows of a first pass stay if images were promoted by it (`screened`); an image that failed in
    any pass has no rows.
    """
    seen = screen.table
    if len(seen) and not screened:
        seen = seen[~first_pass(seen)]
    joined = Part.joined([Part(seen, screen.failed), scores])
    if joined.table.empty:
        return joined
    whole = ~joined.table["example_id"].isin(list(joined.failed))
    return Part(joined.table[whole], joined.failed)


def _in_full(
    scorer: Scorer, config: AttackConfig, grids: Grids, reason: str = "", screen: Part = NOTHING
) -> Scored:
    """Ask everything of all images; `screen` is a first pass that showed nothing."""
    passes = full_passes(config, grids)
    ids = scorer.candidates.ids
    part = assemble(screen, scorer.score("scores", ids, passes), screened=False)
    whole = _evaluations(passes) * len(ids)
    return Scored(part, Effort(whole, whole, reason=reason))


def _adaptive(scorer: Scorer, config: AttackConfig, grids: Grids, claims: Claims) -> Scored:
    """Ask all images the little that a first pass takes, and the rest of those that stand out.

    Which images go on is decided on members and controls alike, so p-values stay exact. With them
    go some that are drawn at random, for all that stand out may be members: a copy is told by how
    held-out images come back. Where the first pass sees nothing in this model, all images are
    scanned in full.
    """
    first = first_passes(config, grids)
    of_all = (*first, *asked_of_all(config, grids))
    ids = scorer.candidates.ids
    screen = scorer.score("screen", ids, of_all)
    seen = screen.table[first_pass(screen.table)]
    in_full = replace(config, adaptive=False)
    names = [how.attack.name for how in first]
    if MIRRORED in names and not tells_apart(seen):
        found = _in_full(scorer, in_full, grids, BLIND, screen)
        spent = found.effort.evaluations + len(ids) * _evaluations(first)
        return replace(found, effort=replace(found.effort, evaluations=spent))
    top = {*outstanding(seen, claims, config.fraction), *sorted(ids)[: _sampled(len(ids))]}
    chosen = [example_id for example_id in ids if example_id in top]
    left = _left(config, grids)
    part = assemble(screen, scorer.score("scores", chosen, left), screened=True)
    stood_out = promoted(part.table, claims)
    effort = Effort(
        evaluations=len(ids) * _evaluations(of_all) + len(chosen) * _evaluations(left),
        in_full=len(ids) * _evaluations(full_passes(in_full, grids)),
        screen=tuple(names),
        promoted=len(stood_out),
        sampled=len(set(chosen) - set(stood_out) - part.failed.keys()),
    )
    return Scored(part, effort)


def _sampled(images: int) -> int:
    """How many images of so many are scanned in full whatever the first pass shows of them."""
    return min(SAMPLED, math.ceil(images / 30))


def _left(config: AttackConfig, grids: Grids) -> tuple[Pass, ...]:
    """What is asked of promoted images alone."""
    names = {how.attack.name for how in asked_of_all(config, grids)}
    return tuple(how for how in full_passes(config, grids) if how.attack.name not in names)


def _evaluations(passes: tuple[Pass, ...]) -> int:
    """Network evaluations that an image takes in all of these passes."""
    return sum(how.cost.evaluations for how in passes)
