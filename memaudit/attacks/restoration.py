"""Restoration: a part of an image is hidden, the model fills it in, and the part is compared.

The attack by inpainting of Daras, Dimakis and Daskalakis 2024 (arXiv 2404.10177), for any linear
corruption and for models that were not trained to fill anything in.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from functools import partial
from itertools import groupby

import numpy as np
import pandas as pd
import torch
from torch import Tensor

from memaudit.attacks.base import Bench, Cost, Noise, Pass, Query, Shard, encode, to_images
from memaudit.attacks.corrupted import expect_finite, keys
from memaudit.attacks.hidden_scores import COLUMNS, hidden_scores, similarities
from memaudit.attacks.posterior import Restore
from memaudit.attacks.scores import paired_scores
from memaudit.attacks.sources import captions_of, generators
from memaudit.config import NOISE_AND_MASK, RESTORATIONS, SCORE, AttackConfig, HidingKind
from memaudit.corruption.hiding import basis_of, drawn
from memaudit.corruption.linear import Cosines, Seen, View
from memaudit.corruption.noise import seen_db, standard_normal
from memaudit.models.codec import GREY
from memaudit.models.denoiser import Denoiser, in_pixels
from memaudit.records import Claim, Column, Example, Image, Images

ASKED = (
    Column("steps", "steps of the sampling that restored the hidden part", summary="none"),
    Column("guidance", "how far the answer is drawn to the caption; 1: not", summary="none"),
    Column(
        "strength",
        "share of the schedule's noise from which the sampling begins; 1: from noise alone",
        summary="none",
    ),
)


@dataclass(frozen=True, eq=False)
class Hidden:
    """A batch of queries at one level: what is seen of them, in the model's space and in pixels."""

    seen: Seen
    pixels: View
    generators: list[np.random.Generator]
    captions: list[str]
    sources: Tensor | None


@dataclass(frozen=True)
class RestorationAttack:
    """Hide, restore, compare what was hidden; a level is the share that is hidden, 0 to 1."""

    kind: HidingKind
    sigma: float
    restore: Restore
    primary: tuple[str, ...] = SCORE
    claim: Claim = "reproduction"
    noise: Noise = "hidden"
    needs_captions: bool = False

    @property
    def name(self) -> str:
        """What its rows say under `attack`."""
        return RESTORATIONS[self.kind]

    @property
    def columns(self) -> tuple[Column, ...]:
        """Similarity and pixels of the hidden part, the reference model, and how it was asked."""
        return (*COLUMNS, *ASKED)

    def cost(self, how: Pass) -> Cost:
        """The hidden part is embedded of what was restored, of the image and of the nearest other.

        Of a reference model it is of what that restored, and of the image.
        A model that is told what is seen takes fewer network evaluations than these.
        """
        made = how.queries_each + how.pairs_each
        embedded = 3 * how.queries_each + 2 * how.pairs_each
        return Cost(made * self.restore.evaluations, embedded, how.queries_each)

    def run(self, bench: Bench, shard: Shard, how: Pass) -> pd.DataFrame:
        """Score all queries of a shard."""
        queries = how.queries(len(shard.ids))
        tables = [self._score(bench, shard, batch) for batch in _batches(bench, queries)]
        return pd.concat(tables, ignore_index=True)

    def show(self, bench: Bench, example: Example, level: float) -> tuple[Image, Image]:
        """Make draw 0 of an example again: what was seen and what was restored, [H, W, 3] each."""
        shard = Shard.of(bench, [example])
        hidden = self._hidden(bench, shard, [Query(0, level, 0)], bench.denoiser)
        x0 = self._restored(bench.denoiser, hidden, level)
        shown = to_images(bench.denoiser, hidden.seen.only())
        return shown[0], to_images(bench.denoiser, x0)[0]

    def _score(self, bench: Bench, shard: Shard, batch: list[Query]) -> pd.DataFrame:
        which, level = [query.example for query in batch], batch[0].level
        hidden = self._hidden(bench, shard, batch, bench.denoiser)
        images = to_images(bench.denoiser, self._restored(bench.denoiser, hidden, level))
        groups = bench.index.groups[shard.positions[which]]
        scores = hidden_scores(bench, hidden.pixels, shard.pixels[which], images, groups)
        how = self.restore
        asked = {"steps": how.steps, "guidance": how.guidance, "strength": how.strength}
        tables = [keys(shard, batch, seen_db), scores.assign(**asked)]
        if bench.reference is not None:
            model = bench.reference
            again = self._hidden(bench, shard, batch, model)
            other = to_images(model, self._restored(model, again, level, "reference"))
            [theirs] = similarities(bench, hidden.pixels, other, shard.pixels[which])
            tables.append(paired_scores(scores["own_similarity"].to_numpy(), theirs))
        return pd.concat(tables, axis=1)

    def _hidden(self, bench: Bench, shard: Shard, batch: list[Query], model: Denoiser) -> Hidden:
        """Hide a part of each image; a reference model is shown the same."""
        level, which = batch[0].level, [query.example for query in batch]
        random, size = generators(bench, shard, batch, self.kind), model.shape[1:]
        frames = [bench.frames.get(shard.ids[k], ()) for k in which]
        each = zip(random, frames, strict=True)
        gain = torch.stack([drawn(one, self.kind, level, size, own) for one, own in each])
        pixels = View(_enlarged(gain, model), self._basis(level, model.resolution))
        view = View(gain.to(model.device), self._basis(level, size))
        encoded = None if in_pixels(model) else _encoded(model, shard.pixels[which], pixels)
        x0 = shard.x0[which] if encoded is None else encoded
        noise = standard_normal(random, model.shape).to(model.device)
        covered = self.kind == NOISE_AND_MASK
        seen = replace(Seen.of(x0, view, self.sigma, noise), encoded=encoded, covered=covered)
        sources = encode(model, shard.pixels[which]) if self.restore.strength < 1 else None
        return Hidden(seen, pixels, random, captions_of(bench, shard, batch), sources)

    def _basis(self, level: float, size: tuple[int, ...]) -> Cosines:
        return basis_of(self.kind, level, (size[0], size[1]))

    def _restored(
        self, model: Denoiser, hidden: Hidden, level: float, who: str = "model"
    ) -> Tensor:
        x0 = self.restore(model, hidden.seen, hidden.generators, hidden.captions, hidden.sources)
        expect_finite(x0, f"where {level:.4g} is hidden, attack {self.name}", who)
        return x0


