from __future__ import annotations

import re
from dataclasses import replace

import pytest

from memaudit.statistics.verdict import Facts, Outcome, decide

QUIET = Facts(
    members=200,
    controls=200,
    min_q=0.6,
    dataset_p=0.4,
    flagged=0,
    unreadable=0,
    entries=400,
    self_checked=True,
    power=0.9,
    informative=2,
)


@pytest.mark.parametrize(
    ("changes", "outcome", "reason"),
    [
        ({}, Outcome.NONE, "0 of 200 members flagged"),
        ({"min_q": 0.025, "flagged": 3}, Outcome.EVIDENCE, "3 of 200 members flagged"),
        ({"dataset_p": 0.025}, Outcome.EVIDENCE, "data-set p 0.025"),
        ({"dataset_p": 0.026}, Outcome.NONE, "data-set p 0.026"),
        ({"min_q": 0.026, "flagged": 3}, Outcome.INCONCLUSIVE, "borderline"),
        ({"min_q": 0.04, "flagged": 3, "dataset_p": 0.01}, Outcome.EVIDENCE, "3 of 200"),
        ({"controls": 39}, Outcome.NONE, "smallest q 0.6"),
        ({"unreadable": 20}, Outcome.NONE, "smallest q 0.6"),
    ],
)
def test_the_verdict_follows_from_the_p_values(
    changes: dict[str, float], outcome: Outcome, reason: str
) -> None:
    verdict = decide(replace(QUIET, **changes))
    assert verdict.outcome is outcome
    assert reason in verdict.reasons[0]


@pytest.mark.parametrize("flagged", [0, 7])
def test_how_many_are_flagged_at_the_chosen_rate_does_not_move_the_verdict(flagged: int) -> None:
    assert decide(replace(QUIET, min_q=0.15, flagged=flagged)).outcome is Outcome.NONE
    assert decide(replace(QUIET, min_q=0.04, flagged=flagged)).outcome is Outcome.INCONCLUSIVE


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"controls": 0}, "no controls"),
        ({"controls": 38}, "too few controls: with 38 .* at least 39"),
        ({"members": 0}, "no member could be scored"),
        ({"unreadable": 21}, "21 of 400 images"),
        ({"self_checked": False}, "self-check"),
        ({"one_step_of_noisy": True}, "one step misses what full sampling detects"),
        ({"shift": "p 0.001; what differs: JPEG quality"}, "shift detected.*JPEG quality"),
    ],
)
@pytest.mark.parametrize("min_q", [0.6, 0.001])
def test_alarms_win_over_evidence(changes: dict[str, float], reason: str, min_q: float) -> None:
    verdict = decide(replace(QUIET, min_q=min_q, **changes))
    assert verdict.outcome is Outcome.INCONCLUSIVE
    assert len(verdict.reasons) == 1
    assert re.search(reason, verdict.sentence)


def test_every_alarm_is_named() -> None:
    facts = replace(QUIET, members=0, controls=0, unreadable=400, self_checked=False)
    assert len(decide(facts).reasons) == 4


def test_only_inconclusive_exits_with_four() -> None:
    none = decide(QUIET)
    evidence = decide(replace(QUIET, dataset_p=0.001))
    inconclusive = decide(replace(QUIET, controls=0))
    assert [v.exit_code for v in (none, evidence, inconclusive)] == [0, 0, 4]


def test_the_sentences_claim_nothing_beyond_the_attack() -> None:
    none = decide(QUIET)
    evidence = decide(replace(QUIET, dataset_p=0.001))
    end = "under this attack at this noise"
    assert none.sentence == f"no reconstruction beyond held-out controls was found {end}"
    assert evidence.sentence == f"evidence of reconstruction beyond held-out controls {end}"


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        (
            {"unasked": "no copies"},
            r"clean images, and no copies\. A model .* brings those back and not the clean",
        ),
        ({"power": None}, "power of the scan was not measured"),
        ({"power": 0.4}, "no power: .* 40%"),
        ({"informative": 0}, "no informative noise level"),
    ],
)
def test_a_scan_that_could_see_nothing_is_inconclusive(
    changes: dict[str, float], reason: str
) -> None:
    verdict = decide(replace(QUIET, **changes))
    assert verdict.outcome is Outcome.INCONCLUSIVE
    assert re.search(reason, verdict.sentence)
    assert decide(replace(QUIET, dataset_p=0.001, **changes)).outcome is Outcome.EVIDENCE
