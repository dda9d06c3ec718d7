"""Three results that the calibration rests on, reproduced on data and on exact models."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from scipy import stats
from skimage import data as photographs
from torch import Tensor

from memaudit.attacks.corrupted import Corrupted
from memaudit.attacks.reconstruction import Solve
from memaudit.corruption.noise import corrupt, generator, standard_normal
from memaudit.data import resize
from memaudit.models.closed_form import ClosedForm
from memaudit.models.codec import decode_pixels, encode_pixels
from memaudit.records import Vectors
from memaudit.similarity.embed import Embedder, load_embedder
from memaudit.statistics.conformal import benjamini_hochberg, conformal_p, smallest_count
from memaudit.statistics.dataset import upper_tail
from memaudit.statistics.sample import Sample

Q = 0.05
SIGMA = 0.5  # a model that has seen an image returns it, one that has not returns another


def flagged(members: NDArray[np.float64], controls: NDArray[np.float64], q: float = Q) -> int:
    return int(np.count_nonzero(benjamini_hochberg(conformal_p(members, controls)) <= q))


@pytest.mark.parametrize("members", [100, 1000])
@pytest.mark.parametrize("controls", [200, 1000, 5000])
@pytest.mark.parametrize("q", [0.05, 0.1])
def test_as_many_as_the_reach_are_flagged_and_one_fewer_is_not(
    members: int, controls: int, q: float
) -> None:
    rng = np.random.default_rng(0)
    others = rng.normal(size=controls)
    for fewer in (0, 1):
        planted = smallest_count(members, controls, q) - fewer
        # the others lie in the middle of the controls, so only the planted can be flagged
        scores = np.r_[np.full(planted, 99.0), np.zeros(members - planted)]
        assert flagged(scores, others, q) == (0 if fewer else planted)


@pytest.mark.parametrize(
    ("members", "controls", "plain"), [(1000, 1000, 0.09), (5000, 1000, 0.22), (20_000, 1000, 0.34)]
)
def test_a_plain_binomial_calls_chance_an_excess_and_the_beta_binomial_does_not(
    members: int, controls: int, plain: float
) -> None:
    rng, rounds, level = np.random.default_rng(1), 500, 0.025
    pool = rng.normal(size=members + controls)
    found, plainly = [], []
    for seed in range(rounds):  # random splits of one pool into members and controls
        rng.shuffle(pool)
        sides = Sample.of(pool[:members]), Sample.of(pool[members:])
        found.append(upper_tail(*sides, rounds=999, seed=seed).p_value)
        above = np.count_nonzero(sides[0].values > np.sort(sides[1].values)[-10])
        plainly.append(stats.binom.sf(above - 1, members, 0.01))
    exact, naive = (np.mean(np.array(p) <= level) for p in (found, plainly))
    assert exact <= level + 2 * np.sqrt(level * (1 - level) / rounds)
    assert naive == pytest.approx(plain, abs=3 * np.sqrt(plain * (1 - plain) / rounds))


@pytest.fixture(scope="module")
def cut() -> Tensor:
    """240 different 16 px tiles of photographs in random order, [240, 3, 16, 16] in [-1, 1]."""
    found = [
        resize(photograph[y : y + 32, x : x + 32], (16, 16), "stretch")
        for photograph in (photographs.astronaut(), photographs.coffee(), photographs.chelsea())
        for y in range(0, photograph.shape[0] - 31, 32)
        for x in range(0, photograph.shape[1] - 31, 32)
        if photograph[y : y + 32, x : x + 32].std() > 30
    ]
    order = np.random.default_rng(0).permutation(len(found))[:240]
    return encode_pixels(torch.from_numpy(np.stack(found)[order]).permute(0, 3, 1, 2), 3)


@dataclass(frozen=True)
class Scanned:
    """Images [B, 3, H, W], and how well a model gives them back from noise of their own."""

    images: Tensor
    embedder: Embedder = field(default_factory=lambda: load_embedder("pixels"))

    def own_similarity(self, model: ClosedForm) -> NDArray[np.float64]:
        """Of the one-step reconstructions. Another model gets the same draws."""
        generators = [generator(0, str(k), SIGMA, 0) for k in range(len(self.images))]
        levels = torch.full((len(self.images),), SIGMA)
        x = corrupt(self.images, levels, standard_normal(generators, model.shape))
        back = Solve("one-step")(model, Corrupted(x, levels, generators, []))
        products = self._vectors(back) * self._sources
        similarity: NDArray[np.float64] = products.sum(axis=1, dtype=np.float64)
        return similarity

    @cached_property
    def _sources(self) -> Vectors:
        return self._vectors(self.images)

    def _vectors(self, images: Tensor) -> Vectors:
        return self.embedder.embed(decode_pixels(images).permute(0, 2, 3, 1).numpy())


def test_a_reference_trained_on_the_controls_makes_an_innocent_target_look_guilty(
    cut: Tensor,
) -> None:
    pool, seen_by_target, seen_by_reference = Scanned(cut[:140]), cut[140:190], cut[190:]
    target = pool.own_similarity(ClosedForm(seen_by_target))
    clean = target - pool.own_similarity(ClosedForm(seen_by_reference))
    rng, runs = np.random.default_rng(2), 20
    honest, trapped = [], []
    for _ in range(runs):  # no model has seen the members: which images they are is chance
        order = rng.permutation(140)
        members, controls = order[:50], order[50:]
        twin = target - pool.own_similarity(ClosedForm(pool.images[controls]))
        honest.append(flagged(clean[members], clean[controls]) > 0)
        trapped.append(flagged(twin[members], twin[controls]) > 0)
    assert np.mean(trapped) >= 0.95
    assert np.mean(honest) <= Q + 2 * np.sqrt(Q * (1 - Q) / runs)