def _batches(bench: Bench, queries: list[Query]) -> Iterator[list[Query]]:
    """What the network sees at a time: queries of one level, which have one basis."""
    ordered = sorted(queries, key=lambda query: query.level)
    for _, alike in groupby(ordered, key=lambda query: query.level):
        yield from bench.batches([*alike])


def _enlarged(gain: Tensor, model: Denoiser) -> Tensor:
    """Gains [B, 1, h, w] of a model's space for the pixels [B, 1, H, W] that they stand for."""
    for axis, (pixels, cells) in enumerate(zip(model.resolution, model.shape[1:], strict=True)):
        gain = gain.repeat_interleave(pixels // cells, dim=axis + 2)
    return gain


def _encoded(model: Denoiser, images: Images, view: View) -> Tensor:
    """Encode [N, H, W, 3] with hidden pixels in grey, so that a VAE sees nothing of them."""
    visible = view.gain.permute(0, 2, 3, 1).numpy() > 0
    return encode(model, np.where(visible, images, np.uint8(GREY)))


def _attack(kind: HidingKind, config: AttackConfig) -> RestorationAttack:
    asked = config.restoration
    how = Restore(asked.steps, asked.corrections)
    if kind != NOISE_AND_MASK:  # of which no pipeline is told
        how = replace(how, guidance=asked.guidance, strength=asked.strength)
    return RestorationAttack(kind, asked.sigma_of(kind), how, config.columns)


Make = Callable[[AttackConfig], RestorationAttack]
mask_random: Make = partial(_attack, "mask-random")
mask_box: Make = partial(_attack, "mask-box")
mask_half: Make = partial(_attack, "mask-half")
noise_and_mask: Make = partial(_attack, "noise+mask")
mask_object: Make = partial(_attack, "mask-object")
downsample: Make = partial(_attack, "downsample")
blur: Make = partial(_attack, "blur")
