"""Attacks that no verdict rests on, by their scores and by what pictures leave of them."""

import numpy as np
import pandas as pd
import pytest
from scored import keys, primary

from memaudit.attacks.reconstruction import ODE
from memaudit.records import Column, Primary
from memaudit.statistics.explored import explore
from memaudit.statistics.findings import calibrate
from memaudit.statistics.options import Options
from memaudit.statistics.summary import Conduct, summarise
from memaudit.statistics.verdict import Outcome

MEMBERS, CONTROLS = 60, 240
LOSS = Primary("loss", (Column("loss", "", higher=False),))
OPTIONS = Options(primary("margin"), (), (LOSS,), rounds=99)


def data(lower, *, scored=MEMBERS + CONTROLS, options=OPTIONS):
    """Losses that the sharpness of a picture rules, lower by so much for members."""
    rng = np.random.default_rng(0)
    count = MEMBERS + CONTROLS
    ids = [f"{k:05}" for k in range(count)]
    is_member = np.arange(count) < MEMBERS
    sharpness = rng.normal(size=count)
    loss = 5 * sharpness + rng.normal(size=count) - lower * is_member
    rows = [
        keys(ids, [1.0]).assign(margin=rng.normal(size=count)),
        keys(ids[:scored], [0.1], attack="loss").assign(loss=loss[:scored]),
    ]
    scores = pd.concat(rows, ignore_index=True)
    pool = pd.DataFrame(
        {
            "example_id": ids,
            "split": np.where(is_member, "member", "control"),
            "source": ids,
            "prompt": "",
            "group": range(count),
            "representative": True,
            "spans": False,
            "cluster": "",
            "left_out": "",
            "sharpness": sharpness,
        }
    )
    scores = scores.assign(snr_db=-20 * np.log10(scores["level"]))
    return calibrate(scores, pool, options)


def test_what_pictures_predict_hides_members_until_it_is_taken_off():
    [found] = explore(data(lower=4.0), OPTIONS)
    assert (found.attack, found.columns) == ("loss", ("loss",))
    assert found.raw_auc < 0.8
    assert found.raw_above < 0.2
    assert found.auc > 0.98
    assert found.above > 0.9
    assert found.flagged > 50


def test_where_nothing_was_trained_on_nothing_is_flagged():
    [found] = explore(data(lower=0.0), OPTIONS)
    assert found.auc == pytest.approx(0.5, abs=0.1)
    assert found.flagged == 0


def test_an_attack_that_was_not_run_on_every_image_is_left_out():
    assert explore(data(lower=4.0, scored=100), OPTIONS) == ()


def test_without_further_attacks_or_controls_there_is_nothing_to_say():
    found = data(lower=4.0)
    assert explore(found, Options(primary("margin"), ())) == ()
    alone = found.pool.assign(split="member")
    assert explore(calibrate(found.scores, alone, OPTIONS), OPTIONS) == ()


def test_it_has_no_part_in_the_verdict():
    found = data(lower=4.0)
    told = summarise(found, OPTIONS, Conduct(self_checked=True))
    assert told.explored[0].flagged > 50
    assert told.flagged.groups == 0
    assert told.attack == ODE
    assert told.verdict.outcome is not Outcome.EVIDENCE
