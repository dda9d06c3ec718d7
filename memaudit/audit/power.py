"""The power check: the perfect memorizer of the members goes through the same scan."""

from __future__ import annotations

import math
from dataclasses import replace

import pandas as pd
import torch

from memaudit.audit.passes import full_passes
from memaudit.audit.pool import read_examples
from memaudit.audit.scoring import score_rows
from memaudit.audit.shards import Stages, encode
from memaudit.models.closed_form import AmbientClosedForm, ClosedForm
from memaudit.progress import Progress
from memaudit.run.directory import RunDirectory
from memaudit.statistics import Power, measure_power, preferred

QUERIES = {"member": 64, "control": 200}  # a random sample of either side
CANDIDATE_BYTES = 1 << 30  # what the memorized images may take in memory
READ = 256  # images read at a time
FEWEST = 2  # queries on a side


def check_power(stages: Stages, run: RunDirectory, progress: Progress) -> Power | None:
    """Scan a sample of the pool with the perfect memorizer of all members, scored as the model is.

    Only the queries are sampled: fewer rivals for the source would overstate power. None where a
    side has too few images, or too few that can still be read.
    """
    rows = stages.pool.representatives
    rows = rows[~rows["spans"]].sort_values("example_id")
    queries = pd.concat([rows[rows["split"] == side].head(n) for side, n in QUERIES.items()])
    if _fewest(queries) < FEWEST:
        return None
    queries = queries.sort_values("row").reset_index(drop=True)
    every = rows[rows["split"] == "member"]
    candidates = every.head(_room(stages))
    parts = range(math.ceil(len(queries) / stages.config.shard_size))
    if not all(run.part(number, "power").is_file() for number in parts):
        memorizer = _memorizer(stages, candidates)
        if memorizer is None:
            return None
        stages = replace(stages, denoiser=memorizer)
    passes = {how.name: how for how in full_passes(stages.config, stages.grid)}
    how = passes[preferred(passes)]
    scores, failed = score_rows(stages, run, ("power", queries, (how,)), progress)
    scanned = queries[~queries["example_id"].isin(list(failed))].sort_values("example_id")
    if _fewest(scanned) < FEWEST:
        return None
    members = (scanned["split"] == "member").to_numpy()
    counts = len(candidates), len(every)
    return measure_power(scores, members, stages.config.column, counts)


def _fewest(queries: pd.DataFrame) -> int:
    """How many queries the smaller side has."""
    return int(queries["split"].value_counts().reindex(list(QUERIES), fill_value=0).min())


def _room(stages: Stages) -> int:
    """How many images memory may hold."""
    channels, height, width = stages.denoiser.shape
    return max(1, CANDIDATE_BYTES // (4 * channels * height * width))


def _memorizer(stages: Stages, rows: pd.DataFrame) -> ClosedForm | None:
    """Build the perfect memorizer of these rows; None if none of them can be read any more.

    Where noisy copies are queried it memorized those, as a model of that training would; through a
    mask it sees what the model does.
    """
    blocks, ids = [], []
    for start in range(0, len(rows), READ):
        examples, _ = read_examples(stages.pool, rows.iloc[start : start + READ])
        ids += [example.id for example in examples]
        blocks += [
            encode(stages.denoiser, example.image[None]).cpu().float() for example in examples
        ]
    if not blocks:
        return None
    x0, copies, space = torch.cat(blocks), stages.copies, stages.denoiser
    clean = ClosedForm(x0.to(space.device), space=space.codec, mask=space.mask)
    if copies is None or not stages.grid.noisy:
        return clean
    return AmbientClosedForm(
        copies.of(ids, x0).to(clean.device),
        space=space.codec,
        training=copies.training,
        below=clean if copies.training.lowest is None else None,
    )
