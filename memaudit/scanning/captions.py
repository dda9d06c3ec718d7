"""What a text-to-image model is told of each image."""

from __future__ import annotations

from typing import Any

import pandas as pd

from memaudit.config import PromptPolicy
from memaudit.errors import ConfigError
from memaudit.models.denoiser import Denoiser
from memaudit.scanning.pool import Pool

UNEVEN = 0.02  # largest difference of the shares of members and of controls with a caption

Captions = dict[str, str]  # by id of the image; an image that is not there is told nothing


def captions(pool: Pool, policy: PromptPolicy, denoiser: Denoiser) -> Captions:
    """Choose the captions of the pool's representatives, without looking at who is a member.

    "other" gives each image the next other caption in the random order of ids. Raises ConfigError
    if the model listens to none, or if one side has captions and the other has not: they would
    tell the two apart.
    """
    if not denoiser.told_captions:
        if policy != "own":
            raise ConfigError(
                f"--prompt {policy} is for text-to-image models, and this one is told no captions; "
                "leave it out"
            )
        return {}
    if policy == "empty":
        return {}
    rows = pool.representatives.sort_values("example_id")
    _refuse_uneven(rows)
    told = rows[rows["prompt"] != ""]
    own = dict(zip(told["example_id"].astype(str), told["prompt"].astype(str), strict=True))
    return own if policy == "own" else _others(own)


def described(told: Captions, policy: PromptPolicy, denoiser: Denoiser) -> dict[str, Any] | None:
    """What scan.json holds of them; None of a model that is told none."""
    return {"policy": policy, "images": len(told)} if denoiser.told_captions else None


def _others(own: Captions) -> Captions:
    """Give each image the first caption after its own that says something else."""
    ids, said = list(own), list(own.values())
    if len(set(said)) < 2:
        raise ConfigError(
            f"--prompt other needs images with different captions, found {len(set(said))}; give "
            "a data set with captions, or --prompt empty"
        )
    turns = [said[k + 1 :] + said[:k] for k in range(len(said))]
    return {
        name: next(other for other in turn if other != said[k])
        for k, (name, turn) in enumerate(zip(ids, turns, strict=True))
    }


def _refuse_uneven(rows: pd.DataFrame) -> None:
    shares = (rows["prompt"] != "").groupby(rows["split"]).mean()
    if len(shares) == 2 and abs(shares["member"] - shares["control"]) > UNEVEN:
        raise ConfigError(
            f"{shares['member']:.0%} of the members and {shares['control']:.0%} of the controls "
            "have a caption, and the model is told them: the difference would be the captions'. "
            "Give captions of both, or --prompt empty"
        )
