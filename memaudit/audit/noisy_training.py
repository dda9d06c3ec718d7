"""What is told of a model of noisy data: against what it was audited, and what that showed."""

from __future__ import annotations

from memaudit.audit.copies import Copies
from memaudit.audit.scoring import Scored
from memaudit.audit.shards import Stages
from memaudit.config import NO_COPIES
from memaudit.models.loaded import Loaded
from memaudit.statistics import NoisyTraining, preferred
from memaudit.statistics.correlation import CorrelationTest, correlation_test

MASKED = "its training images were masked, so there are no noisy copies to query"


def describe_training(
    stages: Stages, loaded: Loaded, found: Copies | None, scored: Scored
) -> NoisyTraining | None:
    """Say how a model of noisy data was audited; None for a model of clean data.

    `found` are the copies that were there, `stages.copies` those that were queried.
    """
    ambient = loaded.ambient
    if ambient is None:
        return None
    return NoisyTraining(
        loss=ambient.loss,
        sigma_n=ambient.sigma_n,
        advice=_advice(stages, found) if ambient.mask is None else MASKED,
        masked=ambient.mask is not None,
        correlation=_correlation(stages, scored),
    )


def _advice(stages: Stages, found: Copies | None) -> str:
    """Why noisy copies were not queried, and what to do; empty if they were."""
    if stages.grid.noisy:
        return ""
    if stages.copies is not None:
        return (
            "no noise level lies above the noise of its copies, so they were not queried; give "
            "higher levels"
        )
    if found is not None:
        return f"the noisy copies in {found.folder} are of none of the members"
    if stages.config.noisy_copies == NO_COPIES:
        return f"its noisy copies were left out by --noisy-copies {NO_COPIES}"
    return "no noisy copies stand beside it; name their folder with --noisy-copies DIR"


def _correlation(stages: Stages, scored: Scored) -> CorrelationTest | None:
    """Test the members: of an adaptive scan by its first pass, which chose none of them."""
    if stages.copies is None:
        return None
    rows = stages.pool.representatives
    members = rows.loc[rows["split"] == "member", "example_id"].tolist()
    name = scored.effort.screen or preferred(scored.scores["reconstruction"].unique())
    return correlation_test(scored.scores, members, name, stages.copies.training.sigma_n)
