"""What a model that was trained on noisy data says of itself, in a file beside its weights."""

from __future__ import annotations

import json
import math
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from memaudit.errors import ModelError

RECORD = "ambient.json"
LOSSES = ("ambient", "ambient-mixed")


@dataclass(frozen=True)
class Ambient:
    """Noise of standard deviation sigma_n, for images in [-1, 1], was in the training images.

    It was drawn once for each image, from (seed, id of the image).
    """

    loss: str
    sigma_n: float
    seed: int

    @property
    def lowest(self) -> float | None:
        """Noise below which the network learned nothing; None if it learned from clean images.

        Sampling stops there and takes the posterior mean (Daras et al. 2024, arXiv 2404.10177).
        """
        return self.sigma_n if self.loss == "ambient" else None

    def content(self) -> dict[str, Any]:
        """As it is written."""
        return {**asdict(self), "sample_from": self.lowest}


def read_ambient(folder: Path) -> Ambient | None:
    """Read the record of a model folder; None without one, ModelError if it makes no sense."""
    path = folder / RECORD
    if not path.is_file():
        return None
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        record = Ambient(str(content["loss"]), float(content["sigma_n"]), int(content["seed"]))
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise ModelError(
            f"{path} cannot be read ({error!r}); expected loss, sigma_n and seed of an ambient "
            "training. Copy the model's folder again"
        ) from error
    if record.loss not in LOSSES or not 0 < record.sigma_n < math.inf:
        raise ModelError(
            f"{path} says loss {record.loss!r} and sigma_n {record.sigma_n:g}; expected one of "
            f"{', '.join(LOSSES)} and a number above 0"
        )
    return record
