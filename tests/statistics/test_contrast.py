"""Two contrasts of many features, and what pictures tell of them."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from features import LEVELS, Values, correlated, highest
from scipy import stats

from memaudit.statistics.contrast import Units, contrast
from memaudit.statistics.foretold import foretold


def units(values: Values, members: int, seed: int = 0) -> Units:
    """The first are members, each its own cluster."""
    order = np.random.default_rng(seed).permutation(len(values))
    return Units(values, np.arange(len(values)) < members, order)


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
