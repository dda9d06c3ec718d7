"""A scan as it is asked for without a word about attacks: two claims, on the perfect memorizer."""

from dataclasses import replace

import numpy as np
import pytest
from runs import ask, photographed, save

from memaudit.attacks.reconstruction import ODE
from memaudit.audit import scan
from memaudit.audit.plan import estimate
from memaudit.config import MEMBERSHIP, Noise
from memaudit.records import FULL
from memaudit.statistics.verdict import Outcome

MEMBERS, IMAGES = 20, 120
KEPT = {"attacks": (MEMBERSHIP,), "noise": Noise(sigmas=(0.5, 2.0), draws=1), "steps": 8}


@pytest.fixture(scope="module")
def images():
    """20 members, 100 controls and 20 others, no two of them alike."""
    return photographed()[: IMAGES + 20]


@pytest.fixture(scope="module")
def asked(images, tmp_path_factory):
    """How to ask for a scan of the perfect memorizer of the members."""
    folder = tmp_path_factory.mktemp("claims")
    members = save(folder / "members", images[:MEMBERS])
    save(folder / "others", images[IMAGES:])
    fields = {
        "controls": save(folder / "controls", images[MEMBERS:IMAGES]),
        "index": folder / "index",
        **KEPT,
    }
    return lambda out, **changes: ask(members, folder / out, **{**fields, **changes})


@pytest.fixture(scope="module")
def found(asked):
    return scan(asked("both"))


def test_both_claims_are_found_of_the_perfect_memorizer(found):
    [reproduction, membership] = found.summary.claims
    assert (reproduction.attack, membership.attack) == (ODE, MEMBERSHIP)
    assert (reproduction.flagged, membership.flagged) == (MEMBERS, MEMBERS)
    assert found.summary.verdict.claim == "reproduction"
    table = found.findings
    flags = ["flagged", "membership_flagged", "reproduction_flagged"]
    assert table.groupby("split")[flags].sum().to_numpy().tolist() == [[0] * 3, [MEMBERS] * 3]
    assert np.isclose(table["membership_p"].min(), 2 / (IMAGES - MEMBERS + 1))
    assert table["mirrored_residual"].notna().all()


def test_each_claim_has_a_power_by_noise_level(found):
    power = found.summary.conduct.power
    assert {one.attack for one in power.levels} == {ODE, MEMBERSHIP}
    assert all(one.share == 1 for one in power.levels if one.attack == MEMBERSHIP)
    graded = {level.attack: level.grade for level in found.summary.levels}
    assert graded[MEMBERSHIP] == "informative"


def test_a_model_of_other_images_shows_neither(asked):
    config = asked("elsewhere")
    others = config.data.dataset.replace("members", "others")
    result = scan(replace(config, model=f"closed-form:{others}"))
    assert result.summary.verdict.outcome is Outcome.NONE
    assert "nor another sign of membership" in result.summary.verdict.sentence
    assert result.summary.flagged.groups == 0


def test_the_first_attack_on_membership_is_the_one_that_counts(asked):
    result = scan(asked("first", attacks=("denoising-loss", MEMBERSHIP), power=False))
    assert result.prepared.membership.attack == "denoising-loss"
    assert [one.attack for one in result.prepared.others] == [MEMBERSHIP]
    assert [one.attack for one in result.summary.explored] == [MEMBERSHIP]


@pytest.mark.parametrize("attack", [MEMBERSHIP, "denoising-loss"])
def test_an_adaptive_scan_asks_all_images_about_membership(asked, attack):
    config = asked(f"adaptive-{attack}", adaptive=True, steps=40, power=False, attacks=(attack,))
    result = scan(config)
    counts = result.scores.groupby(["attack", "phase"])["example_id"].nunique()
    assert counts[attack].max() == IMAGES > counts[ODE, FULL] >= MEMBERS
    [reproduction, membership] = result.summary.claims
    assert (reproduction.flagged, membership.flagged) == (MEMBERS, MEMBERS)
    assert estimate(config).evaluations <= result.summary.conduct.effort.in_full


def test_an_attack_that_is_no_first_pass_is_asked_of_all_images_in_full(asked):
    options = {"attacks": ("denoising-loss",), "power": False, "steps": 40}
    full, result = (scan(asked(f"loss-{kind}", adaptive=kind, **options)) for kind in (False, True))
    assert result.summary.conduct.effort.screen == (ODE,)
    ids = full.findings.set_index("example_id")["score"].sort_index()
    of_adaptive = result.findings.set_index("example_id")["score"].sort_index()
    np.testing.assert_allclose(of_adaptive, ids, atol=1e-4)


def test_too_few_controls_for_two_claims_may_be_enough_for_one(asked, images, tmp_path):
    few = save(tmp_path / "few", images[MEMBERS : MEMBERS + 60])
    told = scan(asked("few", controls=few, power=False, index=None))
    assert told.summary.verdict.outcome is Outcome.INCONCLUSIVE
    assert "give at least 79, or ask for reproduction alone (--attacks none), which takes 39" in (
        told.summary.verdict.sentence
    )
    alone = scan(asked("alone", controls=few, power=False, index=None, attacks=("none",)))
    assert alone.summary.verdict.outcome is Outcome.EVIDENCE
    assert len(alone.summary.claims) == 1
