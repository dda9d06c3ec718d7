"""What a scan would cost: counted, and timed on a few calls."""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
import pandas as pd
import torch

from memaudit.attacks.base import Grid, Grids
from memaudit.attacks.passes import (
    check_attacks,
    claim_passes,
    claims_of,
    full_passes,
    refuse_unfit,
)
from memaudit.audit.bench import Opened, device_of, open_parts
from memaudit.audit.captions import tells_own
from memaudit.audit.generation import generating_evaluations
from memaudit.audit.levels import WEAK_LEVELS, Crowd, choose_hidden, explicit_levels
from memaudit.audit.power import queries_of
from memaudit.audit.prospect import Prospect, prospect
from memaudit.audit.scoring import Extent
from memaudit.audit.spec import BenchSpec
from memaudit.config import NOISE, AttackConfig, CalibrationConfig, ScanConfig
from memaudit.corruption.noise import ABOVE, levels_above
from memaudit.models.denoiser import Denoiser

CALLS = 3  # timed, after one that is not
SCORE_BYTES = 150  # of a row of scores, measured on Parquet parts
ROW_BYTES = 300  # of an image's row, without its vectors


@dataclass(frozen=True)
class Plan:
    """What a scan would cost on this machine, before it is run."""

    members: int
    controls: int
    levels: int
    levels_at_most: int  # if images are found to be repeated often once they are read
    queries: int
    evaluations: int  # of the network; of an adaptive scan, about so many
    in_full: int  # evaluations with --full
    embeddings: int
    network_ms: float  # an evaluation, in a batch
    embedder_ms: float  # an image, in a batch
    seconds: float
    disk_mb: float
    device: str
    prospect: Prospect


def estimate(config: ScanConfig) -> Plan:
    """Count and time; duplicates are not yet known, so every image counts."""
    check_attacks(config.attack)
    spec = BenchSpec(config.data, config.target, config.attack, config.execution)
    return _estimate(spec, config.calibration)


def _estimate(spec: BenchSpec, calibration: CalibrationConfig) -> Plan:
    opened = open_parts(spec)
    refuse_unfit(spec.attack, opened.loaded.denoiser.conditioning)
    sides = [listed.split for listed in opened.listing.rows]
    spec = replace(spec, attack=spec.attack.settled(len(sides)))
    members, controls = sides.count("member"), sides.count("control")
    added = _added(spec.attack, opened)
    grids = _grids(spec.attack, opened, added)
    if not Extent.of(spec.attack, grids, len(sides)).adaptive:
        spec = replace(spec, attack=replace(spec.attack, adaptive=False))
    work = _Work.of(spec, grids, members, controls)
    network, embedding = _time_models(spec, opened), _time_embedder(spec, opened)
    chief = claim_passes(spec.attack, grids)[0]
    more = 0 if chief.attack.noise == "hidden" else _most_added(spec.attack) - added
    vectors = 12 * len(sides) * opened.embedder.dim
    return Plan(
        members=members,
        controls=controls,
        levels=len(chief.grid.levels),
        levels_at_most=len(chief.grid.levels) + more,
        queries=work.images * _queries_each(spec.attack, grids),
        evaluations=work.evaluations,
        in_full=work.in_full,
        embeddings=work.embeddings,
        network_ms=1000 * network,
        embedder_ms=1000 * embedding,
        seconds=work.evaluations * network + work.embeddings * embedding,
        disk_mb=(work.rows * SCORE_BYTES + len(sides) * ROW_BYTES + vectors) / 1e6,
        device=device_of(opened.loaded),
        prospect=prospect(
            opened.listing.rows,
            calibration,
            claims=len(claims_of(spec.attack)),
            inputs=2 if grids.strong.copies else 1,
        ),
    )


def _queries_each(config: AttackConfig, grids: Grids) -> int:
    """Corrupted images that are made of an image to be brought back.

    All modes of reconstruction are given the same ones; each way to hide makes its own.
    """
    passes = (how for how in full_passes(config, grids) if how.attack.claim == "reproduction")
    made = {
        how.attack.name if how.attack.noise == "hidden" else NOISE: how.queries_each
        for how in passes
    }
    return sum(made.values())


