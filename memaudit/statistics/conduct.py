"""How a scan went, and what it was given beside model and data."""

from __future__ import annotations

from dataclasses import dataclass

from memaudit.statistics.correlation import CorrelationTest
from memaudit.statistics.effort import Effort
from memaudit.statistics.exchangeability import Fairness
from memaudit.statistics.power import Power
from memaudit.statistics.queries import QueryResult


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


@dataclass(frozen=True)
class NoisyTraining:
    """How a model of noisy data was audited.

    `advice` says why its noisy copies were not queried and what to do, empty if they were;
    `masked`: parts of its training images were hidden, so that they are no copies to query.
    `by_query` is empty without them; `correlation` is the test of the frozen noise.
    """

    loss: str
    sigma_n: float
    advice: str
    masked: bool = False
    by_query: tuple[QueryResult, ...] = ()
    correlation: CorrelationTest | None = None

    @property
    def unasked(self) -> str:
        """Why a model whose training images held noise was not asked for them; empty if it was."""
        return self.advice if self.sigma_n else ""


@dataclass(frozen=True)
class Conduct:
    """How the scan went: entries that could not be read, and whether the model was checked.

    Also the blind comparison of both sides and the power check, None where not run, and the effort;
    what is special about a model of noisy data, and the reference model.
    """

    unreadable: int
    self_checked: bool
    fairness: Fairness | None = None
    power: Power | None = None
    effort: Effort | None = None
    noisy: NoisyTraining | None = None
    reference: ReferenceUse | None = None
