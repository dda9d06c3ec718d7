"""The power check: the perfect memorizer of the members goes through the same scan."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pandas as pd
import torch

from memaudit.attacks.base import Grid, Pass, encode
from memaudit.audit.pool import Pool
from memaudit.audit.scoring import Scorer
from memaudit.models.closed_form import AmbientClosedForm, ClosedForm
from memaudit.models.shown import Shown
from memaudit.records import Primary, Split
from memaudit.statistics.power import Memorized, Power, measure_power

QUERIES: dict[Split, int] = {"member": 64, "control": 200}  # a random sample of either side
CANDIDATE_BYTES = 1 << 30  # what the memorized images may take in memory
READ = 256  # images read at a time
FEWEST = 2  # queries on a side


def check_power(
    scorer: Scorer,
    pool: Pool,
    passes: tuple[Pass, ...],
    claims: tuple[Primary, ...],
    told: bool,
) -> Power | None:
    """Scan a sample of the pool with the perfect memorizer of all members, scored as the model is.

    Only the queries are sampled: fewer rivals for the source would overstate power. It memorized
    the members as often as they stand in the data set, and with their captions where the model is
    `told` each image's own. None where a side has too few images, or too few that can still be
    read.
    """
    sides = {side: _one_sided(pool, side) for side in QUERIES}
    asked = {side: set(ids[: QUERIES[side]]) for side, ids in sides.items()}
    if min(map(len, asked.values())) < FEWEST:
        return None
    queries = [name for name in pool.candidates.ids if name in asked["member"] | asked["control"]]
    memorized = sides["member"][: _room(scorer)]
    tasks = scorer.crew.tasks("power", queries, passes)
    parts = scorer.run.parts("power")
    if not {parts.name(task.number) for task in tasks} <= parts.done().keys():
        training = _members(pool, told)
        memorizer = _memorizer(scorer, passes[0].grid, memorized, training)
        if memorizer is None:
            return None
        bench = replace(scorer.bench, denoiser=memorizer)
        scorer = replace(scorer, bench=bench)
    part = scorer.score("power", queries, passes)
    scanned = sorted(set(queries) - part.failed.keys())
    members = np.array([name in asked["member"] for name in scanned])
    if min(members.sum(), (~members).sum()) < FEWEST:
        return None
    counts = Memorized(len(memorized), len(sides["member"]))
    return measure_power(part.table, members, claims, counts)


def queries_of(members: int, controls: int) -> int:
    """How many images the check asks about, of a pool of so many."""
    if min(members, controls) < FEWEST:
        return 0
    return min(QUERIES["member"], members) + min(QUERIES["control"], controls)


def _one_sided(pool: Pool, side: Split) -> list[str]:
    return [str(name) for name in pool.one_sided(side)["example_id"]]


def _room(scorer: Scorer) -> int:
    """How many images memory may hold."""
    channels, height, width = scorer.bench.denoiser.shape
    return max(1, CANDIDATE_BYTES // (4 * channels * height * width))


def _members(pool: Pool, told: bool) -> pd.DataFrame:
    """The rows of the training set: example_id, group and prompt, blank where none is told."""
    rows = pool.table[pool.table["split"] == "member"]
    return rows if told else rows.assign(prompt="")


def _memorizer(
    scorer: Scorer, grid: Grid, ids: list[str], training: pd.DataFrame
) -> ClosedForm | None:
    """Build the perfect memorizer of these images; None if none of them can be read any more.

    Where noisy copies are asked for it memorized those, as a model of that training would; through
    a mask it sees what the model does.
    """
    blocks, read = [], []
    space, copies = scorer.bench.denoiser, scorer.bench.copies
    for start in range(0, len(ids), READ):
        examples = scorer.candidates.read(ids[start : start + READ]).examples
        read += [example.id for example in examples]
        blocks += [encode(space, example.image[None]).cpu().float() for example in examples]
    if not blocks:
        return None
    x0 = torch.cat(blocks)
    clean = ClosedForm(
        x0.to(space.device),
        space=space.codec,
        mask=space.mask,
        shown=_shown(training, read, "group"),
    )
    if copies is None or not grid.copies:
        return clean
    return AmbientClosedForm(
        copies.of(read, x0).to(clean.device),
        space=space.codec,
        training=copies.training,
        below=clean if copies.training.lowest is None else None,
        shown=_shown(training, read, "example_id"),
    )


def _shown(training: pd.DataFrame, ids: list[str], same: str) -> Shown:
    """How often images with these ids were shown in training; rows with equal `same` show one.

    Near copies count as copies of clean images. Their noise is drawn by their ids, so that of noisy
    copies only exact copies are the same.
    """
    first = training.drop_duplicates("example_id").set_index("example_id", drop=False)
    number = {one: k for k, one in enumerate(first.loc[ids, same])}
    images = training[same].map(number)
    rows = training[images.notna()]
    prompts = tuple(map(str, rows["prompt"]))
    shows = torch.tensor(images[images.notna()].astype(int).tolist())
    return Shown(len(ids), shows, prompts if any(prompts) else ())
