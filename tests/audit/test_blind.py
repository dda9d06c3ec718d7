"""What scores the images is not told which of them are members."""

import types
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from PIL import Image as PillowImage
from runs import ask, assert_same_scores

from memaudit.audit import scan
from memaudit.audit.listing import list_data
from memaudit.audit.work import sequential
from memaudit.config import Noise

SIDES = ("member", "control")
LEAVES = (str, bytes, int, float, bool, type(None), np.ndarray, np.generic, torch.Tensor, Path)
LEAVES += (type, types.FunctionType, types.BuiltinFunctionType, types.ModuleType, torch.nn.Module)


def reachable(value, seen=None):
    """Everything that a value holds: fields, items, keys, columns, and they themselves."""
    seen = {} if seen is None else seen
    if id(value) in seen:
        return
    seen[id(value)] = value
    yield value
    if isinstance(value, LEAVES):
        return
    if isinstance(value, pd.DataFrame):
        parts = [*value.columns, *(value[name].to_list() for name in value)]
    elif isinstance(value, Mapping):
        parts = [*value.keys(), *value.values()]
    elif isinstance(value, (list, tuple, set, frozenset)):
        parts = [*value]
    else:
        slots = getattr(type(value), "__slots__", ())
        parts = [*getattr(value, "__dict__", {}).values()]
        parts += [getattr(value, name) for name in slots if hasattr(value, name)]
    for part in parts:
        yield from reachable(part, seen)


def told(value):
    """What of a value tells of a side: tables with a column for it, and the words themselves."""
    return [
        one
        for one in reachable(value)
        if (isinstance(one, pd.DataFrame) and "split" in one)
        or (isinstance(one, str) and one in SIDES)
        or (isinstance(one, Mapping) and set(SIDES) & {*map(str, one.values())})
    ]


@pytest.fixture
def config(sides, tmp_path):
    noise = Noise(sigmas=(0.3, 1.0), draws=1)
    return ask(sides.members, tmp_path / "run", controls=sides.controls, noise=noise, shard_size=20)


@pytest.mark.parametrize("more", [{}, {"reconstruct": ("ode", "one-step"), "power": False}])
def test_tasks_bench_and_candidates_tell_no_side(config, more):
    given = []

    def engine(do, tasks):
        given.extend([*do.args, *tasks])
        yield from sequential(do, tasks)

    scan(replace(config, **more), engine=engine)
    kinds = {type(one).__name__ for one in given}
    assert kinds == {"Bench", "Candidates", "Task"}
    for one in given:
        assert told(one) == []


def test_the_same_search_finds_the_sides_where_they_are_told(config):
    listing = list_data(config.data, 0)
    assert "member" in told(listing)
    assert told(pd.DataFrame({"split": ["x"]}))
    assert told({"a": {"id": "control"}})


@pytest.mark.parametrize("more", [{}, {"adaptive": True, "fraction": 0.1, "steps": 30}])
def test_members_that_become_controls_change_no_row_of_scores(tiles, write_folder, tmp_path, more):
    """The model saw twelve of one side; one image stands on both sides, and one nearly so."""
    seen = write_folder("seen", tiles[:12])
    few, many = write_folder("few", tiles[:20]), write_folder("many", tiles[19:])
    nearly = np.asarray(PillowImage.open(few / "003.png")).astype(int) + 2
    PillowImage.fromarray(nearly.clip(0, 255).astype(np.uint8)).save(many / "nearly.png")
    noise = {"noise": Noise(sigmas=(0.3, 1.0), draws=1)}
    asked = {"model": f"closed-form:{seen}", "power": False, **noise, **more}
    one = scan(ask(few, tmp_path / "one", controls=many, **asked))
    other = scan(ask(many, tmp_path / "other", controls=few, **asked))
    assert_same_scores(one.scores, other.scores)
    assert one.summary.conduct.effort.evaluations == other.summary.conduct.effort.evaluations
    assert one.summary.conduct.effort.screen == other.summary.conduct.effort.screen
    sides_of = [
        result.findings.groupby("example_id")["split"].agg(sorted) for result in (one, other)
    ]
    on_both = sides_of[0].map(len) == 2
    assert on_both.sum() == 1
    assert (sides_of[0] != sides_of[1]).equals(~on_both)
    assert bool(one.summary.conduct.effort.screen) == ("adaptive" in more)
    assert one.summary.flagged.groups > other.summary.flagged.groups == 0