@dataclass(frozen=True)
class _Work:
    """What the passes of a scan cost, added up: images in full, rows, evaluations, embeddings."""

    images: int
    rows: int
    evaluations: int
    in_full: int
    embeddings: int

    @classmethod
    def of(cls, spec: BenchSpec, grids: Grids, members: int, controls: int) -> _Work:
        attack, execution = spec.attack, spec.execution
        images = members + controls
        extent = Extent.of(attack, grids, images)
        whole = Extent.of(replace(attack, adaptive=False), grids, images)
        generating = generating_evaluations(execution.generate, attack.sampler)
        checked = queries_of(members, controls) if execution.power else 0
        power = checked * sum(how.cost.embeddings for how in claim_passes(attack, grids))
        return cls(
            images=extent.in_full,
            rows=extent.embeddings,
            evaluations=extent.evaluations + generating,
            in_full=whole.evaluations + generating,
            embeddings=extent.embeddings + power + images + execution.generate,
        )


def _added(config: AttackConfig, opened: Opened) -> int:
    """How many levels captions add to the automatic ones; copies are not known yet."""
    if not config.noise.automatic:
        return 0
    entries = [(listed.split, listed.entry.prompt) for listed in opened.listing.rows]
    rows = pd.DataFrame(entries, columns=["split", "prompt"])
    told = tells_own(config.prompt, opened.loaded.denoiser)
    crowd = Crowd.of(rows.assign(group=rows.index), told)
    return len(levels_above(1.0, crowd.members, crowd.rivals))


def _most_added(config: AttackConfig) -> int:
    """How many levels captions and copies can add."""
    return len(ABOVE) if config.noise.automatic else 0


def _grids(config: AttackConfig, opened: Opened, added: int) -> Grids:
    """The levels of all attacks, as far as they are known."""
    hidden = choose_hidden(config, opened.loaded.denoiser)
    return Grids(
        _grid(config, opened, added),
        _weak_grid(config, opened),
        {name: Grid(shares) for name, shares in hidden.items()},
    )


def _grid(config: AttackConfig, opened: Opened, added: int) -> Grid:
    """As many levels as a scan has, `added` ones for captions, numbered where not known yet.

    Noisy copies that are found count at every level that can lie above their noise: at most so.
    """
    copies = opened.copies
    if config.noise.automatic:
        sigmas = tuple(map(float, range(1, config.noise.levels + added + 1)))
        return Grid(sigmas, () if copies is None else sigmas)
    levels = explicit_levels(config.noise, opened.loaded.denoiser)
    sigmas = tuple(sorted(set(levels)))
    above = math.inf if copies is None else copies.lowest
    return Grid(sigmas, tuple(sigma for sigma in sigmas if sigma > above))


def _weak_grid(config: AttackConfig, opened: Opened) -> Grid:
    """As many levels as attacks with weak noise have."""
    given = config.noise.weak_sigmas
    sigmas = tuple(sorted(set(given))) or tuple(map(float, range(1, WEAK_LEVELS + 1)))
    return Grid(sigmas, () if opened.copies is None else sigmas)


def _time_models(spec: BenchSpec, opened: Opened) -> float:
    """Seconds a network evaluation of one image takes; with a reference, the mean of both."""
    loaded = [one for one in (opened.loaded, opened.reference) if one is not None]
    times = [_time_network(one.denoiser, spec.execution.batch_size) for one in loaded]
    return sum(times) / len(times)


@torch.inference_mode()
def _time_network(denoiser: Denoiser, batch_size: int) -> float:
    """Seconds a network evaluation of one image, in a batch."""
    x = torch.randn(batch_size, *denoiser.shape, device=denoiser.device)
    sigma = torch.full((batch_size,), min(1.0, denoiser.sigma_max), device=x.device)

    def call() -> None:
        denoiser.denoise(x, sigma)
        if x.is_cuda:
            torch.cuda.synchronize()

    return _best(call) / batch_size


def _time_embedder(spec: BenchSpec, opened: Opened) -> float:
    """Seconds an embedding of one image, in a batch."""
    generator = np.random.default_rng(0)
    shape = (spec.execution.batch_size, *opened.loaded.denoiser.resolution, 3)
    images = generator.integers(0, 256, shape, dtype=np.uint8)
    return _best(lambda: opened.embedder.embed(images)) / spec.execution.batch_size


def _best(call: Callable[[], object]) -> float:
    call()
    times = []
    for _ in range(CALLS):
        start = time.perf_counter()
        call()
        times.append(time.perf_counter() - start)
    return min(times)
