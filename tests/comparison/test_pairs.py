"""Paired statistics whose answers are known."""

from itertools import product

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from memaudit.attacks.reconstruction import ODE, ONE_STEP
from memaudit.comparison.difference import Asked, compare_pairs
from memaudit.comparison.flags import Flagging, flags_difference
from memaudit.comparison.intervals import (
    CONFIDENCE,
    Interval,
    bootstrap,
    discordant_interval,
    sign_flip_p,
)
from memaudit.comparison.modes import mode_evidence
from memaudit.comparison.pairing import pair
from memaudit.comparison.shares import distributions, shares
from memaudit.records import CLEAN, FULL, Column, Primary
from memaudit.statistics.effects import excess_interval
from memaudit.statistics.entities import Compared, Sides
from memaudit.statistics.probes import Probe
from memaudit.statistics.sample import Sample

MEMBERS = tuple(f"a{k:03}" for k in range(40))
CONTROLS = tuple(f"b{k:03}" for k in range(100))
SIDES = Sides(MEMBERS, CONTROLS)
SIGMAS = (0.5, 2.0)
ASKED = Asked("a", "b", 0.05, 0)
PRIMARIES = {name: Primary(name, (Column("margin", ""),)) for name in (ODE, ONE_STEP)}


def scores(memorized=0, ability=0.0, attack=ODE, sigmas=SIGMAS, draws=2, seed=0):
    """Rows where the first members come back, and `ability` lifts all images alike."""
    rows = pd.MultiIndex.from_product(
        [[*MEMBERS, *CONTROLS], sigmas, range(draws)], names=["example_id", "level", "draw"]
    ).to_frame(index=False)
    rows = rows.assign(attack=attack, input=CLEAN, phase=FULL)
    own = np.random.default_rng(seed).uniform(0.1, 0.3, len(rows)) + ability
    own += 0.6 * rows["example_id"].isin(MEMBERS[:memorized])
    return rows.assign(
        snr_db=-20 * np.log10(rows["level"]), own_similarity=own, margin=own - 0.2 - ability
    )


def paired(base, run, sides=SIDES):
    return pair(base, run, sides, Probe(ODE), PRIMARIES[ODE])


def compared(base, run):
    return {row.level: row for row in compare_pairs(paired(base, run), ASKED)}


def test_the_sign_flip_p_is_that_of_all_sign_vectors():
    differences = np.array([0.3, -0.1, 0.25, 0.0, 0.4, 0.05, -0.2])
    moved = differences[differences != 0]
    sums = [abs(np.dot(signs, moved)) for signs in product((-1, 1), repeat=len(moved))]
    share = np.mean(np.array(sums) >= abs(moved.sum()) - 1e-12)
    assert sign_flip_p(differences) == pytest.approx(share)


def test_differences_all_of_one_sign_have_the_smallest_p_there_is():
    assert sign_flip_p(np.full(10, 0.2)) == 2 / 2**10
    assert sign_flip_p(np.full(200, 0.2)) == 1 / 10_000
    assert sign_flip_p(np.zeros(50)) == 1
    assert sign_flip_p(np.zeros(0)) == 1


def test_random_signs_agree_with_enumeration_and_with_the_normal_law():
    differences = np.random.default_rng(1).normal(0.1, 0.3, 13)
    twice = np.concatenate([differences, [1e-9, -1e-9]])  # one too many to try all signs
    assert sign_flip_p(twice) == pytest.approx(sign_flip_p(differences), abs=0.02)
    many = np.random.default_rng(2).normal(0.01, 1, 20_000)
    assert sign_flip_p(many) == pytest.approx(sign_flip_p(np.append(many, 1e-9)), abs=0.02)


def test_sign_flip_p_is_uniform_without_a_difference():
    rng = np.random.default_rng(0)
    p = np.array([sign_flip_p(rng.normal(0, 1, 30), rounds=199, seed=k) for k in range(400)])
    assert 0.02 <= np.mean(p <= 0.05) <= 0.09
    assert 0.43 <= np.mean(p <= 0.5) <= 0.57


