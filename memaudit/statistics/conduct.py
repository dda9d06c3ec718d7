"""How a scan went, and what its findings are made of."""

from __future__ import annotations

from dataclasses import dataclass

import pandas as pd

from memaudit.statistics.entities import Sides
from memaudit.statistics.exchangeability.check import Exchangeability
from memaudit.statistics.joint import InputTail


@dataclass(frozen=True, eq=False)
class Calibrated:
    """Scores, the pool that they are of, the findings made of both, and what they rest on.

    `raw` and `adjusted` are the pooled scores [example, input], before and after what pictures
    predict of them is taken off; `exchangeability` compares the sides by that prediction, None
    without both sides.
    """

    findings: pd.DataFrame
    scores: pd.DataFrame
    pool: pd.DataFrame
    sides: Sides
    raw: pd.DataFrame
    adjusted: pd.DataFrame
    exchangeability: Exchangeability | None
    tails: tuple[InputTail, ...] = ()


@dataclass(frozen=True)
class ReferenceUse:
    """The reference model, what it is said to be trained on, and how much of it is in the scan.

    `images` distinct images were read there, 0 where it is not at hand; `members` and `controls`
    are the duplicate groups among them.
    """

    model: str
    trained_on: str
    images: int
    members: int
    controls: int
