"""What a scan would cost: counted, and timed on a few calls."""

from __future__ import annotations

import math
import time
from collections.abc import Callable

import numpy as np
import torch

from memaudit.config import ScanConfig
from memaudit.models.denoiser import Denoiser
from memaudit.records import Plan
from memaudit.scanning.levels import explicit_levels
from memaudit.scanning.listing import list_data
from memaudit.scanning.models import open_model
from memaudit.scanning.power import QUERIES
from memaudit.scanning.scoring import sample_size
from memaudit.stages.calibrate import controls_needed, reach
from memaudit.stages.embed import Embedder, load_embedder
from memaudit.stages.reconstruct import evaluations

FEW = (1, 2, 5, 10)  # memorized images, for which the controls needed are told
CALLS = 3  # timed, after one that is not
SCORE_BYTES = 150  # of a row of scores, measured on Parquet parts
ROW_BYTES = 300  # of an image's row, without its vectors


def estimate(config: ScanConfig) -> Plan:
    """Count and time; duplicates are not yet known, so every image counts."""
    listing = list_data(config.dataset, config.controls, config.data, config.seed)
    denoiser = open_model(config).denoiser
    embedder = load_embedder(config.embedder, str(denoiser.device))
    images = len(listing.rows)
    members = sum(listed.split == "member" for listed in listing.rows)
    levels = config.corruption.levels
    if not config.corruption.automatic:
        levels = len(explicit_levels(config.corruption, denoiser))
    each = levels * config.corruption.draws
    in_full = each * sum(
        evaluations(mode, config.sampler, config.steps) for mode in config.reconstruct
    )
    scanned, first = _extent(config, images, levels)
    queries = scanned * each
    rows = queries * len(config.reconstruct) + first
    calls = scanned * in_full + first
    network, embedding = _time_network(denoiser, config), _time_embedder(embedder, denoiser, config)
    memorizer = _power_queries(members, images - members) * each if config.power else 0
    embeddings = rows + memorizer + 2 * images
    fewest = reach(members, images - members, config.q)
    return Plan(
        members=members,
        controls=images - members,
        levels=levels,
        queries=queries,
        evaluations=calls,
        in_full=images * in_full,
        embeddings=embeddings,
        network_ms=1000 * network,
        embedder_ms=1000 * embedding,
        seconds=calls * network + embeddings * embedding,
        disk_mb=(rows * SCORE_BYTES + images * (ROW_BYTES + 20 * embedder.dim)) / 1e6,
        device=str(denoiser.device),
        reach=fewest if 0 < fewest <= members else None,
        controls_for={k: controls_needed(members, k, config.q) for k in FEW},
    )


def _extent(config: ScanConfig, images: int, levels: int) -> tuple[int, int]:
    """-> images scanned in full, and evaluations of first passes (one step, every level)."""
    sampled = sample_size(images)
    promoted = math.ceil(config.fraction * images)
    if not config.adaptive or sampled + promoted >= images:
        return images, 0
    return sampled + promoted, images * levels


def _power_queries(members: int, controls: int) -> int:
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
