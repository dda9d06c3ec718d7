"""All that is settled before the first score: pool, levels, checks, and the bench."""

from __future__ import annotations

from dataclasses import dataclass, replace

import pandas as pd

from memaudit.attacks.base import Bench, Grids, encode
from memaudit.attacks.passes import attacks_of, claims_of, pooled, with_noise
from memaudit.audit.bench import Opened, device_of, grids_of, make_bench, sample_of
from memaudit.audit.boxes import frames_of
from memaudit.audit.cache import index_directory
from memaudit.audit.captions import described, tells_own
from memaudit.audit.copy_checks import Checked, check_copies
from memaudit.audit.embedding import Embedded, View, embed_listing, embedding_key
from memaudit.audit.levels import (
    Crowd,
    choose_hidden,
    choose_levels,
    choose_weak_levels,
    limit_of,
)
from memaudit.audit.pool import Pool, make_pool, stack, threshold_of
from memaudit.audit.reading import CHECKED, judge_reading
from memaudit.audit.reference import check_reference
from memaudit.audit.spec import BenchSpec
from memaudit.errors import RunDirectoryError
from memaudit.models.self_check import SelfCheck
from memaudit.progress import Progress, remark
from memaudit.records import CLEAN, Example, Primary
from memaudit.run.directory import RunDirectory
from memaudit.run.record import (
    FORMAT,
    CopiesRecord,
    DataRecord,
    EmbedderRecord,
    Levels,
    Prepared,
)

SAMPLE = 256  # images from which the pool's median distance is taken


@dataclass(frozen=True, eq=False)
class Ready:
    """What a scan can begin with; `prepared` is what the run directory keeps of it."""

    opened: Opened
    pool: Pool
    bench: Bench
    grids: Grids
    prepared: Prepared


def prepare(
    spec: BenchSpec, opened: Opened, run: RunDirectory, question: str, progress: Progress
) -> Ready:
    """Embed the data, choose the levels, check models and copies, and keep all of it."""
    embedded = embed(spec, opened, progress)
    pool = build_pool(spec, opened, embedded)
    reference = check_reference(spec, opened.reference, pool, progress)
    pool = pool if reference is None else reference.pool
    checked = check_copies(opened, spec.attack.noisy_copies, pool)
    copies = checked.copies
    denoiser = opened.loaded.denoiser
    sample = sample_of(pool, denoiser.resolution)
    frames = frames_of(opened.boxes, pool, spec, denoiser.shape[1:])
    levels = _levels(spec, opened, pool, sample, frames.share)
    check = _self_check(spec, opened, sample)
    bench = make_bench(spec, opened, pool, sample, copies, frames)
    grids = grids_of(bench, levels)
    if copies is not None:
        too_low = tuple(sigma for sigma in levels.sigmas if sigma not in grids.strong.copies)
        levels = replace(levels, without_copies=too_low)
    settled = _settled(spec, opened, embedded, levels, question)
    prepared = replace(
        settled,
        primary=_resting(settled.primary, checked),
        membership=settled.membership and _resting(settled.membership, checked),
        shard_size=_shard_size(spec, run),
        captions=described(bench.captions, spec.attack.prompt, denoiser),
        copies=_copies_record(checked),
        reference=None if reference is None else reference.record,
        self_check=check,
        boxes=frames.record,
    )
    run.keep_prepared(prepared, pool.rows)
    return Ready(opened, pool, bench, grids, prepared)


def _settled(
    spec: BenchSpec, opened: Opened, embedded: Embedded, levels: Levels, question: str
) -> Prepared:
    """What is kept of data, model, levels and attacks."""
    claims = claims_of(spec.attack)
    names = [one.name for one in claims]
    others = [pooled(one) for one in attacks_of(spec.attack) if one.name not in names]
    primary, *further = map(pooled, claims)
    return Prepared(
        format=FORMAT,
        question=question,
        data=_data_record(embedded, opened),
        model=opened.loaded.provenance,
        embedder=_embedder_record(spec, opened),
        levels=levels,
        primary=primary,
        columns=(*claims[0].columns, *(column for one in further for column in one.columns)),
        membership=next(iter(further), None),
        others=tuple(others),
        shard_size=spec.execution.shard_size,
        device=device_of(opened.loaded),
    )


