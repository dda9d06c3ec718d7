"""What the network of a single file predicts: as the user, the file or the base model says."""

from __future__ import annotations

from typing import Any

import torch

from memaudit.config import Prediction
from memaudit.errors import ConfigError, ModelError
from memaudit.models.parameterization import Parameterization, VariancePreserving
from memaudit.models.single.checkpoint import Checkpoint
from memaudit.text import shown

OF_V, OF_ZERO_SNR = "v_pred", "ztsnr"  # tensors without a number that say it
SPEC = "modelspec.prediction_type"  # of the header
SPOKEN: dict[str, Prediction] = {
    "v": "v_prediction",
    "v_prediction": "v_prediction",
    "epsilon": "epsilon",
    "eps": "epsilon",
}
TABLE = "alphas_cumprod"  # the schedule, in files as LDM writes them
APART = 5e-3  # how far half precision takes that


def prediction_of(checkpoint: Checkpoint, asked: Prediction | None) -> Prediction | None:
    """What is said of it by the user or in the file; None if by neither.

    Raises ConfigError if they contradict each other.
    """
    said = _said(checkpoint)
    if asked is not None and said is not None and asked != said:
        raise ConfigError(
            f"--prediction is {asked}, and {checkpoint.place} says that it predicts {said}; leave "
            "the option out"
        )
    return asked or said


def said_of_scheduler(checkpoint: Checkpoint, prediction: Prediction | None) -> dict[str, Any]:
    """What is known of the scheduler beside its own configuration."""
    said: dict[str, Any] = {} if prediction is None else {"prediction_type": prediction}
    return {**said, "rescale_betas_zero_snr": True} if _zero_snr(checkpoint) else said


def prediction_wanted(checkpoint: Checkpoint) -> ModelError:
    """What is said where two models of these shapes predict different things."""
    return ModelError(
        f"{checkpoint.place} is a Stable Diffusion 2, and does not say what its network predicts: "
        "the models of 512 px (2-base, 2.1-base) predict epsilon, those of 768 px (2, 2.1) predict "
        "v; say --prediction epsilon or --prediction v_prediction, or name a folder of the same "
        "model with --base-model"
    )


def expect_schedule(checkpoint: Checkpoint, reading: Parameterization) -> None:
    """Raise ModelError if a file holds another noise schedule than it would be read with."""
    stored = checkpoint.tensors.get(TABLE)
    if stored is None or _zero_snr(checkpoint) or not isinstance(reading, VariancePreserving):
        return
    found = checkpoint.read({TABLE: TABLE})[TABLE].double().flatten()
    expected = 1 / (1 + torch.from_numpy(reading.schedule.log_sigmas).mul(2).exp())
    if len(found) == len(expected) and bool((found - expected).abs().max() < APART):
        return
    raise ModelError(
        f"{checkpoint.place} holds a noise schedule of its own ({TABLE}), which is not that of "
        "Stable Diffusion; name a folder with --base-model whose scheduler has it"
    )


def _said(checkpoint: Checkpoint) -> Prediction | None:
    if OF_V in checkpoint.tensors:
        return "v_prediction"
    said = checkpoint.metadata.get(SPEC)
    if said is not None and said not in SPOKEN:
        raise ModelError(
            f"the header of {checkpoint.place} says that it predicts {shown(said)} ({SPEC}), "
            f"expected one of {', '.join(SPOKEN)}; correct it, or leave it out"
        )
    return None if said is None else SPOKEN[said]


def _zero_snr(checkpoint: Checkpoint) -> bool:
    return OF_ZERO_SNR in checkpoint.tensors
