from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from scored import CLEAN_ODE

from memaudit.attacks.reconstruction import ODE
from memaudit.records import CLEAN, FULL
from memaudit.statistics.entities import Sides
from memaudit.statistics.literature import THRESHOLDS, applicable, literature_levels, literature_of

SIDES = Sides(members=("a", "b"), controls=("c",))


@pytest.fixture
def scores() -> pd.DataFrame:
    """`a` comes back from both levels, `b` from the weak noise as a near copy, `c` not at all."""
    own = {("a", 0.5): 0.9, ("a", 2.0): 0.72, ("b", 0.5): 0.6, ("b", 2.0): 0.1}
    rows = [
        {
            "example_id": name,
            "attack": ODE,
            "input": CLEAN,
            "phase": FULL,
            "level": sigma,
            "snr_db": -20 * np.log10(sigma),
            "draw": 0,
            "own_similarity": own.get((name, sigma), 0.2),
            "l2": 0.1 if name == "a" else 0.3,
            "adaptive_l2": 1.4,
            "l2_ratio": 0.5,
        }
        for name in "abc"
        for sigma in (0.5, 2.0)
    ]
    return pd.DataFrame(rows)


def test_shares_are_told_for_both_sides_and_every_level(scores: pd.DataFrame) -> None:
    levels = literature_levels(scores, SIDES, CLEAN_ODE, "sscd:weights.onnx")
    found = {(one.label, one.level): (one.members, one.controls) for one in levels}
    assert found["SSCD >= .5", 0.5] == (1.0, 0.0)
    assert found["SSCD >= .5", 2.0] == (0.5, 0.0)
    assert found["SSCD >= .75", 2.0] == (0.0, 0.0)
    assert found["l2 <= .15", 0.5] == (0.5, 0.0)
    assert len(levels) == 2 * len(applicable("sscd"))


def test_thresholds_published_for_one_embedder_are_not_those_of_its_student() -> None:
    assert {one.column for one in applicable("sscd-distilled")} == {"l2", "adaptive_l2", "l2_ratio"}
    assert "own_similarity" in {one.column for one in applicable("sscd")}


def test_rows_say_which_thresholds_are_met_from_which_noise(scores: pd.DataFrame) -> None:
    words = literature_of(scores, CLEAN_ODE, "sscd")
    assert words["b"] == "SSCD >= .5 from 6.0 dB"
    assert words["c"] == ""
    assert words["a"].startswith("SSCD >= .5 from -6.0 dB; SSCD >= .7 from -6.0 dB; SSCD >= .75")
    assert words["a"].endswith("l2 <= .15 from -6.0 dB")


def test_thresholds_belong_to_their_embedder() -> None:
    assert {one.embedder for one in applicable("pixels")} == {""}
    assert {one.embedder for one in applicable("dinov2:folder")} == {"", "dinov2"}
    assert all(one.source for one in THRESHOLDS)
