"""The power check: the perfect memorizer of the members goes through the same scan."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pandas as pd
import torch

from memaudit.models.closed_form import ClosedForm
from memaudit.progress import Progress
from memaudit.reports.run_directory import RunDirectory
from memaudit.scanning.passes import full_passes
from memaudit.scanning.pool import read_examples
from memaudit.scanning.scoring import score_rows
from memaudit.scanning.shards import Stages, encode
from memaudit.stages.calibrate import Power, measure_power, preferred

QUERIES = {"member": 64, "control": 200}  # a random sample of either side
CANDIDATE_BYTES = 1 << 30  # what the memorized images may take in memory
READ = 256  # images read at a time
FEWEST = 2  # queries on a side


def check_power(stages: Stages, run: RunDirectory, progress: Progress) -> Power | None:
    """Scan a sample of the pool with the perfect memorizer of all members.

    Only the queries are sampled: fewer rivals for the source would overstate power. None where a
    side has too few images.
    """
    rows = stages.pool.representatives
    rows = rows[~rows["spans"]].sort_values("example_id")
    queries = pd.concat([rows[rows["split"] == side].head(n) for side, n in QUERIES.items()])
    if (queries["split"].value_counts().reindex(list(QUERIES), fill_value=0) < FEWEST).any():
        return None
    every = rows[rows["split"] == "member"]
    memorized = _memorize(stages, every)
    passes = {how.name: how for how in full_passes(stages.config, stages.sigmas)}
    how = passes[preferred(passes)]
    with_memorizer = replace(stages, denoiser=memorized)
    queries = queries.sort_values("row").reset_index(drop=True)
    scores, _ = score_rows(with_memorizer, run, ("power", queries, (how,)), progress)
    ids = np.unique(scores["example_id"])
    members = np.isin(ids, every["example_id"].to_numpy(dtype=str))
    counts = len(memorized.images), len(every)
    return measure_power(scores, members, stages.config.score, counts)


def _memorize(stages: Stages, rows: pd.DataFrame) -> ClosedForm:
    """Build the perfect memorizer of these rows, or of as many of them as memory may hold."""
    channels, height, width = stages.denoiser.shape
    room = max(1, CANDIDATE_BYTES // (4 * channels * height * width))
    chosen = rows.head(room)
    blocks = []
    for start in range(0, len(chosen), READ):
        examples, _ = read_examples(stages.pool, chosen.iloc[start : start + READ])
        blocks += [
            encode(stages.denoiser, example.image[None]).cpu().float() for example in examples
        ]
    return ClosedForm(torch.cat(blocks).to(stages.denoiser.device))
