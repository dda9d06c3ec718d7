"""An engine that does tasks in other processes, each with a bench of its own."""

import multiprocessing
import pickle
from concurrent.futures import ProcessPoolExecutor, as_completed
from contextlib import ExitStack
from dataclasses import dataclass, field, fields, is_dataclass

import numpy as np
import pytest
from PIL import Image as PillowImage
from runs import ask, assert_same_findings, assert_same_scores, photographed, save

import memaudit
from memaudit.attacks.passes import full_passes
from memaudit.audit.bench import grids_of, open_bench
from memaudit.audit.spec import BenchSpec
from memaudit.audit.work import Task, attack
from memaudit.config import Noise
from memaudit.demo.run import MODELS
from memaudit.demo.tiles import split_tiles
from memaudit.run.parts import Part

SCORED = ("sample", "screen", "scores")  # work that the model under audit is asked for
PLAIN = (str, int, float, bool, type(None))
OPENED = []  # of a worker: its bench and candidates


def open_once(pickled):
    OPENED.append(open_bench(pickle.loads(pickled)))


def do_here(pickled):
    [(bench, candidates)] = OPENED
    return attack(bench, candidates, pickle.loads(pickled))


@dataclass
class Workers:
    """Does the tasks of the model under audit in two processes, and all others here."""

    spec: BenchSpec
    pool: ProcessPoolExecutor
    crossed: list = field(default_factory=list)

    def __call__(self, do, tasks):
        far = [task for task in tasks if task.work in SCORED]
        self.crossed += far
        yield from ((task, do(task)) for task in tasks if task.work not in SCORED)
        tasks_of = {self.pool.submit(do_here, pickle.dumps(task)): task for task in far}
        for done in as_completed(tasks_of):
            yield tasks_of[done], done.result()


@pytest.fixture
def workers():
    """Hire workers for a scan, which start with its first task."""
    with ExitStack() as stack:

        def hire(config):
            spec = BenchSpec(config.data, config.target, config.attack, config.execution)
            pool = ProcessPoolExecutor(
                max_workers=2,
                mp_context=multiprocessing.get_context("spawn"),
                initializer=open_once,
                initargs=(pickle.dumps(spec),),
            )
            return Workers(spec, stack.enter_context(pool))

        yield hire


def test_a_bench_opened_from_the_run_directory_gives_the_rows_of_the_scan(sides, tmp_path):
    """In this process, on another shard size than the scan's."""
    (sides.members / "broken.png").write_bytes(b"no image")
    config = ask(sides.members, tmp_path / "run", controls=sides.controls, power=False)
    finished = memaudit.scan(config)
    spec = BenchSpec(config.data, config.target, config.attack, config.execution)
    bench, candidates = open_bench(spec)
    passes = full_passes(config.attack, grids_of(bench, finished.prepared.levels))
    ids = candidates.ids
    pieces = [ids[start : start + 7] for start in range(0, len(ids), 7)]
    parts = [
        attack(bench, candidates, Task("scores", number, piece, passes))
        for number, piece in enumerate(pieces)
    ]
    assert_same_scores(Part.joined(parts).table, finished.scores)


def _clean(sides, tmp_path):  # noqa: ARG001
    """An entry that cannot be read, and a near duplicate that no neighbour may be."""
    (sides.members / "broken.png").write_bytes(b"no image")
    pixels = np.asarray(PillowImage.open(sides.members / "003.png")).astype(int) + 2
    PillowImage.fromarray(pixels.clip(0, 255).astype(np.uint8)).save(sides.members / "near.png")
    return sides.members, {"controls": sides.controls}


def _adaptive(sides, tmp_path):  # noqa: ARG001
    images = photographed()
    options = {
        "controls": save(tmp_path / "out", images[24:134]),
        "noise": Noise(sigmas=(0.5, 2.0), draws=1),
        "steps": 8,
        "power": False,
        "adaptive": True,
        "fraction": 0.25,
    }
    return save(tmp_path / "in", images[:24]), options


def _with_copies_and_reference(sides, tmp_path):  # noqa: ARG001
    tiles = split_tiles()
    options = {
        "model": MODELS / "ambient",
        "controls": save(tmp_path / "out", [tile.image for tile in tiles["controls"][:6]]),
        "reference": str(MODELS / "twin"),
        "reference_trained_on": "unrelated",
        "noise": Noise(sigmas=(0.3, 2.0), draws=1),
        "power": False,
        "self_check": False,
        "shard_size": 3,
        "steps": 2,
    }
    return save(tmp_path / "in", [tile.image for tile in tiles["members"][:4]]), options


WORKS = {
    _clean: {"scores"},
    _adaptive: {"screen", "scores"},
    _with_copies_and_reference: {"scores"},
}


@pytest.mark.parametrize("make", WORKS)
def test_other_processes_give_the_rows_of_this_one(sides, tmp_path, make, workers):
    members, options = make(sides, tmp_path)
    options = {"shard_size": 20, "batch_size": 7, **options}
    expected = memaudit.scan(ask(members, tmp_path / "here", **options))
    config = ask(members, tmp_path / "there", **options)
    engine = workers(config)
    found = memaudit.scan(config, engine=engine)
    assert {task.work for task in engine.crossed} == WORKS[make]
    assert len(engine.crossed) > len(WORKS[make])
    assert_same_scores(found.scores, expected.scores)
    assert_same_findings(found.findings, expected.findings)
    assert found.errors.equals(expected.errors)
    assert found.summary.conduct.effort == expected.summary.conduct.effort
    for task in engine.crossed:
        assert pickle.loads(pickle.dumps(task)) == task
        assert_plain(task)
    assert pickle.loads(pickle.dumps(engine.spec)) == engine.spec
    assert_plain(engine.spec)


def assert_plain(value):
    """Require numbers, texts and truths, and tuples and frozen records of them."""
    if is_dataclass(value):
        assert value.__dataclass_params__.frozen, type(value)
        for one in fields(value):
            assert_plain(getattr(value, one.name))
    elif isinstance(value, tuple):
        for one in value:
            assert_plain(one)
    else:
        assert type(value) in PLAIN, type(value)


def test_the_order_in_which_tasks_are_done_changes_nothing(sides, tmp_path):
    def backwards(do, tasks):
        yield from ((task, do(task)) for task in reversed(tasks))

    options = {"controls": sides.controls, "shard_size": 10, "generate": 25}
    expected = memaudit.scan(ask(sides.members, tmp_path / "on", **options))
    found = memaudit.scan(ask(sides.members, tmp_path / "back", **options), engine=backwards)
    assert found.scores.equals(expected.scores)
    assert found.findings.equals(expected.findings)
    assert found.summary == expected.summary
    assert found.quality == expected.quality
