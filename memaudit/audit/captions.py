"""What a text-to-image model is told of each image."""

from __future__ import annotations

import pandas as pd

from memaudit.audit.listing import Listing
from memaudit.audit.pool import Pool
from memaudit.config import PromptPolicy
from memaudit.errors import ConfigError
from memaudit.models.denoiser import Denoiser
from memaudit.run.record import CaptionsRecord

UNEVEN = 0.02  # largest difference of the shares of members and of controls with a caption

Captions = dict[str, str]  # by id of the image; an image that is not there is told nothing


def check_captions(listing: Listing, policy: PromptPolicy, denoiser: Denoiser) -> None:
    """Refuse a policy that cannot be followed, before anything is written or computed.

    Raises ConfigError if the model listens to no captions, if one side has them and the other has
    not, which would tell the two apart, or if there is no other caption to give.
    """
    if denoiser.conditioning != "caption":
        if policy != "own":
            raise ConfigError(
                f"--prompt {policy} is for text-to-image models, and this one is told no captions; "
                "leave it out"
            )
        return
    if policy == "empty":
        return
    told = pd.Series([listed.entry.prompt != "" for listed in listing.rows])
    shares = told.groupby([listed.split for listed in listing.rows]).mean()
    if len(shares) == 2 and abs(shares["member"] - shares["control"]) > UNEVEN:
        raise ConfigError(
            f"{shares['member']:.0%} of the members and {shares['control']:.0%} of the controls "
            "have a caption, and the model is told them: the difference would be the captions'. "
            "Give captions of both, or --prompt empty"
        )
    different = {listed.entry.prompt for listed in listing.rows} - {""}
    if policy == "other" and len(different) < 2:
        raise ConfigError(
            f"--prompt other needs images with different captions, found {len(different)}; give "
            "a data set with captions, or --prompt empty"
        )


def tells_own(policy: PromptPolicy, denoiser: Denoiser) -> bool:
    """Whether a model is told each image's own caption, as it was in training."""
    return denoiser.conditioning == "caption" and policy == "own"


def captions(pool: Pool, policy: PromptPolicy, denoiser: Denoiser) -> Captions:
    """Choose the captions of the pool's representatives, without looking at who is a member.

    "other" gives each image the next other caption in the random order of ids.
    """
    if denoiser.conditioning != "caption" or policy == "empty":
        return {}
    rows = pool.representatives.sort_values("example_id")
    told = rows[rows["prompt"] != ""]
    own = dict(zip(told["example_id"].astype(str), told["prompt"].astype(str), strict=True))
    return own if policy == "own" else _others(own)


def described(told: Captions, policy: PromptPolicy, denoiser: Denoiser) -> CaptionsRecord | None:
    """What is kept of them; None of a model that is told none."""
    return CaptionsRecord(policy, len(told)) if denoiser.conditioning == "caption" else None


def _others(own: Captions) -> Captions:
    """Give each image the first caption after its own that says something else."""
    said = list(own.values())
    following = said.copy()
    for k in reversed(range(2 * len(said))):  # twice round, so that the last find theirs
        here, after = k % len(said), (k + 1) % len(said)
        following[here] = said[after] if said[after] != said[here] else following[after]
    return dict(zip(own, following, strict=True))
