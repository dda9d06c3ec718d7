"""The scan: open, prepare, score, check, calibrate, write."""

from __future__ import annotations

from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

from memaudit.attacks.passes import check_attacks, claim_passes, refuse_unfit
from memaudit.audit.bench import Opened, open_parts
from memaudit.audit.calibration import keep, make_findings, options_of, recorded
from memaudit.audit.captions import check_captions, tells_own
from memaudit.audit.checks import describe_training
from memaudit.audit.generation import check_quality
from memaudit.audit.inspection_words import in_a_line
from memaudit.audit.levels import choose_hidden
from memaudit.audit.pictures import write_pictures
from memaudit.audit.power import check_power
from memaudit.audit.prepare import Ready, prepare
from memaudit.audit.provenance import environment
from memaudit.audit.result import ScanResult
from memaudit.audit.scoring import Scored, Scorer, score_pool
from memaudit.audit.spec import BenchSpec
from memaudit.audit.work import Crew, Engine, sequential
from memaudit.config import ScanConfig, keep_apart
from memaudit.errors import RunDirectoryError
from memaudit.models.describing import describe
from memaudit.models.loaded import Loaded
from memaudit.progress import Progress, remark, silent, tell
from memaudit.run.directory import SCAN, RunDirectory
from memaudit.run.record import FORMAT, Calibration, Record
from memaudit.run.store import hold
from memaudit.statistics.summary import Conduct


def scan(
    config: ScanConfig,
    progress: Progress = silent,
    loaded: Loaded | None = None,
    engine: Engine = sequential,
) -> ScanResult:
    """Audit a model for memorization of a data set's images.

    Everything is written to --out; interrupted and called again with the same arguments it
    continues. `loaded` is a model of your own, any Denoiser with its provenance; `model` of the
    configuration is then no more than its name. `engine` does the tasks. Raises a subclass of
    MemauditError where it cannot go on; what was finished stays.
    """
    _keep_apart(config)
    check_attacks(config.attack)
    spec = BenchSpec(config.data, config.target, config.attack, config.execution)
    with hold(Path(config.execution.out)) as store:
        run = RunDirectory(store)
        opened = open_parts(spec, loaded)
        tell(in_a_line(describe(opened.loaded)))
        check_captions(opened.listing, config.attack.prompt, opened.loaded.denoiser)
        refuse_unfit(config.attack, opened.loaded.denoiser.conditioning)
        choose_hidden(config.attack, opened.loaded.denoiser)  # refuses before anything is kept
        config = config.settled(len(opened.listing.rows))
        spec = replace(spec, attack=config.attack)
        run.start(_question(config, opened))
        earlier = _earlier(run)
        ready = prepare(spec, opened, run, config.digest, progress)
        crew = Crew(engine, ready.prepared.shard_size, progress)
        scorer = Scorer(ready.bench, ready.pool.candidates, run, crew)
        scored = score_pool(scorer, config.attack, ready.grids, ready.prepared.claims)
        result = _found(config, ready, scorer, scored, earlier)
        done = config.attack.done(adaptive=scored.effort.adaptive)
        write_pictures(ready, run, claim_passes(done, ready.grids)[0], result)
        return keep(run, result)


def _found(
    config: ScanConfig,
    ready: Ready,
    scorer: Scorer,
    scored: Scored,
    earlier: tuple[Calibration, ...],
) -> ScanResult:
    """Check, calibrate and put it all on record."""
    prepared, count = ready.prepared, config.execution.generate
    conduct = _checks(config, ready, scorer, scored)
    quality = check_quality(scorer, ready.pool, count, config.attack.sampler)
    options = options_of(prepared, config.calibration, config.attack.seed)
    memorizer = scorer.run.parts("power").read_all().table if conduct.power else None
    found = make_findings(ready.pool.rows, scored.part, conduct, options, memorizer)
    record = Record(
        format=FORMAT,
        verdict=found.summary.verdict,
        config=config,
        prepared=prepared,
        summary=found.summary,
        quality=quality,
        environment=environment(),
        calibrations=earlier,
    )
    record = recorded(record, config, found.summary)
    return ScanResult(config, record, scored.part.table, found.findings, found.errors)


def _keep_apart(config: ScanConfig) -> None:
    """Refuse to write among the images: the next listing would take strips and parts for data."""
    execution = config.execution
    for option, written in (("--out", execution.out), ("--index", execution.index)):
        for data in (config.data.dataset, config.data.controls):
            keep_apart(option, written, data)


def _question(config: ScanConfig, opened: Opened) -> dict[str, Any]:
    """What run.json holds: what was asked, and of what data and weights."""
    reference, copies = opened.reference, opened.copies
    return {
        **config.asked(),
        "fingerprint": opened.listing.fingerprint,
        "clusters": opened.listing.clusters,
        "weights": asdict(opened.loaded.provenance),
        "reference_weights": None if reference is None else asdict(reference.provenance),
        "copies": None if copies is None else copies.digest,
        "embedder_digest": opened.embedder.digest,
        "boxes": None if opened.boxes is None else opened.boxes.digest,
    }


def _checks(config: ScanConfig, ready: Ready, scorer: Scorer, scored: Scored) -> Conduct:
    """All that is checked beside the scores."""
    prepared, execution = ready.prepared, config.execution
    done = config.attack.done(adaptive=scored.effort.adaptive)
    passes = claim_passes(done, ready.grids)
    told = tells_own(config.attack.prompt, ready.bench.denoiser)
    power = (
        check_power(scorer, ready.pool, passes, prepared.claims, told) if execution.power else None
    )
    return Conduct(
        self_checked=execution.self_check,
        power=power,
        effort=scored.effort,
        noisy=describe_training(ready, scored, config.attack.noisy_copies),
        reference=None if prepared.reference is None else prepared.reference.use,
    )


def _earlier(run: RunDirectory) -> tuple[Calibration, ...]:
    """The calibrations of a run that was finished before; none of a record that was changed."""
    if not run.store.has(SCAN):
        return ()
    try:
        return run.record().calibrations
    except RunDirectoryError as error:
        remark(f"{error}. This scan does so; how it was calibrated before is not kept")
        return ()