def _resting(primary: Primary, checked: Checked) -> Primary:
    """Rest the verdict on clean images alone where the copies are in doubt."""
    return replace(primary, inputs=(CLEAN,)) if checked.doubt else primary


def _copies_record(checked: Checked) -> CopiesRecord | None:
    copies = checked.copies
    if copies is None:
        return None
    return CopiesRecord(
        folder=str(copies.folder),
        images=len(copies.places),
        digest=copies.digest,
        by_law=copies.by_law,
        doubt=checked.doubt,
    )


def _shard_size(spec: BenchSpec, run: RunDirectory) -> int:
    """Images of a part: as they were when the run was begun, or its parts would not fit."""
    if not run.is_prepared:
        return spec.execution.shard_size
    try:
        return run.prepared().shard_size
    except RunDirectoryError as error:
        remark(f"{error}. This scan does so, in parts of {spec.execution.shard_size} images")
        return spec.execution.shard_size


def embed(spec: BenchSpec, opened: Opened, progress: Progress) -> Embedded:
    """Embed the data, or find it embedded."""
    view = _view(spec, opened)
    key = embedding_key(opened.listing, opened.embedder, view)
    directory = index_directory(spec.execution.index, key)
    device = device_of(opened.loaded)
    return embed_listing(opened.listing, opened.embedder, view, directory, progress, device)


def build_pool(spec: BenchSpec, opened: Opened, embedded: Embedded) -> Pool:
    """Group duplicates."""
    threshold = _threshold(spec, opened)
    return make_pool(embedded, opened.listing, _view(spec, opened), threshold)


def _view(spec: BenchSpec, opened: Opened) -> View:
    return View.of_data(opened.loaded.denoiser.resolution, spec.data)


def _threshold(spec: BenchSpec, opened: Opened) -> float:
    return threshold_of(spec.data.duplicate_threshold, opened.embedder)


def _levels(
    spec: BenchSpec, opened: Opened, pool: Pool, sample: list[Example], of_objects: float
) -> Levels:
    denoiser, reference = opened.loaded.denoiser, opened.reference
    x0 = encode(denoiser, stack(sample[:SAMPLE]))
    also = None if reference is None else reference.denoiser
    crowd = Crowd.of(pool.table, tells_own(spec.attack.prompt, denoiser))
    attack = spec.attack
    if with_noise(attack, "strong"):
        levels = choose_levels(attack.noise, denoiser, x0, crowd, also)
    else:
        levels = Levels((), (), limit_of(x0, crowd.members))
    limit = levels.identification_limit
    levels = replace(levels, hidden=choose_hidden(attack, denoiser, limit, of_objects))
    if not with_noise(attack, "weak"):
        return levels
    return replace(levels, weak=choose_weak_levels(attack.noise, denoiser, limit))


def _self_check(spec: BenchSpec, opened: Opened, sample: list[Example]) -> SelfCheck | None:
    """Check how the model is read; None if it is not asked for, or nothing is read."""
    seed, execution = spec.attack.seed, spec.execution
    if not execution.self_check:
        return None
    checked = sample[:CHECKED]
    judged = judge_reading(opened.loaded, opened.copies, checked, seed, execution.batch_size)
    return None if judged is None else judged.passed


def _data_record(embedded: Embedded, opened: Opened) -> DataRecord:
    return DataRecord(
        fingerprint=opened.listing.fingerprint,
        entries=len(opened.listing.rows),
        read=len(embedded.table),
        failed=len(embedded.errors),
        resolution=embedded.index.meta.resolution,
        index=str(embedded.directory),
        index_reused=embedded.reused,
        captions=int((embedded.table["prompt"] != "").sum()),
        lost=int((embedded.table["lost"] != "").sum()),
        changed=_counted(embedded.table["changed"]),
    )


def _counted(said: pd.Series[str]) -> dict[str, int]:
    """How often each thing is said, the most frequent first."""
    counts = said[said != ""].value_counts()
    return {str(name): int(count) for name, count in counts.items()}


def _embedder_record(spec: BenchSpec, opened: Opened) -> EmbedderRecord:
    embedder = opened.embedder
    return EmbedderRecord(
        name=embedder.name,
        digest=embedder.digest,
        copy_threshold=embedder.copy_threshold,
        duplicate_threshold=_threshold(spec, opened),
    )
