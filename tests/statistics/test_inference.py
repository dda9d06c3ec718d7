"""All attacks together: do members as a set differ from controls?"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from features import LEVELS, Values, correlated, highest
from scored import keys, primary

from memaudit.attacks.reconstruction import ODE, ONE_STEP
from memaudit.records import CLEAN, COPY, SCREEN, Column, Primary
from memaudit.statistics.conduct import Calibrated
from memaudit.statistics.entities import calibrating
from memaudit.statistics.findings import calibrate
from memaudit.statistics.inference import Inference, infer
from memaudit.statistics.options import Options
from memaudit.statistics.summary import Conduct, summarise
from memaudit.statistics.verdict import Outcome

LOSS = Column("loss", "", higher=False)
OTHER = Primary("loss", (LOSS,), (LOSS,))
OPTIONS = Options(primary("margin"), (), (OTHER,), rounds=199)
SIGMAS = (0.5, 1.0, 2.0, 4.0)


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
    return table.assign(snr_db=-20 * np.log10(table["level"]))


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
    one = scores[(scores["attack"] == ODE) & (scores["level"] == 1.0)]
    assert inferred(one, pool_of(100, 50)) is None
    two = scores[scores["level"] == 1.0]
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
