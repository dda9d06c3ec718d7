"""Does the network know an image better than the same image upside down?

What makes a picture hard for any model (fine detail, strong edges) is in its mirror image too, and
the mirror image was not trained on. So the error of the one is measured against that of the other:
no second model, no controls and no description of the pictures are needed for that. A neighbourhood
attack, which compares what was trained on with what is much like it (Mattern et al. 2023,
arXiv 2305.18462). The neighbours here are the image mirrored top to bottom and the image turned by
180 degrees; mirrored left to right it may have been trained on, because trainers do that.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import pandas as pd
from scipy.stats import wilcoxon

from memaudit.attacks.base import Bench, Cost, Noise, Pass, Shard
from memaudit.attacks.residual import Residual
from memaudit.config import AttackConfig
from memaudit.records import CLEAN, Claim, Column

UPSIDE_DOWN = ((1,), (1, 2))  # axes of [N, H, W, 3] that are reversed: height; height and width
NAME, ERROR = "mirrored-residual", "mean_residual"
LEVEL = 0.05  # of the test whether it sees anything
COLUMNS = (
    Column(
        "mirrored_residual",
        "energy of the averaged error of the image upside down (mirrored, and turned) less that "
        "of the image, dB",
    ),
    Column(
        "upside_down_residual",
        "energy of the averaged error of the image upside down, dB of an image of unit power",
        higher=False,
    ),
)


@dataclass(frozen=True)
class Mirrored:
    """One row an image and level: its error against that of its mirror images, under equal noise.

    An image that is its own mirror image scores 0, whether or not it was trained on.
    """

    of: Residual
    name: str = NAME
    primary: tuple[str, ...] = ("mirrored_residual",)
    claim: Claim = "membership"
    noise: Noise = "weak"
    needs_captions: bool = False

    @property
    def columns(self) -> tuple[Column, ...]:
        """Those of the error, and what sets it against its mirror images."""
        return (*COLUMNS, *self.of.columns)

    def cost(self, how: Pass) -> Cost:
        """The error of the image and of each of its mirror images."""
        each = self.of.cost(how)
        times = 1 + len(UPSIDE_DOWN)
        return Cost(times * each.evaluations, times * each.embeddings, each.rows)

    def run(self, bench: Bench, shard: Shard, how: Pass) -> pd.DataFrame:
        """Score all queries of a shard."""
        table = self.of.run(bench, shard, how)
        turned = [self.of.run(bench, _turned(bench, shard, axes), how) for axes in UPSIDE_DOWN]
        others = np.mean([one[ERROR].to_numpy() for one in turned], axis=0)
        return table.assign(
            mirrored_residual=others - table[ERROR].to_numpy(), upside_down_residual=others
        )


def _turned(bench: Bench, shard: Shard, axes: tuple[int, ...]) -> Shard:
    """The same images with some axes of [N, H, W, 3] reversed, and their noisy copies alike."""
    pixels = np.ascontiguousarray(np.flip(shard.pixels, axes))
    x0 = bench.encode(pixels)
    if shard.copies is None:
        return replace(shard, pixels=pixels, x0=x0)
    height_and_width = [axis - 3 for axis in axes]  # the last two of [N, *shape]
    return replace(shard, pixels=pixels, x0=x0, copies=shard.copies.flip(height_and_width))


def tells_apart(table: pd.DataFrame) -> bool:
    """Whether the network knows pictures better than their mirror images at all.

    Any that was trained on upright pictures does, of pictures that it never saw, too. One that was
    trained on pictures turned and mirrored at random does not, and then this attack is blind. By
    Wilcoxon's signed-rank test over the images, one-sided, at .05; no label is looked at.
    """
    clean = table[(table["attack"] == NAME) & (table["input"] == CLEAN)]
    values = clean.groupby("example_id")["mirrored_residual"].mean().to_numpy(np.float64)
    if not values.any():
        return False
    return bool(wilcoxon(values, alternative="greater").pvalue <= LEVEL)


def mirrored_residual(config: AttackConfig) -> Mirrored:  # noqa: ARG001
    """Score by the averaged error against that of the same image upside down."""
    return Mirrored(Residual(NAME, (ERROR,)))
