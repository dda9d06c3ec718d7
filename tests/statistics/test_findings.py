from __future__ import annotations

import json
from dataclasses import asdict, replace

import numpy as np
import pandas as pd
import pytest
from scored import keys, primary

from memaudit.attacks.reconstruction import ODE, ONE_STEP
from memaudit.attacks.scores import COLUMNS
from memaudit.errors import InputError
from memaudit.statistics.combine import combine
from memaudit.statistics.effects import auc
from memaudit.statistics.findings import calibrate, described, findings
from memaudit.statistics.levels import per_level
from memaudit.statistics.options import Options
from memaudit.statistics.summary import Conduct, Summary, summarise
from memaudit.statistics.verdict import Outcome

MARGIN = primary("margin")
OPTIONS = Options(MARGIN, COLUMNS, copy_threshold=0.75, rounds=199)
CONDUCT = Conduct(self_checked=True)
N, M = 60, 240
IDS = [f"{i:04}" for i in range(N + M)]
MEMBERS, CONTROLS = IDS[:N], IDS[N:]
COPIED = MEMBERS[:8]  # come back as copies, up to sigma 1
LEANT_ON = MEMBERS[8:16]  # stand out, but not as copies
SIGMAS = (0.5, 1.0, 2.0)


@pytest.fixture
def scores() -> pd.DataFrame:
    """Three levels of two draws: eight members are copied, eight more are leant on."""
    rng = np.random.default_rng(7)
    rows = keys(IDS, SIGMAS, draws=2)
    size = len(rows)
    own = rng.uniform(0.3, 0.4, size)
    own += 0.5 * (rows["example_id"].isin(COPIED) & (rows["level"] <= 1))
    own += 0.3 * (rows["example_id"].isin(LEANT_ON) & (rows["level"] <= 1))
    other = rng.uniform(0.2, 0.3, size)
    return rows.assign(
        snr_db=-20 * np.log10(rows["level"]),
        own_similarity=own,
        own_rank=np.where(own > 0.35, 1.0, 4.0),
        nearest_other=rng.choice(CONTROLS, size),
        nearest_other_similarity=other,
        margin=own - other,
        psnr=rng.uniform(10, 20, size),
        ssim=0.5,
        l2=0.2,
        tile_l2=0.3,
        adaptive_l2=0.8,
        l2_ratio=0.6,
        distance_ratio=0.9,
    )


@pytest.fixture
def pool() -> pd.DataFrame:
    return pd.DataFrame(
        {
            "example_id": IDS,
            "split": ["member"] * N + ["control"] * M,
            "source": [f"{name}.png" for name in IDS],
            "prompt": "a photograph",
            "group": range(N + M),
            "representative": True,
            "spans": False,
            "cluster": "",
            "left_out": "",
        }
    )


def with_duplicate(pool: pd.DataFrame, of: str, split: str) -> pd.DataFrame:
    """Add a near copy of `of` on the side `split`."""
    row = pool[pool["example_id"] == of].iloc[0]
    spans = row["split"] != split
    copy = row.to_frame().T.assign(
        example_id="9999", source="copy.png", split=split, representative=False
    )
    both = pd.concat([pool, copy.astype(pool.dtypes)], ignore_index=True)
    return both.assign(spans=both["spans"] | (spans & (both["group"] == row["group"])))


def row_of(table: pd.DataFrame, example: str) -> dict[str, object]:
    return table[table["example_id"] == example].iloc[0].to_dict()


def summary_of(scores: pd.DataFrame, pool: pd.DataFrame, options: Options = OPTIONS) -> Summary:
    return summarise(calibrate(scores, pool, options), options, CONDUCT)


def test_what_stands_out_is_flagged_and_nothing_else(
    scores: pd.DataFrame, pool: pd.DataFrame
) -> None:
    table = findings(scores, pool, OPTIONS)
    assert set(table.loc[table["flagged"], "example_id"]) == {*COPIED, *LEANT_ON}
    assert table["flagged"].head(16).all()
    assert list(table["score"].head(16)) == sorted(table["score"].head(16), reverse=True)


def test_the_columns_are_those_documented(scores: pd.DataFrame, pool: pd.DataFrame) -> None:
    assert list(findings(scores, pool, OPTIONS).columns) == [name for name, _ in described(COLUMNS)]


def test_copies_are_reproductions_and_the_rest_membership(
    scores: pd.DataFrame, pool: pd.DataFrame
) -> None:
    table = findings(scores, pool, OPTIONS).set_index("example_id")
    assert set(table.loc[COPIED, "claim"]) == {"reproduction"}
    assert set(table.loc[COPIED, "recovered_from_snr_db"]) == {0.0}  # sigma 1, not 0.5
    assert set(table.loc[LEANT_ON, "claim"]) == {"membership"}
    assert table.loc[[*LEANT_ON, *CONTROLS], "recovered_from_snr_db"].isna().all()
    assert set(table.loc[CONTROLS, "claim"]) == {""}


