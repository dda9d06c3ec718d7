"""What is fine-tuned, where a training does not start from random weights."""

from __future__ import annotations

from dataclasses import dataclass

from memaudit.config.fields import check, option

RANK = 4


@dataclass(frozen=True)
class Base:
    """A text-to-image pipeline whose UNet gets LoRA adapters of a rank (Hu et al. 2021).

    `model` is a folder or a hub id; `revision` and `variant` are diffusers' words.
    """

    model: str = option(
        about="Train LoRA adapters for this Stable Diffusion pipeline (1.x, 2.x, XL; a folder or a "
        "hub id) instead of a UNet from scratch; captions come from DATASET.",
        name="base_model",
        metavar="MODEL",
    )
    rank: int = option(RANK, f"Rank of the adapters of --base-model; default: {RANK}.", low=1)
    revision: str | None = option(None, "Revision of --base-model on the hub.")
    variant: str | None = option(None, "Variant of the weights of --base-model, for example fp16.")

    def __post_init__(self) -> None:
        check(self)
