"""All attacks together: do members as a set differ from controls?"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from numpy.typing import NDArray
from scipy import stats
from scored import keys, primary

from memaudit.attacks.reconstruction import ODE, ONE_STEP
from memaudit.records import CLEAN, COPY, SCREEN, Column, Primary
from memaudit.statistics.conduct import Calibrated
from memaudit.statistics.contrast import Units, contrast
from memaudit.statistics.entities import calibrating
from memaudit.statistics.findings import calibrate
from memaudit.statistics.foretold import foretold
from memaudit.statistics.inference import Inference, infer
from memaudit.statistics.options import Options
from memaudit.statistics.summary import Conduct, summarise
from memaudit.statistics.verdict import Outcome

Values = NDArray[np.float64]
LOSS = Column("loss", "", higher=False)
OTHER = Primary("loss", (LOSS,), (LOSS,))
OPTIONS = Options(primary("margin"), (), (OTHER,), rounds=199)
LEVELS = (0.01, 0.05, 0.1)
SIGMAS = (0.5, 1.0, 2.0, 4.0)


def correlated(rng: np.random.Generator, n: int, d: int = 8, share: float = 0.5) -> Values:
    """Features that share a part of their variance."""
    common, own = rng.normal(size=(n, 1)), rng.normal(size=(n, d))
    return np.sqrt(share) * common + np.sqrt(1 - share) * own


def units(values: Values, members: int, seed: int = 0) -> Units:
    """The first are members, each its own cluster."""
    order = np.random.default_rng(seed).permutation(len(values))
    return Units(values, np.arange(len(values)) < members, order)


def highest(level: float, sets: int) -> float:
    return level + 2 * np.sqrt(level * (1 - level) / sets)


def test_p_values_are_uniform_where_nothing_was_trained_on() -> None:
    rng = np.random.default_rng(1)
    found = [contrast(units(correlated(rng, 120), 60, k), 199, k) for k in range(200)]
    for p_values in (
        np.array([one.p_value for one in found]),
        np.array([one.equal.p_value for one in found]),
        np.array([one.learned.p_value for one in found]),
    ):
        for level in LEVELS:
            assert np.mean(p_values <= level) <= highest(level, 200)
        assert 0.4 < p_values.mean() < 0.6


def test_p_values_keep_their_level_with_few_images_and_many_features() -> None:
    rng = np.random.default_rng(2)
    heavy = [rng.standard_t(2, size=(60, 40)) for _ in range(200)]
    p_values = np.array(
        [contrast(units(one, 20, k), 199, k).p_value for k, one in enumerate(heavy)]
    )
    for level in LEVELS:
        assert np.mean(p_values <= level) <= highest(level, 200)


def test_a_shift_that_no_feature_shows_is_seen_by_all_together() -> None:
    rng, alone, together = np.random.default_rng(3), [], []
    for k in range(40):
        values = correlated(rng, 240, share=0.8)
        values[:120, :3] += 0.2
        tests = stats.mannwhitneyu(values[:120], values[120:], alternative="greater")
        alone.append(8 * tests.pvalue.min() <= 0.01)
        together.append(contrast(units(values, 120, k), 199, k).p_value <= 0.01)
    assert np.mean(together) >= 0.6
    assert np.mean(alone) <= 0.2


def test_a_shift_of_all_features_is_seen_with_few_images() -> None:
    rng, found = np.random.default_rng(4), []
    for k in range(40):
        values = correlated(rng, 60, 30)
        values[:30] += 0.8
        found.append(contrast(units(values, 30, k), 199, k))
    assert np.mean([one.p_value <= 0.01 for one in found]) >= 0.6
    assert np.mean([one.learned.p_value <= 0.01 for one in found]) < 0.4


def test_with_sides_swapped_the_learned_difference_is_the_same_and_the_equal_one_opposite() -> None:
    values = correlated(np.random.default_rng(5), 90)
    values[:40, 0] += 1
    given = units(values, 40)
    one, other = contrast(given, 199, 0), contrast(replace(given, member=~given.member), 199, 0)
    assert other.learned.difference == pytest.approx(one.learned.difference)
    assert other.learned.p_value == one.learned.p_value
    assert other.equal.difference == pytest.approx(-one.equal.difference)
    assert other.equal.p_value == pytest.approx(1 - one.equal.p_value + 1 / 200)
    assert one.suspicious > 0.9
    assert other.suspicious < 0.1


def test_the_learned_difference_by_hand() -> None:
    """Five folds of a member and a control, 1 and -1; in the last fold the other way round."""
    values = np.array([1.0, 1, 1, 1, -1, -1, -1, -1, -1, 1])[:, None]
    clusters = np.array([0, 1, 2, 3, 4, 5, 6, 7, 8, 9])
    found = contrast(Units(values, np.arange(10) < 5, clusters), 99, 0)
    # the sum of the other folds is positive for each, so that the weight is 1 in all of them:
    # four folds differ by 2 and one by -2
    assert found.learned.difference == pytest.approx((4 * 2 - 2) / 5)
    assert found.learned.scores.tolist() == pytest.approx(values[:, 0].tolist())
    assert found.equal.difference == pytest.approx((4 - 1) / 5 - (1 - 4) / 5)


def test_the_equal_p_is_that_of_all_relabellings() -> None:
    values = np.array([[3.0, 2.0], [2.0, 3.0], [1.0, 1.0], [0.0, 1.0], [1.0, 0.0], [0.0, 0.0]])
    found = contrast(units(values, 3), 9999, 0)
    # the members have the three largest sums, which 1 of 20 labellings gives them
    assert found.equal.p_value == pytest.approx(1 / 20, abs=0.008)


def test_many_units_are_relabelled_by_the_normal_law_of_their_sums() -> None:
    """With two units more than are dealt one by one, the p-values are the same."""
    rng = np.random.default_rng(12)
    values = np.clip(correlated(rng, 5002) ** 3, -3, 3)
    clusters = np.r_[rng.permutation(5000), 5000, 5001]
    for shift in (0.0, 0.06):
        member = np.arange(5002) < 700
        both = Units(values + shift * member[:, None] * (np.arange(8) < 3), member, clusters)
        dealt, drawn = contrast(both.at(np.arange(5000)), 1999, 0), contrast(both, 1999, 0)
        assert drawn.equal.p_value == pytest.approx(dealt.equal.p_value, abs=0.05)
        assert drawn.learned.p_value == pytest.approx(dealt.learned.p_value, abs=0.05)
        assert drawn.p_value == pytest.approx(dealt.p_value, abs=0.05)


def test_constant_and_repeated_features_are_harmless() -> None:
    values = correlated(np.random.default_rng(6), 80)
    values[:40] += 0.3
    given = units(values, 40)
    with_constant = replace(given, values=np.column_stack([values, np.ones(80)]))
    one, other = contrast(given, 199, 0), contrast(with_constant, 199, 0)
    assert other.equal.p_value == one.equal.p_value
    assert other.learned.difference == pytest.approx(one.learned.difference, abs=0.1)
    thrice = contrast(replace(given, values=np.tile(values, 3)), 199, 0)
    assert thrice.equal.difference == pytest.approx(one.equal.difference)
    assert np.isfinite(thrice.learned.scores).all()
    nothing = contrast(replace(given, values=np.ones((80, 3))), 199, 0)
    assert (nothing.p_value, nothing.learned.difference, nothing.suspicious) == (1.0, 0.0, 0.5)


def test_pictures_foretell_many_scores_and_none_that_they_tell_nothing_of() -> None:
    rng = np.random.default_rng(7)
    seen = rng.normal(size=(500, 10))
    scores = rng.normal(size=(500, 3))
    scores[:, 0] += 2 * seen[:, 0]
    scores[:, 1] += 2 * seen[:, 1] ** 2
    left = scores - foretold(scores, seen, np.arange(500) % 5)
    assert left[:, :2].var(axis=0) == pytest.approx([1, 1], rel=0.25)
    assert left[:, 2].var() == pytest.approx(scores[:, 2].var(), rel=0.05)
    assert not foretold(scores, np.zeros((500, 0)), np.arange(500) % 5).any()
    assert not foretold(scores[:20], seen[:20], np.arange(20) % 5).any()


def test_an_image_is_foretold_by_others_only() -> None:
    rng = np.random.default_rng(8)
    seen = rng.normal(size=(200, 4))
    scores, fold = seen + rng.normal(size=(200, 4)), np.arange(200) % 5
    before = foretold(scores, seen, fold)
    changed = np.where((fold == 0)[:, None], -scores, scores)
    after = foretold(changed, seen, fold)
    first, again = before[fold == 0][:, 0], after[fold == 0][:, 0]
    if again.any():  # the stretch may differ, the shape may not
        assert abs(np.corrcoef(first, again)[0, 1]) > 0.9


# From here on with tables of scores, as a scan has them.


def ids_of(n: int) -> list[str]:
    return [f"{k:05}" for k in range(n)]


def scores_of(values: Values, ids: list[str] | None = None) -> pd.DataFrame:
    """Half of the features [n, 8] are levels of the reconstruction, half of another attack."""
    names = ids or ids_of(len(values))
    parts = []
    for attack, column, sign, some in (
        (ODE, "margin", 1, slice(4)),
        ("loss", "loss", -1, slice(4, 8)),
    ):
        rows = keys(names, SIGMAS, attack=attack)
        parts.append(rows.assign(**{column: sign * values[:, some].ravel()}))
    table = pd.concat(parts, ignore_index=True)
    return table.assign(snr_db=-20 * np.log10(table["sigma"]))


def pool_of(n: int, members: int, ids: list[str] | None = None, **columns: object) -> pd.DataFrame:
    names = ids or ids_of(n)
    told = {
        "example_id": names,
        "split": ["member"] * members + ["control"] * (n - members),
        "source": names,
        "prompt": "",
        "group": range(n),
        "representative": True,
        "spans": False,
        "cluster": "",
        "left_out": "",
    }
    return pd.DataFrame({**told, **columns})


def inferred(
    scores: pd.DataFrame, pool: pd.DataFrame, options: Options = OPTIONS
) -> Inference | None:
    """What all attacks say, without the findings of one of them."""
    sides, none = calibrating(pool, pd.Index(scores["example_id"].unique())), pd.DataFrame()
    return infer(Calibrated(none, scores, pool, sides, none, none, None), options)


def shifted(n: int, members: int, shift: float, seed: int = 0) -> Values:
    values = correlated(np.random.default_rng(seed), n)
    values[:members] += shift
    return values


def test_features_are_the_columns_and_levels_of_all_attacks_on_their_suspicious_side() -> None:
    found = inferred(scores_of(shifted(160, 60, 1.0)), pool_of(160, 60))
    assert found is not None
    assert found.attacks == ("loss", ODE)
    assert (found.features, found.members, found.controls) == (8, 60, 100)
    assert found.differs
    assert found.closer
    assert found.equal.auc > 0.7
    assert {one.column for one in found.strongest} == {"margin", "loss"}
    assert all(one.difference > 0.3 for one in found.strongest)
    away = inferred(scores_of(shifted(160, 60, -1.0)), pool_of(160, 60))
    assert away is not None
    assert (away.differs, away.closer) == (True, False)


def test_the_order_of_rows_does_not_matter() -> None:
    scores, pool = scores_of(shifted(120, 50, 0.5)), pool_of(120, 50)
    turned = scores.sample(frac=1, random_state=1), pool.sample(frac=1, random_state=2)
    assert inferred(*turned) == inferred(scores, pool)


def test_images_of_a_cluster_count_once() -> None:
    values, names = shifted(90, 40, 0.4), ids_of(90)
    once = inferred(scores_of(values), pool_of(90, 40))
    ids = [f"{name}-{k}" for name in names for k in range(3)]
    pool = pool_of(270, 120, ids, cluster=[one.partition("-")[0] for one in ids])
    thrice = inferred(scores_of(np.repeat(values, 3, axis=0), ids), pool)
    assert once is not None
    assert thrice is not None
    assert (thrice.members, thrice.controls) == (once.members, once.controls) == (40, 50)
    assert thrice.p_value == once.p_value
    assert thrice.learned.difference == pytest.approx(once.learned.difference)


def test_clusters_move_together_so_that_alike_images_are_no_evidence() -> None:
    p_values = []
    for k in range(60):
        rng = np.random.default_rng(k)
        cluster = np.repeat(np.arange(50), 8)
        values = correlated(rng, 50)[cluster] + 0.5 * correlated(rng, 400)
        pool = pool_of(400, 200, cluster=[f"photograph {one}" for one in cluster])
        found = inferred(scores_of(values), pool, replace(OPTIONS, seed=k))
        assert found is not None
        p_values.append(found.p_value)
    for level in LEVELS:
        assert np.mean(np.array(p_values) <= level) <= highest(level, 60)


def test_what_pictures_tell_of_the_features_is_no_sign_of_training() -> None:
    raw, kept = [], []
    for k in range(10):
        rng = np.random.default_rng(k)
        seen = rng.normal(size=(600, 4))
        seen[:300, 0] += 0.6
        values = 0.7 * seen[:, :1] + correlated(rng, 600)
        pool = pool_of(600, 300)
        looks = {f"look_{j:02}": seen[:, j] for j in range(4)}
        blind, told = (
            inferred(scores_of(values), pool),
            inferred(scores_of(values), pool.assign(**looks)),
        )
        assert blind is not None
        assert told is not None
        assert blind.pictures_p is None
        assert told.explained > 0.15
        raw.append(blind.differs)
        kept.append(told.differs and not told.shifted)
    assert np.mean(raw) >= 0.5
    assert np.mean(kept) <= 0.1


def test_a_memorized_kind_of_picture_is_not_predicted_away() -> None:
    rng = np.random.default_rng(9)
    seen = rng.normal(size=(400, 4))
    kind = rng.random(400) < 0.3
    seen[kind, 0] += 3
    values = correlated(rng, 400)
    values[:200][kind[:200]] += 2
    looks = {f"look_{j:02}": seen[:, j] for j in range(4)}
    found = inferred(scores_of(values), pool_of(400, 200, **looks))
    assert found is not None
    assert found.differs
    assert not found.shifted


def test_how_few_images_are_enough() -> None:
    few, some, none = (
        inferred(scores_of(shifted(400, 200, shift)), pool_of(400, 200))
        for shift in (3.0, 0.6, 0.0)
    )
    assert few is not None
    assert some is not None
    assert none is not None
    assert few.enough == 10
    assert some.enough is not None
    assert 20 <= some.enough <= 100
    assert none.enough is None


def test_more_than_half_of_the_images_may_be_needed() -> None:
    found = inferred(scores_of(shifted(60, 30, 1.0, 3)), pool_of(60, 30))
    assert found is not None
    assert found.differs
    assert found.enough == 30


@pytest.mark.parametrize(("n", "members"), [(100, 19), (100, 81), (100, 0), (100, 100)])
def test_few_images_of_a_side_say_nothing_of_the_set(n: int, members: int) -> None:
    assert inferred(scores_of(shifted(n, members, 1.0)), pool_of(n, members)) is None


def test_one_feature_alone_is_no_combination() -> None:
    scores = scores_of(shifted(100, 50, 1.0))
    one = scores[(scores["attack"] == ODE) & (scores["sigma"] == 1.0)]
    assert inferred(one, pool_of(100, 50)) is None
    two = scores[scores["sigma"] == 1.0]
    found = inferred(two, pool_of(100, 50))
    assert found is not None
    assert found.features == 2
    alike = two.assign(loss=two["loss"].where(two["loss"].isna(), 1.0))
    assert inferred(alike, pool_of(100, 50)) is None


def test_an_adaptive_scan_is_read_by_what_all_images_have() -> None:
    values = shifted(120, 50, 0.5)
    scores = scores_of(values)
    screen = keys(ids_of(120), SIGMAS, attack=ONE_STEP, phase=SCREEN)
    screen = screen.assign(margin=values[:, 4:].ravel(), snr_db=0.0)
    top = screen.groupby("example_id")["margin"].mean().nlargest(30).index
    both = pd.concat([screen, scores[scores["example_id"].isin(top)]], ignore_index=True)
    found = inferred(both, pool_of(120, 50))
    assert found is not None
    assert (found.attacks, found.features) == ((ONE_STEP,), 4)
    assert {one.phase for one in found.strongest} == {SCREEN}


def test_noisy_copies_count_where_a_verdict_rests_on_them() -> None:
    values = shifted(120, 50, 0.5)
    copies = keys(ids_of(120), SIGMAS, of=COPY)
    copies = copies.assign(copy_correlation=values[:, 4:].ravel(), snr_db=0.0)
    scores = pd.concat([scores_of(values), copies], ignore_index=True)
    found = inferred(scores, pool_of(120, 50))
    assert found is not None
    assert found.features == 12
    doubted = replace(OPTIONS, primary=replace(OPTIONS.primary, inputs=(CLEAN,)))
    left = inferred(scores, pool_of(120, 50), doubted)
    assert left is not None
    assert left.features == 8


def test_it_has_no_part_in_the_verdict() -> None:
    """Only the other attack tells the sides apart."""
    values = correlated(np.random.default_rng(11), 300)
    values[:150, 4:] += 2
    data = calibrate(scores_of(values), pool_of(300, 150), OPTIONS)
    summary = summarise(data, OPTIONS, Conduct(self_checked=True))
    assert summary.inference is not None
    assert summary.inference.differs
    assert summary.verdict.outcome is not Outcome.EVIDENCE
