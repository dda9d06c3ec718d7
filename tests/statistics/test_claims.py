"""Two claims in one summary: each by a score of its own, and both share the level."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from scored import keys, primary

from memaudit.attacks.reconstruction import ODE
from memaudit.attacks.scores import COLUMNS
from memaudit.records import Column, Primary
from memaudit.statistics.conformal import benjamini_hochberg, conformal_p
from memaudit.statistics.findings import calibrate
from memaudit.statistics.options import Options
from memaudit.statistics.summary import Conduct, Summary, summarise
from memaudit.statistics.verdict import Outcome

KNOWN = Column("known", "how well the network knows the image")
MEMBERSHIP = Primary("weak", (KNOWN,), (KNOWN,), claim="membership")
ALONE = Options(primary("margin"), COLUMNS, copy_threshold=0.75, rounds=199)
BOTH = replace(ALONE, columns=(*COLUMNS, KNOWN), membership=MEMBERSHIP)
N, M = 20, 400
IDS = [f"{k:04}" for k in range(N + M)]
MEMBERS, CONTROLS = IDS[:N], IDS[N:]


def scored(known: float = 0.0, copied: float = 0.0, seed: int = 0) -> pd.DataFrame:
    """Half of the members are known so much better, or come back so much more closely."""
    rng = np.random.default_rng(seed)
    half = np.array([name in MEMBERS[::2] for name in IDS])
    own = rng.uniform(0.3, 0.4, N + M) + copied * half
    strong = keys(IDS, [1.0]).assign(own_similarity=own, margin=own - 0.2, snr_db=0.0)
    for column in COLUMNS:
        if column.name not in strong:
            strong[column.name] = "" if column.summary == "name" else 0.5
    weak = keys(IDS, [0.1], attack="weak")
    weak = weak.assign(known=rng.standard_normal(N + M) + known * half, snr_db=20.0)
    return pd.concat([strong, weak], ignore_index=True)


def pool() -> pd.DataFrame:
    is_member = np.arange(N + M) < N
    return pd.DataFrame(
        {
            "row": range(N + M),
            "example_id": IDS,
            "source": [f"{name}.png" for name in IDS],
            "split": np.where(is_member, "member", "control"),
            "prompt": "",
            "group": range(N + M),
            "representative": True,
            "spans": False,
            "cluster": "",
            "left_out": "",
        }
    )


def summed(scores: pd.DataFrame, options: Options = BOTH) -> Summary:
    return summarise(calibrate(scores, pool(), options), options, Conduct(self_checked=True))


def test_p_and_q_of_each_claim_are_those_of_its_score_times_two() -> None:
    table = calibrate(scored(known=8.0), pool(), BOTH).findings.set_index("example_id")
    for name, score in (("membership", "score"), ("reproduction", "reproduction_score")):
        values = table[score]
        by_hand = conformal_p(values[MEMBERS].to_numpy(), values[CONTROLS].to_numpy())
        doubled = np.minimum(1, 2 * by_hand)
        np.testing.assert_allclose(table.loc[MEMBERS, f"{name}_p"], doubled)
        q_values = np.minimum(1, 2 * benjamini_hochberg(by_hand))
        np.testing.assert_allclose(table.loc[MEMBERS, f"{name}_q"], q_values)
        assert table.loc[CONTROLS, [f"{name}_p", f"{name}_q"]].isna().all(axis=None)
    smaller = table[["membership_q", "reproduction_q"]].min(axis=1)
    pd.testing.assert_series_equal(table["q_value"], smaller, check_names=False)
    assert table["flagged"].equals(table["membership_flagged"] | table["reproduction_flagged"])


def test_what_is_known_and_does_not_come_back_is_membership() -> None:
    summary = summed(scored(known=8.0))
    assert summary.verdict.claim == "membership"
    assert summary.verdict.outcome is Outcome.EVIDENCE
    assert "none of the images comes back as a copy" in summary.verdict.sentence
    [reproduction, membership] = summary.claims
    assert (reproduction.claim, reproduction.attack, reproduction.flagged) == (
        "reproduction", ODE, 0,
    )  # fmt: skip
    assert (membership.claim, membership.attack, membership.flagged) == ("membership", "weak", 10)
    assert summary.flagged.memberships == 10
    assert membership.auc is not None
    assert membership.auc.estimate > 0.7


def test_what_comes_back_as_a_copy_is_reproduction_and_is_not_counted_twice() -> None:
    summary = summed(scored(known=8.0, copied=0.5))
    assert (summary.verdict.claim, summary.flagged.groups) == ("reproduction", 10)
    assert (summary.flagged.by_membership, summary.flagged.by_reproduction) == (10, 10)
    assert (summary.flagged.reproductions, summary.flagged.memberships) == (10, 0)


def test_reproduction_takes_a_flag_of_its_own() -> None:
    scores = scored(known=8.0)
    strong = scores["attack"] == ODE
    scores.loc[strong, "own_similarity"] += 0.5  # controls come back as copies as well
    assert summed(scores).verdict.claim == "membership"


def test_one_claim_has_the_whole_level() -> None:
    alone = calibrate(scored(copied=0.5), pool(), ALONE).findings.set_index("example_id")
    both = calibrate(scored(copied=0.5), pool(), BOTH).findings.set_index("example_id")
    p_alone, p_both = (one.loc[MEMBERS, "reproduction_p"] for one in (alone, both))
    np.testing.assert_allclose(np.minimum(1, 2 * p_alone), p_both)
    assert alone["membership_q"].isna().all()
    assert not alone["membership_flagged"].any()
    assert alone["score"].equals(alone["reproduction_score"])
    scores = scored()
    assert summed(scores[scores["attack"] == ODE], ALONE).flagged.fewest_controls == 39
    assert summed(scores, BOTH).flagged.fewest_controls == 79


@pytest.mark.parametrize("which", ["known", "copied"])
def test_either_claim_can_be_evidence_of_the_set_alone(which: str) -> None:
    effect = {"known": 2.5, "copied": 0.05}[which]
    summary = summed(scored(**{which: effect}, seed=2))
    [reproduction, membership] = summary.claims
    told, silent = (membership, reproduction) if which == "known" else (reproduction, membership)
    assert told.dataset_p is not None
    assert silent.dataset_p is not None
    assert told.dataset_p < 0.05 < silent.dataset_p
    assert summary.dataset is not None
    assert summary.dataset.test.p_value == told.dataset_p


def test_where_nothing_was_trained_on_evidence_is_as_rare_as_with_one_claim() -> None:
    outcomes = [summed(scored(seed=seed)).verdict.outcome for seed in range(60)]
    assert outcomes.count(Outcome.EVIDENCE) <= 0.05 * 60 + 2 * np.sqrt(0.05 * 0.95 * 60)