def test_the_bootstrap_interval_of_a_mean_covers_it_as_often_as_it_says():
    values = np.random.default_rng(0).normal(0.1, 1, (400, 15))  # few: where it is hardest
    [*found] = bootstrap(lambda m, _: list(values @ m / m.sum()), (np.arange(15), np.arange(0)))
    assert np.mean([one.low <= 0.1 <= one.high for one in found]) > CONFIDENCE - 0.02
    widths = [one.high - one.low for one in found]
    student = 2 * stats.t.ppf(1 - (1 - CONFIDENCE) / 2, 14) * values.std(axis=1, ddof=1) / 15**0.5
    assert np.mean(widths / student) == pytest.approx(1, abs=0.05)


def test_an_interval_of_few_images_all_alike_is_not_certain():
    alike = discordant_interval(0, 15, 15)
    assert alike.estimate == -1
    assert -1 <= alike.low < -0.95 < alike.high < -0.4
    nothing = discordant_interval(0, 0, 15)
    assert nothing.low == -nothing.high < -0.2
    assert nothing.sign == 0


def test_a_run_against_itself_is_all_ties_at_every_level():
    rows = scores(10)
    found = compared(rows, rows)
    assert list(found) == ["all", "0.5", "2"]
    for row in found.values():
        assert (row.wins, row.ties, row.losses) == (0, 40, 0)
        assert row.sign_flip_p == 1
        assert row.own_similarity == row.beyond_controls == Interval(0, 0, 0)
        assert (row.flags.newly, row.flags.no_longer) == (0, 0)
        assert row.excess.difference.estimate == 0
        assert row.direction == "inconclusive"


def test_a_run_that_memorized_less_wins_and_the_reverse_loses():
    less, more = (
        compared(*both)["all"] for both in ((scores(40), scores(0)), (scores(0), scores(40)))
    )
    assert (less.direction, more.direction) == ("less", "more")
    assert less.wins == more.losses == 40
    assert less.own_similarity.estimate == pytest.approx(-0.6)
    assert less.beyond_controls.estimate == pytest.approx(-0.6)
    assert (less.flags.base, less.flags.run, less.flags.no_longer) == (40, 0, 40)
    assert less.excess.difference.high < -0.7
    assert less.sign_flip_p == more.sign_flip_p == 1e-4


def test_a_model_that_brings_all_images_back_better_does_not_memorize_more():
    row = compared(scores(0), scores(0, ability=0.3))["all"]
    assert row.own_similarity.estimate == pytest.approx(0.3)
    assert row.losses == 40
    assert row.beyond_controls.estimate == pytest.approx(0, abs=1e-9)
    assert row.direction == "inconclusive"


def test_rare_memorization_shows_in_the_excess():
    row = compared(scores(12), scores(0))["all"]
    assert row.excess.difference.estimate == pytest.approx(-0.3, abs=0.05)
    assert row.excess.difference.high < 0
    assert row.flags.no_longer == 12
    assert row.direction == "less"


def test_measures_that_contradict_each_other_are_mixed():
    base, run = scores(0, seed=1), scores(14, seed=1)
    members = run["example_id"].isin(MEMBERS[14:])
    run.loc[members, "own_similarity"] -= 1.2  # most fall, the tail grows
    row = compared(base, run)["all"]
    assert row.beyond_controls.high < 0 < row.excess.difference.low
    assert row.direction == "mixed"


def test_the_excess_of_each_run_is_that_of_its_scan():
    base, run = scores(12), scores(3)
    row = compared(base, run)["0.5"]
    for rows, found in ((base, row.excess.base), (run, row.excess.run)):
        at = rows[rows["level"] == 0.5].groupby("example_id")["margin"].mean()
        sides = [Sample.of(at[[*ids]].to_numpy(), ids) for ids in (MEMBERS, CONTROLS)]
        exact = excess_interval(*sides)
        assert found == exact.estimate
    assert row.excess.difference.estimate == pytest.approx(row.excess.run - row.excess.base)


def test_only_draws_and_levels_that_both_have_are_paired():
    base, run = scores(5, draws=3), scores(5, draws=2, sigmas=(2.0, 4.0))
    pairs = paired(base, run)
    assert pairs.draws == 2
    assert [one.place.name for one in pairs.places()] == ["all", "2"]
    assert len(pairs.base) == len(pairs.run) == 140 * 2


def test_of_images_scanned_in_part_only_those_in_both_are_paired():
    base, run = scores(5), scores(5)
    base = base[base["example_id"].isin([*MEMBERS[:20], *CONTROLS[:60]])]
    run = run[run["example_id"].isin([*MEMBERS[10:], *CONTROLS])]
    row = compared(base, run)["all"]
    assert (row.members, row.controls) == (10, 60)


