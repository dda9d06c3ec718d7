"""The error of an image against that of the same image upside down, where answers are known."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from memaudit.attacks.base import Bench, Grid, Pass, Shard
from memaudit.attacks.copies import Copies
from memaudit.attacks.mirrored import mirrored_residual
from memaudit.attacks.residual import mean_residual
from memaudit.config import AttackConfig
from memaudit.models.ambient import Ambient
from memaudit.models.closed_form import AmbientClosedForm, ClosedForm
from memaudit.records import COPY, FULL

SEEN, COUNT, SIGMA = 10, 30, 0.3
RANDOM = np.random.default_rng(0)
PIXELS = RANDOM.integers(0, 256, (COUNT, 8, 8, 3), np.uint8)
CLEAN_ONLY = Grid((SIGMA,))
IDS = [f"{k:064x}" for k in range(COUNT)]


class Grey(ClosedForm):
    """A network that takes every image for grey: its error is the image."""

    def denoise(self, x, sigma, prompts=()):  # noqa: ARG002
        return torch.zeros_like(x)


def encoded(pixels):
    return torch.from_numpy(pixels).permute(0, 3, 1, 2).float() / 127.5 - 1


def run(attack, model, pixels=PIXELS, *, grid=CLEAN_ONLY, copies=None):
    bench = Bench(model, None, None, None, 0, 7, {}, copies)
    shard = Shard(IDS[: len(pixels)], pixels, bench.encode(pixels), np.arange(len(pixels)))
    if copies is not None:
        shard = replace(shard, copies=copies.of(shard.ids, shard.x0))
    return attack.run(bench, shard, Pass(attack, FULL, grid, 3))


def test_it_is_the_mean_over_both_mirror_images_less_the_error_of_the_image():
    model = ClosedForm(encoded(PIXELS[:SEEN]))
    found = run(mirrored_residual(AttackConfig()), model)
    own, mirrored, turned = (
        run(mean_residual(AttackConfig()), model, pixels)["mean_residual"]
        for pixels in (PIXELS, PIXELS[:, ::-1].copy(), PIXELS[:, ::-1, ::-1].copy())
    )
    assert found["mean_residual"].to_numpy() == pytest.approx(own.to_numpy())
    assert found["upside_down_residual"].to_numpy() == pytest.approx((mirrored + turned) / 2)
    assert found["mirrored_residual"].to_numpy() == pytest.approx((mirrored + turned) / 2 - own)


def test_what_makes_an_image_hard_for_any_model_cancels():
    faint = (PIXELS // 8 + 112).astype(np.uint8)
    model = Grey(encoded(PIXELS[:1]))
    plain, low = (run(mirrored_residual(AttackConfig()), model, some) for some in (PIXELS, faint))
    assert plain["mean_residual"].min() > low["mean_residual"].max() + 10
    for table in (plain, low):
        assert table["mirrored_residual"].to_numpy() == pytest.approx(0, abs=1e-4)


def test_every_image_of_a_perfect_memorizer_stands_out():
    found = run(mirrored_residual(AttackConfig()), ClosedForm(encoded(PIXELS[:SEEN])))
    scores = found["mirrored_residual"]
    assert scores[:SEEN].min() > 40  # dB: no error against that of another image
    assert scores[SEEN:].max() < 10


def test_an_image_that_is_its_own_mirror_image_scores_nothing():
    half = PIXELS[:, :4, :4]
    wide = np.concatenate([half, half[:, :, ::-1]], axis=2)
    same = np.concatenate([wide, wide[:, ::-1]], axis=1)
    found = run(mirrored_residual(AttackConfig()), ClosedForm(encoded(same[:SEEN])), same)
    assert found["mirrored_residual"].to_numpy() == pytest.approx(0, abs=1e-6)


def test_an_image_trained_on_left_and_right_stands_out_all_the_same():
    both = np.concatenate([PIXELS[:SEEN], PIXELS[:SEEN, :, ::-1]])
    found = run(mirrored_residual(AttackConfig()), ClosedForm(encoded(both)))
    assert found["mirrored_residual"][:SEEN].min() > 40


def test_noisy_copies_are_turned_as_images_are():
    sigma_n = 0.2
    training = Ambient("ambient", sigma_n, 0)
    copies = Copies(training, Path(), {}, "", by_law=True)
    x0 = encoded(PIXELS)
    memorizer = AmbientClosedForm(copies.of(IDS, x0)[:SEEN], training=training)
    grid = Grid((SIGMA,), (SIGMA,))
    found = run(mirrored_residual(AttackConfig()), memorizer, grid=grid, copies=copies)
    scores = found.loc[found["input"] == COPY, "mirrored_residual"].to_numpy()
    assert scores[:SEEN].min() > scores[SEEN:].max()
