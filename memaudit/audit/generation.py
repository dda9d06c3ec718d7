"""Images of the model's own, and how good they are: quality beside memorization."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pandas as pd
import torch

from memaudit.attacks.reconstruct import evaluations, reconstruct
from memaudit.audit.pool import Pool
from memaudit.audit.shards import Stages, refuse_infinite, to_images
from memaudit.config import ScanConfig
from memaudit.corruption.noise import generator, standard_normal
from memaudit.progress import Progress
from memaudit.records import Vectors
from memaudit.run.directory import RunDirectory
from memaudit.similarity.quality import Quality, measure_quality

STEPS = 50  # from pure noise; a scan's own steps start where an image is left


def check_quality(stages: Stages, run: RunDirectory, progress: Progress) -> Quality | None:
    """Generate as many images as were asked for and compare them with the controls; None for 0."""
    count = stages.config.generate
    if not count:
        return None
    quality = measure_quality(
        _generated(stages, run, progress), _controls(stages.pool), stages.config.seed
    )
    denoiser = stages.denoiser
    return replace(
        quality,
        sampler=stages.config.sampler,
        steps=STEPS,
        sigma_max=denoiser.sigma_max,
        sigma_min=denoiser.sigma_min,
    )


def generating_evaluations(config: ScanConfig) -> int:
    """Network evaluations that the images asked for take."""
    return config.generate * evaluations("ode", config.sampler, STEPS)


def _controls(pool: Pool) -> Vectors:
    """Embeddings of the held-out images, one a duplicate group, in the random order of ids."""
    rows = _control_rows(pool)
    vectors: Vectors = pool.index.vectors[[pool.index.positions[i] for i in rows["example_id"]]]
    return vectors


def _control_rows(pool: Pool) -> pd.DataFrame:
    rows = pool.representatives
    return rows[(rows["split"] == "control") & ~rows["spans"]].sort_values("example_id")


def _generated(stages: Stages, run: RunDirectory, progress: Progress) -> Vectors:
    """Embeddings of the generated images, [N, D]; parts that are there are not made again."""
    count, size = stages.config.generate, stages.config.shard_size
    parts: list[Vectors] = []
    for number in range(math.ceil(count / size)):
        wanted = range(number * size, min((number + 1) * size, count))
        if run.rows(number, "generated") < len(wanted):
            run.write_part(number, _generate(stages, wanted), {}, "generated")
        table, _ = run.read_part(number, "generated")
        parts.append(np.stack(table["vector"].to_list())[: len(wanted)])
        progress("generate", wanted.stop, count)
    return np.concatenate(parts)


def _generate(stages: Stages, wanted: range) -> pd.DataFrame:
    """Draw and embed some images, batch by batch."""
    size = stages.config.batch_size
    batches = [wanted[start : start + size] for start in range(0, len(wanted), size)]
    vectors = np.concatenate([_embed(stages, batch) for batch in batches])
    return pd.DataFrame({"sample": list(wanted), "vector": list(vectors)})


def _told(stages: Stages, batch: range) -> list[str]:
    """Captions of controls, in turn: what is generated is compared with them."""
    if not stages.captions:
        return []
    rows = _control_rows(stages.pool)
    known = [stages.captions.get(name, "") for name in rows["example_id"]]
    return [known[k % len(known)] for k in batch] if known else []


def _embed(stages: Stages, batch: range) -> Vectors:
    """Each image has its own random numbers, which depend on the seed and its number alone."""
    config, denoiser = stages.config, stages.denoiser
    highest = denoiser.sigma_max
    generators = [generator(config.seed, f"generated {k}", highest, 0) for k in batch]
    sigma = torch.full((len(batch),), highest, device=denoiser.device)
    x = highest * standard_normal(generators, denoiser.shape).to(denoiser.device)
    told = _told(stages, batch)
    x0 = reconstruct(denoiser, x, sigma, generators, ("ode", config.sampler, STEPS), told)
    refuse_infinite(x0, sigma, "generated images")
    return stages.embedder.embed(to_images(denoiser, x0))
