"""What a scan would cost: counted, and timed on a few calls."""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch

from memaudit.audit.copies import open_copies
from memaudit.audit.generation import generating_evaluations
from memaudit.audit.levels import explicit_levels
from memaudit.audit.listing import list_data
from memaudit.audit.models import open_model
from memaudit.audit.passes import Grid, evaluations_each, full_passes, screens
from memaudit.audit.power import FEWEST, QUERIES
from memaudit.audit.reference import open_reference
from memaudit.audit.scoring import adaptive_evaluations, sample_size, saves
from memaudit.config import ScanConfig
from memaudit.models.denoiser import Denoiser
from memaudit.models.loaded import Loaded
from memaudit.records import Plan
from memaudit.similarity.embed import Embedder, load_embedder
from memaudit.statistics import FEWEST_FOR_EVIDENCE, controls_needed, reach
from memaudit.statistics.correlation import ABOVE

FEW = (1, 2, 5, 10)  # memorized images, for which the controls needed are told
CALLS = 3  # timed, after one that is not
SCORE_BYTES = 150  # of a row of scores, measured on Parquet parts
ROW_BYTES = 300  # of an image's row, without its vectors


def estimate(config: ScanConfig) -> Plan:
    """Count and time; duplicates are not yet known, so every image counts."""
    listing = list_data(config.dataset, config.controls, config.data, config.seed)
    loaded = open_model(config)
    denoiser, reference = loaded.denoiser, open_reference(config, loaded)
    embedder = load_embedder(config.embedder, str(denoiser.device))
    images = len(listing.rows)
    members = sum(listed.split == "member" for listed in listing.rows)
    grid = _grid(config, loaded)
    count, extent = len(grid.sigmas), _Extent.of(config, grid, images)
    timed = [denoiser] if reference is None else [denoiser, reference.denoiser]
    network = sum(_time_network(model, config) for model in timed) / len(timed)
    embedding = _time_embedder(embedder, denoiser, config)
    one, *_ = full_passes(config, grid)
    checked = _power_queries(members, images - members) if config.power else 0
    embeddings = extent.rows + checked * one.reconstructions + 2 * images + config.generate
    generating = generating_evaluations(config)
    rate = config.q / (2 if grid.noisy else 1)  # two queries share it
    fewest = reach(members, images - members, rate)
    return Plan(
        members=members,
        controls=images - members,
        levels=count,
        queries=extent.images * one.queries,
        evaluations=extent.evaluations + generating,
        in_full=extent.in_full + generating,
        embeddings=embeddings,
        network_ms=1000 * network,
        embedder_ms=1000 * embedding,
        seconds=(extent.evaluations + generating) * network + embeddings * embedding,
        disk_mb=(extent.rows * SCORE_BYTES + images * (ROW_BYTES + 20 * embedder.dim)) / 1e6,
        device=str(denoiser.device),
        reach=fewest if 0 < fewest <= members else None,
        controls_for={
            k: max(FEWEST_FOR_EVIDENCE, controls_needed(members, k, rate))
            for k in FEW
            if k <= members
        },
    )


@dataclass(frozen=True)
class _Extent:
    """Images scanned in full, reconstructions, evaluations made and those of the full scan."""

    images: int
    rows: int
    evaluations: int
    in_full: int

    @classmethod
    def of(cls, config: ScanConfig, grid: Grid, images: int) -> _Extent:
        passes = full_passes(config, grid)
        in_full = images * evaluations_each(passes, config.sampler)
        rows = sum(how.reconstructions for how in passes)
        if not (config.adaptive and saves(config, grid, images)):
            return cls(images, images * rows, in_full, in_full)
        sampled = sample_size(images)
        scanned = sampled + math.ceil(config.fraction * images)
        cheapest, *others = (how.reconstructions for how in screens(config, grid))
        first = images * cheapest + sampled * sum(others)
        made = adaptive_evaluations(config, grid, images)
        return cls(scanned, scanned * rows + first, made, in_full)


def _grid(config: ScanConfig, loaded: Loaded) -> Grid:
    """As many levels as a scan has, numbered where they are not known yet.

    Noisy copies that are found count at every level that can lie above their noise: at most so.
    """
    copies = open_copies(config, loaded)
    if config.corruption.automatic:
        sigmas = tuple(map(float, range(1, config.corruption.levels + 1)))
        return Grid(sigmas, () if copies is None else sigmas)
    sigmas = tuple(sorted(set(explicit_levels(config.corruption, loaded.denoiser))))
    above = math.inf if copies is None else ABOVE * copies.training.sigma_n
    return Grid(sigmas, tuple(sigma for sigma in sigmas if sigma > above))


def _power_queries(members: int, controls: int) -> int:
    if min(members, controls) < FEWEST:
        return 0
    return min(QUERIES["member"], members) + min(QUERIES["control"], controls)


@torch.inference_mode()
def _time_network(denoiser: Denoiser, config: ScanConfig) -> float:
    """Seconds a network evaluation of one image, in a batch."""
    x = torch.randn(config.batch_size, *denoiser.shape, device=denoiser.device)
    sigma = torch.full((config.batch_size,), min(1.0, denoiser.sigma_max), device=x.device)

    def call() -> None:
        denoiser.denoise(x, sigma)
        if x.is_cuda:
            torch.cuda.synchronize()

    return _best(call) / config.batch_size


def _time_embedder(embedder: Embedder, denoiser: Denoiser, config: ScanConfig) -> float:
    """Seconds an embedding of one image, in a batch."""
    generator = np.random.default_rng(0)
    shape = (config.batch_size, *denoiser.resolution, 3)
    images = generator.integers(0, 256, shape, dtype=np.uint8)
    return _best(lambda: embedder.embed(images)) / config.batch_size


def _best(call: Callable[[], object]) -> float:
    call()
    times = []
    for _ in range(CALLS):
        start = time.perf_counter()
        call()
        times.append(time.perf_counter() - start)
    return min(times)
