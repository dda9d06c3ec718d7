"""The scan: list, embed, corrupt, reconstruct, search, score, calibrate, write."""

from __future__ import annotations

from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import pandas as pd
import torch

from memaudit.attacks.scores import Reference
from memaudit.audit.cache import index_directory
from memaudit.audit.captions import captions, check_captions, described
from memaudit.audit.copies import Copies, frozen_in, open_copies
from memaudit.audit.copy_checks import check_copies
from memaudit.audit.embedding import View, embed_listing, embedding_key
from memaudit.audit.generation import check_quality
from memaudit.audit.levels import Levels, choose_levels
from memaudit.audit.listing import Listing, list_data
from memaudit.audit.models import open_model
from memaudit.audit.noisy_training import describe_training
from memaudit.audit.pictures import write_pictures
from memaudit.audit.pool import Pool, make_pool, smallest_ids, stack
from memaudit.audit.power import check_power
from memaudit.audit.provenance import environment
from memaudit.audit.reference import CHECKED, Twin, check_reference, open_reference
from memaudit.audit.result import ScanResult
from memaudit.audit.scoring import Scored, score_pool
from memaudit.audit.shards import Stages, encode
from memaudit.config import ScanConfig, keep_apart
from memaudit.files import write_csv, write_json, write_parquet, write_text
from memaudit.models.loaded import Loaded
from memaudit.models.self_check import SelfCheck, self_check
from memaudit.progress import Progress, silent
from memaudit.report.words import describe
from memaudit.run.directory import RunDirectory, hold
from memaudit.similarity.embed import Embedder, load_embedder
from memaudit.statistics import Conduct, Options, findings, summarise
from memaudit.statistics.exchangeability import MOST, Fairness, fairness

SAMPLE = 256  # images from which the pool's median distance is taken
REFERENCE = 1000  # images against which distances in pixels are relative
SAMPLE_BYTES = 256 << 20  # and what they may take in memory


def scan(
    config: ScanConfig, progress: Progress = silent, loaded: Loaded | None = None
) -> ScanResult:
    """Audit a model for memorization of a data set's images.

    Everything is written to `config.out`; interrupted and called again with the same arguments it
    continues. `loaded` is a model of your own, any Denoiser with its provenance; `config.model` is
    then no more than its name. Raises a subclass of MemauditError where it cannot go on; what was
    finished stays.
    """
    _keep_apart(config)
    with hold(Path(config.out)) as run:
        listing = list_data(config.dataset, config.controls, config.data, config.seed)
        loaded = loaded or open_model(config)
        model, found = open_reference(config, loaded), open_copies(config, loaded)
        check_captions(listing, config.prompt, loaded.denoiser)
        embedder = load_embedder(config.embedder, str(loaded.denoiser.device))
        run.start(
            {
                **config.asked(),
                "fingerprint": listing.fingerprint,
                "weights": loaded.provenance,
                "reference_weights": None if model is None else model.provenance,
                "copies": None if found is None else found.digest,
                "embedder_digest": embedder.digest,
            }
        )
        pool = build_pool(config, listing, loaded, embedder, progress)
        twin = check_reference(config, model, pool, progress)
        copies = check_copies(found, config, pool, loaded.denoiser)
        levels, check, reference = _prepare(config, loaded, pool, twin, found)
        stages = Stages(config, loaded.denoiser, embedder, pool, levels.sigmas, reference)
        stages = replace(
            stages,
            copies=copies,
            twin=None if twin is None else twin.loaded.denoiser,
            captions=captions(pool, config.prompt, loaded.denoiser),
        )
        scored = score_pool(stages, run, progress)
        conduct = replace(
            _conduct(stages, scored),
            power=check_power(stages, run, progress) if config.power else None,
            noisy=describe_training(stages, loaded, found, scored),
            reference=None if twin is None else twin.use,
        )
        provenance = _provenance(stages, loaded, levels, check)
        provenance["reference"] = None if twin is None else twin.provenance()
        quality = check_quality(stages, run, progress)
        result = replace(_calibrate(stages, scored, conduct, provenance), quality=quality)
        _write(result, stages, run)
        return result


def _keep_apart(config: ScanConfig) -> None:
    """Refuse to write among the images: the next listing would take strips and parts for data."""
    for option, written in (("--out", config.out), ("--index", config.index)):
        for data in (config.dataset, config.controls):
            keep_apart(option, written, data)


def build_pool(
    config: ScanConfig, listing: Listing, loaded: Loaded, embedder: Embedder, progress: Progress
) -> Pool:
    """Embed the data, or find it embedded, and group its duplicates."""
    view = View(loaded.denoiser.resolution, config.data.resize)
    directory = index_directory(config.index, embedding_key(listing, embedder, view))
    embedded = embed_listing(
        listing, embedder, view, directory, progress, str(loaded.denoiser.device)
    )
    threshold = config.duplicate_threshold
    return make_pool(
        embedded, listing, view, embedder.duplicate_threshold if threshold is None else threshold
    )


