"""Are noisy copies those of the members, of no control, and made of the scan's own pixels?"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass, replace

import pandas as pd
import torch
from torch import Tensor

from memaudit.attacks.base import encode
from memaudit.attacks.copies import Copies
from memaudit.audit.bench import Opened
from memaudit.audit.pool import Pool, stack
from memaudit.audit.white_noise import Prior, Whiteness, WhiteNoise
from memaudit.config import NO_COPIES
from memaudit.errors import DataError
from memaudit.models.ambient import MEMAUDIT
from memaudit.models.denoiser import Denoiser

READ = 256  # images read at a time
TOLERANCE = 6.0  # standard errors by which the noise of the copies may miss sigma_n
SLACK = 2e-3  # and a share of it, for rounding
ROUNDINGS = 8  # of float32, in which images and copies are computed
# Root mean square of a latent's difference, where a latent's own is about 1. The VAE of another
# device or precision is about .005 off. Nothing that passes can look like memorization: copies of
# this origin are drawn anew on the scan's own latents.
LATENT = 0.05
OF_LAW = 0.5  # correlation with the noise of memaudit train; by chance it is 0


@dataclass(frozen=True, eq=False)
class Checked:
    """Copies that are the members', or None, and why no verdict may rest on them, or ""."""

    copies: Copies | None
    doubt: str = ""


def check_copies(opened: Opened, asked: str | None, pool: Pool) -> Checked:
    """Give the copies back if they are of the members; None if found, and of other images.

    Copies that `memaudit train` made must be the members' images in the noise that it draws, each
    of them. In copies of another origin the noise is unknown: if it is not white, other pixels may
    be in them, and no verdict rests on them. Raises DataError if some members are missing, if
    controls are among them, or if they are not the members' images in noise of sigma_n.
    """
    copies = opened.copies
    if copies is None:
        return Checked(None)
    rows = pool.representatives
    if asked is None and copies.places.keys().isdisjoint(pool.ids("member")):
        return Checked(None)
    _expect_members_only(copies, rows)
    return _of_origin(copies, _Members(pool, copies, opened.loaded.denoiser))


def _expect_members_only(copies: Copies, rows: pd.DataFrame) -> None:
    """Refuse copies that lack a member, or hold a control, of the representatives."""
    of_members = rows["split"] == "member"
    there = rows["example_id"].isin(list(copies.places))
    missing = rows[of_members & ~there]
    if len(missing):
        raise DataError(
            f"{len(missing)} of {int(of_members.sum())} members have no noisy copy in "
            f"{copies.folder} (the first: {missing['source'].iloc[0]}); give all copies, or as "
            f"members only what the model was trained on, or --noisy-copies {NO_COPIES}"
        )
    trained = rows[~of_members & there]
    if len(trained):
        raise DataError(
            f"{len(trained)} controls have a noisy copy in {copies.folder} (the first: "
            f"{trained['source'].iloc[0]}), so the model was trained on them; give controls that "
            "it has not seen"
        )


@dataclass(frozen=True, eq=False)
class _Batch:
    """Some members [N, C, H, W], clean in the model's space, and their copies as they are kept."""

    ids: list[str]
    x0: Tensor
    copies: Tensor


@dataclass(frozen=True, eq=False)
class _Members:
    """The members that can be read, with their copies."""

    pool: Pool
    from_copies: Copies
    denoiser: Denoiser

    @property
    def latent(self) -> bool:
        """Whether the model's space is not that of pixels."""
        return self.denoiser.shape[1:] != self.denoiser.resolution

    def batches(self, ids: list[str] | None = None) -> Iterator[_Batch]:
        """All of them, or those with these ids, in their order."""
        asked = self.pool.ids("member") if ids is None else ids
        for start in range(0, len(asked), READ):
            examples = self.pool.candidates.read(asked[start : start + READ]).examples
            if examples:
                names = [example.id for example in examples]
                kept = torch.stack([self.from_copies.stored(name) for name in names])
                yield _Batch(names, encode(self.denoiser, stack(examples)).cpu(), kept)

    def some(self) -> list[_Batch]:
        """A random sample: ids are hashes."""
        return list(self.batches(sorted(self.pool.ids("member"))[:READ]))


def _of_origin(copies: Copies, members: _Members) -> Checked:
    """Tell copies that memaudit train made, image by image, from others, by their noise."""
    seen, differ, largest = 0, 0, 0.0
    of_law = copies.training.drawn_by == MEMAUDIT
    for batch in members.batches():
        z = copies.frozen(batch.ids, batch.x0)
        noise = batch.copies.to(batch.x0) - batch.x0
        alike = torch.cosine_similarity(noise.flatten(1), z.flatten(1))
        of_law = of_law or bool((alike >= OF_LAW).any())
        off = (noise - copies.training.sigma_n * z).abs().flatten(1)
        seen, differ = seen + len(off), differ + int(_differ(off, batch, members.latent).sum())
        largest = max(largest, float(off.max()))
    if not of_law:
        return _of_another(copies, members)
    if differ:
        raise DataError(
            f"{differ} of {seen} noisy copies in {copies.folder} are not the members' images in "
            f"the noise that memaudit train drew for them: they differ by up to {largest:.3g}, "
            "expected no more than rounding. Scan with --resize and images of the training, "
            f"or give the copies of this very model, or --noisy-copies {NO_COPIES}"
        )
    return Checked(replace(copies, by_law=True))


def _differ(off: Tensor, batch: _Batch, latent: bool) -> Tensor:
    """Which images differ [N] by more than rounding; `off` [N, D] is by how much."""
    if latent:
        return off.square().mean(1).sqrt() > LATENT
    kept = batch.copies.dtype
    of_file = torch.finfo(kept).eps / 2 if kept.is_floating_point else 0.0
    size = batch.copies.flatten(1).to(off).abs()
    return (off > of_file * size + ROUNDINGS * torch.finfo(off.dtype).eps * (1 + size)).any(1)


def _of_another(copies: Copies, members: _Members) -> Checked:
    """Test the noise of copies of unknown origin for its strength, and whether it is white."""
    some = members.some()
    if not some:
        return Checked(copies)
    prior = Prior.of(torch.cat([batch.x0 for batch in some]).double().numpy())
    test = WhiteNoise(prior, copies.training.sigma_n)
    values = 0
    for batch in members.batches():
        x0 = batch.x0.double()
        test.add(x0.numpy(), (batch.copies.double() - x0).numpy())
        values += x0.numel()
    found = test.result()
    _check_strength(copies, found, values)
    if not found.doubt:
        return Checked(copies)
    return Checked(copies, f"{found.doubt}. {_what_to_do()}")


def _what_to_do() -> str:
    return (
        "Scan with the --resize and the very images of the training, or train with memaudit train, "
        "whose copies can be checked one by one"
    )


def _check_strength(copies: Copies, found: Whiteness, values: int) -> None:
    """Refuse copies whose noise has another strength; `values` were measured."""
    sigma_n = copies.training.sigma_n
    if abs(found.rms - 1) > TOLERANCE / math.sqrt(2 * values) + SLACK:
        raise DataError(
            f"the copies in {copies.folder} differ from the members' images by "
            f"{found.rms * sigma_n:.4g}, expected noise of sigma_n {sigma_n:g}: they were made "
            "with another sigma_n, of other images, or resized otherwise (--resize). Give the "
            "copies that the model was trained on"
        )
