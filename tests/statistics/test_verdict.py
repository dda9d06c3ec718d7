from __future__ import annotations

import json
import re
from dataclasses import asdict, replace

import pytest

from memaudit.statistics.doubts import fewest_controls
from memaudit.statistics.facts import Facts, Found, SideFacts, small
from memaudit.statistics.verdict import Outcome, decide, tolerated

MEMBERS = SideFacts(units=100, groups=100, spanning=0, lost=0, entries=100)
CONTROLS = SideFacts(units=400, groups=400, spanning=0, lost=0, entries=400)
NOTHING = Found(min_q=0.4, dataset_p=0.5, flagged=0)
QUIET = Facts(
    members=MEMBERS,
    controls=CONTROLS,
    found=NOTHING,
    raw=NOTHING,
    self_checked=True,
    power=0.9,
    detectable=4,
    tolerated=5,
    informative=2.0,
)


def seen(min_q: float = 1.0, dataset_p: float = 1.0, flagged: int = 0, **changes: object) -> Facts:
    """Both scores show the same."""
    found = Found(min_q, dataset_p, flagged)
    return replace(QUIET, found=found, raw=found, **changes)


@pytest.mark.parametrize("p", [{"min_q": 0.025}, {"dataset_p": 0.025}])
def test_evidence_takes_half_the_level_of_either(p: dict[str, float]) -> None:
    verdict = decide(seen(**p))
    assert (verdict.outcome, verdict.exit_code) == (Outcome.EVIDENCE, 0)


@pytest.mark.parametrize("p", [{"min_q": 0.026}, {"dataset_p": 0.026}])
def test_what_misses_half_the_level_and_not_the_level_is_borderline(p: dict[str, float]) -> None:
    verdict = decide(seen(**p))
    assert verdict.outcome is Outcome.INCONCLUSIVE
    assert verdict.sentence.startswith("inconclusive: borderline")


def test_nothing_in_a_scan_that_could_have_found_something_is_none() -> None:
    assert decide(QUIET).outcome is Outcome.NONE


def test_nothing_found_says_whether_images_were_reconstructed_or_restored() -> None:
    assert decide(QUIET).sentence.startswith("no reconstruction beyond held-out controls was found")
    hidden = decide(replace(QUIET, hides=True)).sentence
    assert hidden.startswith("no restoration beyond held-out controls was found")
    assert "reconstruction" not in hidden


def test_each_kind_of_evidence_has_its_sentence() -> None:
    both = seen(min_q=0.01, flagged=7, reproductions=4)
    copies = decide(replace(both, reproduction_q=0.01))
    assert copies.claim == "reproduction"
    assert re.search(
        r"evidence of reproduction .*: 4 of 100 images said to be trained on .* copies",
        copies.sentence,
    )
    single = decide(seen(min_q=0.01, flagged=7))
    assert single.claim == "membership"
    assert "7 of 100 images said to be trained on" in single.sentence
    assert single.sentence.endswith("held-out controls, none of the images comes back as a copy")
    assert decide(replace(both, reproduction_q=0.03)).claim == "membership"
    noisy = decide(replace(seen(min_q=0.01, flagged=7), only_copies=True))
    assert (
        "the noisy copies of 7 of 100 images said to be trained on stand out of" in noisy.sentence
    )
    assert "of those of held-out controls, none of the images comes back" in noisy.sentence
    whole = decide(seen(dataset_p=0.01, min_q=0.3))
    assert whole.claim == "membership"
    assert "as a whole" in whole.sentence
    assert "no single image stands out" in whole.sentence
    for verdict in (copies, single, whole):
        assert "under this attack at this noise" in verdict.sentence