def _prepare(
    config: ScanConfig, loaded: Loaded, pool: Pool, twin: Twin | None, found: Copies | None
) -> tuple[Levels, SelfCheck | None, Reference]:
    """Choose the levels, check the model, and keep a sample of the pool to compare pixels with."""
    denoiser, rows = loaded.denoiser, pool.representatives
    pixels = 8 * 3 * denoiser.resolution[0] * denoiser.resolution[1]
    examples = smallest_ids(pool, max(CHECKED, min(REFERENCE, SAMPLE_BYTES // pixels)))
    images = stack(examples)
    x0 = encode(denoiser, images[:SAMPLE])
    members = int((rows["split"] == "member").sum())
    also = None if twin is None else twin.loaded.denoiser
    levels = choose_levels(config.corruption, denoiser, x0, members, also)
    groups = pool.index.groups[[pool.index.positions[example.id] for example in examples]]
    reference = Reference.of(images, groups, len(rows))
    if not config.self_check or not any(True for _ in denoiser.misreadings()):
        return levels, None, reference
    checked = examples[:CHECKED]
    frozen = frozen_in(loaded, found, [example.id for example in checked])
    check = self_check(denoiser, x0[:CHECKED], config.seed, frozen, config.batch_size)
    return levels, check, reference


def _conduct(stages: Stages, scored: Scored) -> Conduct:
    return Conduct(
        unreadable=len(stages.pool.embedded.errors),
        self_checked=stages.config.self_check,
        fairness=_compare_blindly(stages),
        effort=scored.effort,
    )


def _calibrate(
    stages: Stages, scored: Scored, conduct: Conduct, provenance: dict[str, Any]
) -> ScanResult:
    config, pool, scores = stages.config, stages.pool, scored.scores
    options = Options(
        column=config.column,
        q=config.q,
        copy_threshold=stages.embedder.copy_threshold,
        embedder=stages.embedder.name,
        seed=config.seed,
    )
    table = findings(scores, pool.table, options)
    summary = summarise(table, scores, pool.table, options, conduct)
    failed = _unscored(pool, scored.failed)
    errors = pd.concat([pool.embedded.errors, failed], ignore_index=True)
    return ScanResult(config, provenance, scores, table, errors, summary)


def _compare_blindly(stages: Stages) -> Fairness | None:
    """Can members and controls be told apart without the model?"""
    pool, config = stages.pool, stages.config
    rows = pool.representatives
    rows = rows[~rows["spans"]].sort_values("example_id").groupby("split").head(MOST)
    positions = [pool.index.positions[example_id] for example_id in rows["example_id"]]
    member = (rows["split"] == "member").to_numpy()
    told = bool(stages.captions) and config.prompt == "own"
    return fairness(pool.index.vectors[positions], rows, member, config.seed, told)


def _unscored(pool: Pool, failed: dict[str, str]) -> pd.DataFrame:
    rows = pool.representatives[pool.representatives["example_id"].isin(list(failed))]
    errors = rows["example_id"].map(failed)
    return rows[["split", "source"]].assign(error=errors)


def _provenance(
    stages: Stages, loaded: Loaded, levels: Levels, check: SelfCheck | None
) -> dict[str, Any]:
    config, pool, copies = stages.config, stages.pool, stages.copies
    too_low = set(levels.sigmas) - set(stages.grid.noisy) if copies else set()
    levels = replace(levels, without_copies=tuple(sorted(too_low)))
    return {
        "question": config.digest,
        "config": asdict(config),
        "model": loaded.provenance,
        "self_check": None if check is None else asdict(check),
        "levels": asdict(levels),
        "copies": None if copies is None else copies.provenance(),
        "captions": described(stages.captions, config.prompt, stages.denoiser),
        "data": {
            "fingerprint": pool.listing.fingerprint,
            "entries": len(pool.listing.rows),
            "resolution": pool.view.size,
            "read": len(pool.table),
            "failed": len(pool.embedded.errors),
            "index": str(pool.embedded.directory),
            "index_reused": pool.embedded.reused,
        },
        "embedder": {
            "name": stages.embedder.name,
            "digest": stages.embedder.digest,
            "copy_threshold": stages.embedder.copy_threshold,
        },
        "device": str(loaded.denoiser.device),
        "threads": torch.get_num_threads(),
        "environment": environment(),
    }


def _write(result: ScanResult, stages: Stages, run: RunDirectory) -> None:
    """Write what people read; scan.json comes last and says that the scan is complete."""
    write_parquet(run.path / "findings.parquet", result.findings)
    write_csv(run.path / "findings.csv", result.findings)
    write_csv(run.path / "errors.csv", result.errors)
    write_text(
        run.path / "summary.txt", describe(result.summary, result.config, result.quality) + "\n"
    )
    write_pictures(stages, result, run.images)
    write_json(run.path / "scan.json", result.report())
