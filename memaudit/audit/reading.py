"""Is a model read the way it was trained? The self-check, on images that are at hand."""

from __future__ import annotations

from memaudit.attacks.base import encode
from memaudit.attacks.copies import Copies, frozen_in
from memaudit.audit.pool import stack
from memaudit.models.loaded import Loaded
from memaudit.models.self_check import Judged, judge
from memaudit.records import Example

CHECKED = 32  # images of the self-check


def judge_reading(
    loaded: Loaded, copies: Copies | None, examples: list[Example], seed: int, batch_size: int
) -> Judged | None:
    """Check how a model is read; None if nothing is read. Raises MisreadModelError as `judge` does.

    `copies` are the noisy copies that it was trained on, where they are there.
    """
    denoiser = loaded.denoiser
    if not any(True for _ in denoiser.misreadings()):
        return None
    frozen = frozen_in(loaded, copies, [example.id for example in examples])
    return judge(denoiser, encode(denoiser, stack(examples)), seed, frozen, batch_size)