def test_noise_from_which_controls_come_back_shows_no_reproduction(
    scores: pd.DataFrame, pool: pd.DataFrame
) -> None:
    weak = scores["example_id"].isin(CONTROLS) & (scores["level"] == 1)
    scores.loc[weak, "own_similarity"] = 0.8
    table = findings(scores, pool, OPTIONS).set_index("example_id")
    np.testing.assert_allclose(table.loc[COPIED, "recovered_from_snr_db"], 20 * np.log10(2))


def test_without_a_copy_threshold_all_is_membership(
    scores: pd.DataFrame, pool: pd.DataFrame
) -> None:
    table = findings(scores, pool, replace(OPTIONS, copy_threshold=None))
    assert set(table.loc[table["flagged"], "claim"]) == {"membership"}


def test_controls_have_scores_but_no_p(scores: pd.DataFrame, pool: pd.DataFrame) -> None:
    table = findings(scores, pool, OPTIONS).set_index("example_id")
    assert table.loc[CONTROLS, ["p_value", "q_value"]].isna().all(axis=None)
    assert table["score"].notna().all()
    assert (table["reason"] == "").all()


def test_the_measures_are_means_over_levels_and_draws(
    scores: pd.DataFrame, pool: pd.DataFrame
) -> None:
    row = row_of(findings(scores, pool, OPTIONS), "0003")
    own = scores[scores["example_id"] == "0003"]
    nearest = own.loc[own["nearest_other_similarity"].idxmax(), "nearest_other"]
    assert row["psnr"] == pytest.approx(own["psnr"].mean())
    assert row["own_rank"] == own["own_rank"].median()
    assert (row["nearest_other"], row["nearest_other_source"]) == (nearest, f"{nearest}.png")


def test_the_score_is_label_blind(scores: pd.DataFrame, pool: pd.DataFrame) -> None:
    swapped = pool.assign(split=pool["split"].to_numpy()[::-1])
    before = findings(scores, pool, OPTIONS).set_index("example_id")["score"]
    after = findings(scores, swapped, OPTIONS).set_index("example_id")["score"]
    pd.testing.assert_series_equal(before.sort_index(), after.sort_index(), check_exact=True)
    np.testing.assert_allclose(after.sort_index(), combine(scores, MARGIN), atol=5e-6)


def test_the_order_of_the_inputs_changes_nothing(scores: pd.DataFrame, pool: pd.DataFrame) -> None:
    shuffled = scores.sample(frac=1, random_state=3), pool.sample(frac=1, random_state=4)
    expected = findings(scores, pool, OPTIONS)
    pd.testing.assert_frame_equal(findings(*shuffled, OPTIONS), expected, check_exact=True)
    assert summary_of(*shuffled) == summary_of(scores, pool)


def test_a_duplicate_inherits_and_counts_once(scores: pd.DataFrame, pool: pd.DataFrame) -> None:
    doubled = with_duplicate(pool, "0002", "member")
    table = findings(scores, doubled, OPTIONS)
    copy, original = row_of(table, "9999"), row_of(table, "0002")
    own = {"example_id", "source", "representative"}
    inherited, owned = (pd.Series(one).drop(list(own)) for one in (copy, original))
    assert inherited.equals(owned)
    assert row_of(findings(scores, pool, OPTIONS), "0002")["q_value"] == copy["q_value"]
    summary = summary_of(scores, doubled)
    assert (summary.counts.duplicates, summary.counts.member_groups) == (1, N)
    assert (summary.flagged.groups, summary.flagged.rows) == (16, 17)


def test_a_group_on_both_sides_counts_once_on_the_side_of_its_representative(
    scores: pd.DataFrame, pool: pd.DataFrame
) -> None:
    plain = findings(scores, pool, OPTIONS)
    spanning = with_duplicate(pool, CONTROLS[0], "member")
    table = findings(scores, spanning, OPTIONS)
    row = row_of(table, "9999")
    assert row["reason"] == "its duplicate group is represented by a control"
    assert np.isnan(row["p_value"])
    assert not row["flagged"]
    assert row["score"] == row_of(table, CONTROLS[0])["score"]
    counts = summary_of(scores, spanning).counts
    assert (counts.member_groups, counts.control_groups, counts.spanning_groups) == (N, M, 1)
    both = with_duplicate(pool, MEMBERS[0], "control")
    table = findings(scores, both, OPTIONS)
    assert row_of(table, MEMBERS[0])["flagged"]
    assert np.isnan(row_of(table, "9999")["p_value"])
    assert row_of(table, "9999")["reason"] == ""
    assert table["p_value"].min() == plain["p_value"].min()