def test_a_score_that_only_the_pictures_explain_is_no_evidence() -> None:
    for found, raw in ((NOTHING, Found(0.001, 0.001, 9)), (Found(0.001, 0.001, 9), NOTHING)):
        verdict = decide(replace(QUIET, found=found, raw=raw))
        assert verdict.outcome is Outcome.INCONCLUSIVE
        assert "may lie in the pictures" in verdict.sentence
        assert "smallest q 0.001" in verdict.sentence
        assert "smallest q 0.4" in verdict.sentence


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"members": replace(MEMBERS, units=0)}, "no member could be scored"),
        ({"controls": replace(CONTROLS, units=0)}, "no controls"),
        ({"controls": replace(CONTROLS, units=38)}, "too few controls: with 38"),
        ({"members": replace(MEMBERS, lost=6)}, "6 of 100 members could not be read or scored"),
        ({"controls": replace(CONTROLS, lost=21)}, "21 of 400 controls could not be read"),
        ({"members": replace(MEMBERS, spanning=51)}, "51 of 100 groups of members have copies"),
        ({"controls": replace(CONTROLS, spanning=201)}, "201 of 400 groups of controls"),
        ({"self_checked": False}, "self-check of the model was switched off"),
        ({"one_step_of_noisy": True}, "only one step was run"),
        ({"shift": "p 0.001"}, r"shift detected: .*\(p 0\.001\)"),
        ({"untested": "cannot be tested"}, "cannot be tested"),
        ({"split_clusters": 3}, "3 clusters have images on both sides"),
    ],
)
def test_what_makes_a_scan_untrustworthy_makes_it_inconclusive(
    changes: dict[str, object], reason: str
) -> None:
    for facts in (QUIET, seen(min_q=1e-9, dataset_p=1e-9, flagged=50)):
        verdict = decide(replace(facts, **changes))
        assert (verdict.outcome, verdict.exit_code) == (Outcome.INCONCLUSIVE, 4)
        assert re.search(reason, verdict.sentence)


def test_a_side_has_limits_of_its_own() -> None:
    """Lost controls are not made up for by many members that could be read."""
    few = SideFacts(units=40, groups=40, spanning=0, lost=60, entries=100)
    many = SideFacts(units=1200, groups=1200, spanning=0, lost=0, entries=1200)
    verdict = decide(seen(min_q=0.01, members=many, controls=few))
    assert "60 of 100 controls could not be read or scored" in verdict.sentence


def test_one_lost_image_decides_nothing_on_a_small_side() -> None:
    small_side = SideFacts(units=6, groups=6, spanning=0, lost=1, entries=7)
    assert decide(seen(min_q=0.01, members=small_side)).outcome is Outcome.EVIDENCE
    two = replace(small_side, lost=2)
    assert "2 of 7 members could not be read" in decide(seen(min_q=0.01, members=two)).sentence


def test_the_fewest_controls_are_enough() -> None:
    assert (fewest_controls(1), fewest_controls(2)) == (39, 79)
    enough = replace(CONTROLS, units=39)
    assert decide(seen(min_q=0.025, controls=enough)).outcome is Outcome.EVIDENCE


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        (
            {"unasked": "no copies"},
            r"clean images, and no copies\. A model .* brings those back and not the clean",
        ),
        ({"power": None}, "power of the scan was not measured"),
        ({"power": 0.4}, "no power: .* 40%"),
        ({"informative": 0.4}, "no informative noise level"),
        ({"detectable": 6}, "finds 6 of 100 or more, expected 5 or fewer"),
        ({"detectable": None}, "finds not even all of them"),
    ],
)
def test_a_scan_that_could_see_nothing_is_inconclusive(
    changes: dict[str, object], reason: str
) -> None:
    verdict = decide(replace(QUIET, **changes))
    assert verdict.outcome is Outcome.INCONCLUSIVE
    assert re.search(reason, verdict.sentence)
    assert decide(seen(dataset_p=0.001, **changes)).outcome is Outcome.EVIDENCE


def test_what_is_tolerated_is_a_count_or_a_share_of_the_members() -> None:
    assert tolerated(40, 5, 0.05) == 5
    assert tolerated(1000, 5, 0.05) == 50
    assert tolerated(1000, 5, 0.0) == 5


def test_p_values_are_not_spelled_out_beyond_what_they_can_tell() -> None:
    assert small(1.22e-41) == "< 0.0001"
    assert small(0.0001) == "0.0001"
    assert small(0.02567) == "0.0257"


def test_all_reasons_are_told() -> None:
    facts = replace(QUIET, controls=replace(CONTROLS, units=0), self_checked=False)
    assert len(decide(facts).reasons) == 2


def test_inputs_are_named_where_copies_were_asked_for() -> None:
    verdict = decide(seen(min_q=0.001, flagged=9, by_input="5 by the clean image"))
    assert "9 of 100 members flagged (5 by the clean image)" in verdict.reasons[0]


def test_a_verdict_is_json() -> None:
    assert json.loads(json.dumps(asdict(decide(QUIET))))["outcome"] == "none beyond controls"
