"""What is fine-tuned, where a training does not start from random weights."""

from __future__ import annotations

from dataclasses import dataclass

from memaudit.config.checks import at_least
from memaudit.errors import ConfigError


@dataclass(frozen=True)
class Base:
    """A text-to-image pipeline whose UNet gets LoRA adapters of a rank (Hu et al. 2021).

    `model` is a folder or a hub id; `revision` and `variant` are diffusers' words.
    """

    model: str
    rank: int = 4
    revision: str | None = None
    variant: str | None = None

    def __post_init__(self) -> None:
        at_least("--rank", self.rank, 1)


def base_options(
    model: str | None, rank: int | None, revision: str | None, variant: str | None
) -> Base | None:
    """Make the base of a command's options; None where a training starts from scratch."""
    if model is None:
        if rank is not None or revision is not None or variant is not None:
            raise ConfigError(
                "--rank, --revision and --variant belong to --base-model; leave them out, or give "
                "the pipeline to be fine-tuned"
            )
        return None
    return Base(model, Base.rank if rank is None else rank, revision, variant)
