"""The test of the frozen noise: exact without the copies, sharp with them."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd
import pytest
import torch
from numpy.typing import NDArray
from scipy import stats

from memaudit.attacks.base import Shard
from memaudit.attacks.reconstruction import ODE, ONE_STEP
from memaudit.attacks.scores import copy_scores
from memaudit.corruption.noise import corrupt, frozen_noise, generator, standard_normal
from memaudit.models.ambient import Ambient
from memaudit.models.closed_form import AmbientClosedForm, ClosedForm
from memaudit.records import CLEAN, FULL
from memaudit.statistics.copies import correlation_test, signed_rank_p
from memaudit.statistics.probes import Probe

SIGMA_N, SHAPE = 0.5, (3, 8, 8)
IDS = [f"image {k}" for k in range(12)]
PROBE = Probe(ONE_STEP)


def images(seed: int) -> torch.Tensor:
    return torch.rand((len(IDS), *SHAPE), generator=torch.Generator().manual_seed(seed)) * 2 - 1


def shard(x0: torch.Tensor, z: torch.Tensor, fresh: torch.Tensor) -> Shard:
    """The images, and their copies under frozen noise z; nothing here looks at pixels."""
    pixels, positions = np.zeros((len(IDS), 8, 8, 3), np.uint8), np.arange(len(IDS))
    vectors = np.ones((len(IDS), 1), np.float32)
    return Shard(IDS, pixels, x0, positions, x0 + SIGMA_N * z, fresh, vectors)


def rows(model: ClosedForm, x0: torch.Tensor, seed: int, sigmas: tuple[float, ...]) -> pd.DataFrame:
    """Scores of one-step reconstructions of clean images, two draws."""
    z, fresh = (frozen_noise(IDS, SHAPE, SIGMA_N, seed, draw) for draw in (0, 1))
    vectors = np.ones((len(IDS), 1), np.float32)
    images_and_copies = shard(x0, z, fresh)
    tables = []
    for sigma in sigmas:
        for draw in (0, 1):
            generators = [generator(seed, name, sigma, draw) for name in IDS]
            level = torch.full((len(IDS),), sigma)
            h = model.denoise(corrupt(x0, level, standard_normal(generators, SHAPE)), level)
            found = copy_scores(h, vectors, images_and_copies, list(range(len(IDS))))
            place = {"example_id": IDS, "attack": ONE_STEP, "input": CLEAN, "phase": FULL}
            place |= {"level": sigma, "draw": draw}
            tables.append(pd.concat([pd.DataFrame(place), found], axis=1))
    return pd.concat(tables, ignore_index=True)


def p_value(model: ClosedForm, x0: torch.Tensor, seed: int) -> float:
    test = correlation_test(rows(model, x0, seed, (1.5,)), IDS, PROBE, SIGMA_N)
    assert test is not None
    return test.p_value


def test_p_is_uniform_for_a_model_that_never_saw_the_copies() -> None:
    x0 = images(0)
    p = [p_value(ClosedForm(images(1)), x0, seed) for seed in range(200)]
    assert stats.kstest(p, "uniform").pvalue > 0.01
    assert np.mean(np.array(p) <= 0.05) <= 0.05 + 2 * np.sqrt(0.05 * 0.95 / 200)


def test_p_is_uniform_for_a_model_that_memorized_the_clean_images() -> None:
    x0 = images(0)
    p = [p_value(ClosedForm(x0 + 0.01 * images(2)), x0, seed) for seed in range(200)]
    assert stats.kstest(p, "uniform").pvalue > 0.01


def test_the_memorizer_of_the_copies_is_always_found() -> None:
    x0, training = images(0), Ambient("ambient", SIGMA_N, 0)
    for seed in range(20):
        copies = x0 + SIGMA_N * frozen_noise(IDS, SHAPE, SIGMA_N, seed)
        assert p_value(AmbientClosedForm(copies, training=training), x0, seed) == 2.0 ** -len(IDS)


def test_levels_are_tested_apart_and_those_not_above_sigma_n_are_left_out() -> None:
    x0, training = images(0), Ambient("ambient", SIGMA_N, 0)
    copies = x0 + SIGMA_N * frozen_noise(IDS, SHAPE, SIGMA_N, 0)
    model = AmbientClosedForm(copies, training=training)
    table = rows(model, x0, 0, (0.3, 0.5, 1.5, 3.0))
    test = correlation_test(table, IDS, PROBE, SIGMA_N)
    assert test is not None
    assert [level.sigma for level in test.levels] == [1.5, 3.0]
    assert test.p_value == 2 * min(level.p_value for level in test.levels)
    assert test.returned
    assert correlation_test(table[table["level"] <= 0.5], IDS, PROBE, SIGMA_N) is None
    assert correlation_test(table, IDS, Probe(ODE), SIGMA_N) is None


def test_at_sigma_n_the_noise_of_a_scan_may_be_the_frozen_noise() -> None:
    """Why that level is left out: there a model that only returns its input looks guilty."""

    class Echo(ClosedForm):
        def denoise(
            self,
            x: torch.Tensor,
            sigma: torch.Tensor,  # noqa: ARG002
            prompts: Sequence[str] = (),  # noqa: ARG002
        ) -> torch.Tensor:
            return x

    x0 = images(0)
    draws = rows(Echo(x0), x0, 0, (SIGMA_N,)).groupby("draw")["copy_correlation"].mean()
    assert draws[0] == pytest.approx(1)
    assert abs(draws[1]) < 0.1


@pytest.mark.parametrize("n", [8, 700])
def test_signed_ranks_are_those_of_wilcoxon(n: int) -> None:
    differences: NDArray[np.float64] = np.random.default_rng(0).normal(0.1, 1, n)
    method = "exact" if n == 8 else "asymptotic"
    expected = stats.wilcoxon(differences, alternative="greater", method=method).pvalue
    assert signed_rank_p(differences) == pytest.approx(expected)
    assert signed_rank_p(np.append(differences, 0.0)) == pytest.approx(expected)
    assert signed_rank_p(np.zeros(5)) == 1


def test_scores_against_a_copy_are_cosines_and_distances() -> None:
    x0 = images(0)
    z = frozen_noise(IDS, SHAPE, SIGMA_N, 0)
    vectors = np.full((2, 1), 0.5, np.float32)
    table = copy_scores(torch.stack([x0[3] + 0.2 * z[3], x0[5]]), vectors, shard(x0, z, -z), [3, 5])
    assert table["copy_correlation"].tolist() == [pytest.approx(1), 0]
    assert table["fresh_correlation"].tolist() == [pytest.approx(-1), 0]
    assert table["copy_similarity"].tolist() == [0.5, 0.5]
    rms = z.square().flatten(1).mean(1).sqrt()
    assert table["copy_l2"][0] == pytest.approx(float((SIGMA_N - 0.2) * rms[3]) / 2, rel=1e-5)
    assert table["copy_l2"][1] == pytest.approx(float(SIGMA_N * rms[5]) / 2, rel=1e-5)
