"""Are the noisy copies those of the members, of no control, and as noisy as the model says?"""

from __future__ import annotations

import math

from torch import Tensor

from memaudit.attacks.base import encode
from memaudit.attacks.copies import Copies
from memaudit.audit.bench import Opened
from memaudit.audit.pool import Pool, stack
from memaudit.config import NO_COPIES
from memaudit.errors import DataError

CHECKED = 256  # members whose copies are compared with their images
TOLERANCE = 6.0  # standard errors by which the noise of the copies may miss sigma_n
SLACK = 2e-3  # and a share of it, for rounding


def check_copies(opened: Opened, asked: str | None, pool: Pool) -> Copies | None:
    """Give the copies back if they are of the members; None if found, and of other images.

    Raises DataError if some members are missing, if controls are among them, or if they are not
    the members' images in noise of sigma_n.
    """
    copies = opened.copies
    if copies is None:
        return None
    rows = pool.representatives
    of_members = rows["split"] == "member"
    there = rows["example_id"].isin(list(copies.places))
    if asked is None and not (there & of_members).any():
        return None
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
    examples = pool.candidates.read(sorted(pool.ids("member"))[:CHECKED]).examples
    if examples:
        x0 = encode(opened.loaded.denoiser, stack(examples))
        _check_noise(copies, copies.of([example.id for example in examples], x0) - x0)
    return copies


def _check_noise(copies: Copies, noise: Tensor) -> None:
    """Refuse copies whose noise has another strength; [N, C, H, W] copies minus images."""
    sigma_n = copies.training.sigma_n
    found = float(noise.double().square().mean().sqrt())
    allowed = TOLERANCE / math.sqrt(2 * noise.numel()) + SLACK
    if abs(found / sigma_n - 1) > allowed:
        raise DataError(
            f"the copies in {copies.folder} differ from the members' images by {found:.4g}, "
            f"expected noise of sigma_n {sigma_n:g}: they were made with another sigma_n, of other "
            "images, or resized otherwise (--resize). Give the copies that the model was trained on"
        )