def halves(score, n):
    return Compared(Sample.of(score[:n]), Sample.of(score[n:]))


def test_flags_of_two_runs_of_one_law_differ_by_chance():
    """Flags hang together on a few controls, which an interval of independent ones would miss."""
    rng, left_out = np.random.default_rng(0), 0
    n, m, rounds = 200, 100, 40
    for seed in range(rounds):
        runs = rng.standard_normal((2, n + m)) + 2 * (np.arange(n + m) < n)
        before, after = (Flagging.of(halves(score, n), 0.05) for score in runs)
        [drawn] = bootstrap(
            lambda a, b, ends=(before, after): [ends[1].share(a, b) - ends[0].share(a, b)],
            (np.arange(n), np.arange(m)),
            rounds=400,
            seed=seed,
        )
        flags = flags_difference(before, after, drawn)
        assert drawn.estimate == pytest.approx((flags.run - flags.base) / n)
        left_out += flags.difference.sign != 0
    assert left_out <= stats.binom.ppf(0.999, rounds, 1 - CONFIDENCE)


def tiled(rows, tiles=8):
    """Each image as so many tiles, alike in every score."""
    copies = [rows.assign(example_id=rows["example_id"] + f"t{k}") for k in range(tiles)]
    return pd.concat(copies, ignore_index=True)


def test_tiles_of_one_photograph_make_no_difference_surer():
    """Tiles that tell the same count once where their photographs are the clusters."""
    base, run = scores(12), scores(5, seed=1)
    clusters = {f"{one}t{k}": one for one in (*MEMBERS, *CONTROLS) for k in range(8)}
    sides = [tuple(f"{one}t{k}" for one in side for k in range(8)) for side in (MEMBERS, CONTROLS)]
    alone = compared(base, run)["all"]
    pairs = paired(tiled(base), tiled(run), Sides(*sides, clusters))
    found = compare_pairs(pairs, ASKED)[0]
    assert (found.members, found.controls) == (8 * 40, 8 * 100)
    for name in ("own_similarity", "beyond_controls"):
        once, tiles = getattr(alone, name), getattr(found, name)
        assert tiles.estimate == pytest.approx(once.estimate)
        assert (tiles.low, tiles.high) == pytest.approx((once.low, once.high), abs=0.01)
    assert found.sign_flip_p == pytest.approx(alone.sign_flip_p, abs=0.01)
    once, tiles = alone.flags.difference, found.flags.difference
    assert tiles.estimate == pytest.approx(once.estimate)
    assert (tiles.low, tiles.high) == pytest.approx((once.low, once.high), abs=0.02)
    once, tiles = alone.excess.difference, found.excess.difference
    assert tiles.high - tiles.low == pytest.approx(once.high - once.low, abs=0.1)


def test_without_controls_nothing_is_decided():
    pairs = paired(scores(40), scores(0), Sides(MEMBERS, ()))
    row = compare_pairs(pairs, ASKED)[0]
    assert row.own_similarity.estimate == pytest.approx(-0.6)
    assert (row.beyond_controls, row.flags, row.excess) == (None, None, None)
    assert row.direction == "inconclusive"


def test_each_attack_is_judged_by_itself():
    rows = pd.concat([scores(20), scores(0, attack=ONE_STEP)])
    found = mode_evidence("run", rows, SIDES, PRIMARIES, 0.05)
    assert [(one.attack, one.evidence) for one in found] == [(ODE, True), (ONE_STEP, False)]
    assert [one.flagged for one in found] == [20, 0]


def test_shares_count_the_images_at_or_above_each_threshold():
    rows = scores(0)
    rows["own_similarity"] = rows["example_id"].map(
        dict(zip([*MEMBERS, *CONTROLS], [*np.linspace(0.025, 1, 40), *[0.5] * 100], strict=True))
    )
    table = shares(list(distributions("run", rows, SIDES))).set_index(["level", "split"])
    assert table.loc[("all", "control"), "above_0.5"] == 1
    assert table.loc[("all", "control"), "above_0.75"] == 0
    members = table.loc[("0.5", "member")]
    assert [members[f"above_{t}"] * 40 for t in (0.5, 0.75, 0.9, 0.95, 0.99)] == [21, 11, 5, 3, 1]