def test_what_could_not_be_scored_stays_in_the_table(
    scores: pd.DataFrame, pool: pd.DataFrame
) -> None:
    some = scores[~scores["example_id"].isin([MEMBERS[0], CONTROLS[0]])]
    table = findings(some, pool, OPTIONS)
    for example in (MEMBERS[0], CONTROLS[0]):
        row = row_of(table, example)
        assert (row["reason"], row["flagged"]) == ("could not be scored", False)
        assert np.isnan(row["score"])
    assert table["p_value"].min() == pytest.approx(1 / M)
    assert set(table["example_id"].tail(2)) == {MEMBERS[0], CONTROLS[0]}


def test_without_controls_there_is_no_p_and_no_verdict(
    scores: pd.DataFrame, pool: pd.DataFrame
) -> None:
    members = pool[pool["split"] == "member"]
    own = scores[scores["example_id"].isin(MEMBERS)]
    table = findings(own, members, OPTIONS)
    assert set(table["reason"]) == {"no controls"}
    assert table[["p_value", "q_value"]].isna().all(axis=None)
    assert not table["flagged"].any()
    summary = summary_of(own, members)
    assert summary.verdict.outcome is Outcome.INCONCLUSIVE
    assert (summary.dataset, summary.flagged.min_q, summary.flagged.smallest_count) == (
        None,
        None,
        None,
    )
    assert summary.levels[0].own_similarity_controls is None


def test_nothing_scanned_is_inconclusive(scores: pd.DataFrame, pool: pd.DataFrame) -> None:
    summary = summary_of(scores.iloc[:0], pool)
    assert summary.verdict.outcome is Outcome.INCONCLUSIVE
    assert summary.counts.unscored == N + M


def test_scores_of_another_data_set_are_refused(scores: pd.DataFrame, pool: pd.DataFrame) -> None:
    with pytest.raises(InputError, match=r"1 scored examples .* 0000; .* another data set"):
        findings(scores, pool.iloc[1:], OPTIONS)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"split": "train"}, r"splits \['train'\], expected member and control"),
        ({"representative": False}, "expected one representative"),
        ({"example_id": MEMBERS[0]}, "represents two groups"),
    ],
)
def test_a_pool_that_contradicts_itself_is_refused(
    scores: pd.DataFrame, pool: pd.DataFrame, change: dict[str, object], message: str
) -> None:
    some = scores[scores["example_id"] == MEMBERS[0]]
    with pytest.raises(InputError, match=message):
        findings(some, pool.assign(**change), OPTIONS)


def test_levels_are_described_one_by_one(scores: pd.DataFrame, pool: pd.DataFrame) -> None:
    one_step = scores.assign(attack=ONE_STEP, own_similarity=0.1)
    levels = per_level(
        pd.concat([one_step, scores]), pool, (MARGIN, primary("margin", attack=ONE_STEP))
    )
    assert [(x.attack, x.level) for x in levels] == [
        (name, sigma) for name in (ODE, ONE_STEP) for sigma in SIGMAS
    ]
    assert levels[0].snr_db == pytest.approx(20 * np.log10(2))
    margin = scores[scores["level"] == 0.5].groupby("example_id")["margin"].mean()
    assert levels[0].auc == pytest.approx(auc(margin[MEMBERS].array, margin[CONTROLS].array))
    assert levels[0].share_above == pytest.approx(16 / N)
    assert levels[3].own_similarity_members == pytest.approx(0.1)
    first = scores[(scores["level"] == 2) & scores["example_id"].isin(CONTROLS)]["own_rank"] == 1
    assert levels[2].rank1_controls == pytest.approx(first.mean())


def test_the_summary_is_json_and_agrees_with_the_findings(
    scores: pd.DataFrame, pool: pd.DataFrame
) -> None:
    summary = summary_of(scores, pool)
    read = json.loads(json.dumps(asdict(summary), allow_nan=False))
    assert read["verdict"]["outcome"] == "evidence"
    assert read["flagged"]["reproductions"] == len(COPIED)
    assert read["flagged"]["memberships"] == len(LEANT_ON)
    assert read["flagged"]["smallest_count"] == 5  # 60 / (.05 * 241) = 4.98
    assert read["dataset"]["excess"]["estimate"] == pytest.approx(16 / N, abs=0.1)
    assert len(read["levels"]) == len(SIGMAS)


def test_exchangeable_scores_are_rarely_evidence(pool: pd.DataFrame, scores: pd.DataFrame) -> None:
    one = scores[(scores["level"] == 2) & (scores["draw"] == 0)]
    rng = np.random.default_rng(9)
    outcomes = []
    for _ in range(25):
        chance = one.assign(margin=rng.normal(size=len(one)))
        outcomes.append(summary_of(chance, pool).verdict.outcome)
    assert outcomes.count(Outcome.EVIDENCE) <= 4  # the 97.5 % point of 25 at level .05
