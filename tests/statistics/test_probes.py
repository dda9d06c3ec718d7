"""Rows of scores are chosen by what was asked, whatever an attack is called."""

import pandas as pd
import pytest
from scored import keys, primary

from memaudit.attacks.reconstruction import ODE, ONE_STEP
from memaudit.records import CLEAN, COPY, FULL, SCREEN
from memaudit.statistics.levels import per_level
from memaudit.statistics.probes import Probe, first_pass, inputs_in, probes_in

NOISY_NAME = "noisy screen of copies, first pass"  # of an attack that another package brings
ALL = [  # in the order in which probes are told
    Probe(NOISY_NAME),
    Probe(ODE),
    Probe(ODE, COPY),
    Probe(ONE_STEP, CLEAN, SCREEN),
    Probe(ONE_STEP, COPY, SCREEN),
]


@pytest.fixture
def scores() -> pd.DataFrame:
    """Two images and two levels of each probe, rows shuffled."""
    tables = [
        keys(["a", "b"], (1.0, 2.0), attack=one.attack, of=one.input, phase=one.phase)
        for one in ALL
    ]
    return pd.concat(tables, ignore_index=True).sample(frac=1, random_state=0)


def test_the_probes_that_scores_hold_are_told_in_one_order(scores):
    assert probes_in(scores) == ALL
    assert probes_in(scores.iloc[:0]) == []


def test_each_row_belongs_to_one_probe(scores):
    found = [one.rows(scores) for one in ALL]
    assert [len(rows) for rows in found] == [4] * len(ALL)
    assert pd.concat(found).sort_index().equals(scores.sort_index())
    for one, rows in zip(ALL, found, strict=True):
        asked = rows[["attack", "input", "phase"]].drop_duplicates()
        assert asked.to_numpy().tolist() == [[one.attack, one.input, one.phase]]


def test_a_probe_that_was_not_asked_has_no_rows(scores):
    assert Probe(ONE_STEP).rows(scores).empty
    assert Probe(ODE, CLEAN, SCREEN).rows(scores).empty


def test_inputs_are_those_of_the_attack(scores):
    assert inputs_in(scores, ODE) == [CLEAN, COPY]
    assert inputs_in(scores, NOISY_NAME) == [CLEAN]
    assert inputs_in(scores, "another") == []


def test_first_passes_are_told_by_their_phase_alone(scores):
    assert scores.loc[first_pass(scores), "phase"].eq(SCREEN).all()
    assert scores.loc[~first_pass(scores), "phase"].eq(FULL).all()


def test_people_read_what_is_special_about_a_probe():
    assert [one.label for one in ALL] == [
        NOISY_NAME,
        "reconstruction-ode",
        "reconstruction-ode of copies",
        "reconstruction-one-step, first pass",
        "reconstruction-one-step of copies, first pass",
    ]


def test_levels_of_a_plug_in_without_own_similarity_are_told_by_its_score(scores):
    rows = Probe(NOISY_NAME).rows(scores).assign(snr_db=0.0, loss=[0.0, 1.0, 2.0, 3.0])
    pool = pd.DataFrame(
        {"example_id": ["a", "b"], "split": ["member", "control"], "source": ["a.png", "b.png"]}
    ).assign(prompt="", group=[0, 1], representative=True, spans=False, cluster="", left_out="")
    levels = per_level(rows, pool, (primary("loss", attack=NOISY_NAME),))
    assert [(one.probe, one.level) for one in levels] == [(ALL[0], 1.0), (ALL[0], 2.0)]
    assert {one.own_similarity_members for one in levels} == {None}
    assert {one.rank1_controls for one in levels} == {None}
    assert {one.auc for one in levels} <= {0.0, 1.0}
