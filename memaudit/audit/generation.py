"""Images of the model's own, and how good they are: quality beside memorization."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import pandas as pd
import torch

from memaudit.attacks.base import Bench
from memaudit.attacks.corrupted import Corrupted, refuse_infinite
from memaudit.attacks.reconstruction import Solve
from memaudit.audit.pool import Pool
from memaudit.audit.scoring import Scorer
from memaudit.audit.work import Task
from memaudit.config import Sampler
from memaudit.corruption.noise import generator, standard_normal
from memaudit.records import Vectors
from memaudit.run.parts import Part
from memaudit.similarity.quality import Quality, measure_quality

STEPS = 50  # from pure noise; a scan's own steps start where an image is left


def check_quality(scorer: Scorer, pool: Pool, count: int, sampler: Sampler) -> Quality | None:
    """Generate as many images as were asked for and compare them with the controls; None for 0."""
    if not count:
        return None
    controls = [str(name) for name in pool.one_sided("control")["example_id"]]
    theirs: Vectors = pool.index.vectors[[pool.index.positions[name] for name in controls]]
    denoiser = scorer.bench.denoiser
    told = [scorer.bench.captions.get(name, "") for name in controls]
    draw = _Draw(scorer.bench, Solve("ode", sampler, STEPS), told if any(told) else [])
    quality = measure_quality(_generated(scorer, draw, count), theirs, scorer.bench.seed)
    return replace(
        quality,
        sampler=sampler,
        steps=STEPS,
        sigma_max=denoiser.sigma_max,
        sigma_min=denoiser.sigma_min,
    )


def generating_evaluations(count: int, sampler: Sampler) -> int:
    """Network evaluations that the images asked for take."""
    return count * Solve("ode", sampler, STEPS).evaluations


def _generated(scorer: Scorer, draw: _Draw, count: int) -> Vectors:
    """Embeddings of the generated images, [N, D]; parts that are there are not made again."""
    parts = scorer.run.parts("generated")
    tasks = scorer.crew.tasks("generated", map(str, range(count)))
    whole = parts.done()
    for task in tasks:
        name = parts.name(task.number)
        if whole.get(name, len(task.ids)) < len(task.ids):  # fewer images were asked for
            parts.store.remove(name)
    table = scorer.crew.complete(parts, tasks, draw).table
    return np.stack(table.loc[table["sample"] < count, "vector"].to_list())


@dataclass(frozen=True, eq=False)
class _Draw:
    """Draws and embeds images, told `captions` in turn: those of what they are compared with."""

    bench: Bench
    solve: Solve
    captions: list[str]

    def __call__(self, task: Task) -> Part:
        numbers, size = [int(name) for name in task.ids], self.bench.batch_size
        batches = [numbers[start : start + size] for start in range(0, len(numbers), size)]
        vectors = np.concatenate([self._embed(batch) for batch in batches])
        return Part(pd.DataFrame({"sample": numbers, "vector": list(vectors)}))

    def _embed(self, batch: list[int]) -> Vectors:
        """Each image has its own random numbers, which depend on the seed and its number alone."""
        denoiser = self.bench.denoiser
        highest = denoiser.sigma_max
        generators = [generator(self.bench.seed, f"generated {k}", highest, 0) for k in batch]
        sigma = torch.full((len(batch),), highest, device=denoiser.device)
        x = highest * standard_normal(generators, denoiser.shape).to(denoiser.device)
        told = [self.captions[k % len(self.captions)] for k in batch] if self.captions else []
        x0 = self.solve(denoiser, Corrupted(x, sigma, generators, told))
        refuse_infinite(x0, sigma, "generated images")
        return self.bench.embed(x0)
