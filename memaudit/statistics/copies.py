"""What a model of noisy data was asked, and what its noisy copies showed."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy import stats

from memaudit.records import COPY, Input, Primary
from memaudit.statistics.conduct import Calibrated
from memaudit.statistics.dataset import DatasetTest, dataset_test
from memaudit.statistics.effects import auc_interval
from memaudit.statistics.entities import Sides
from memaudit.statistics.options import Options
from memaudit.statistics.probes import Probe, probes_of

RETURNED = 0.05  # level of the test of the frozen noise
MOST_EXACT = 500  # images up to which the signed-rank law is computed in full
Tests = Mapping[Probe, DatasetTest]
DIGITS = 12  # of a correlation: what differs less is the same, whatever the batch


@dataclass(frozen=True)
class Correlation:
    """Mean correlations of h - x with frozen and with fresh noise, over images, at one level.

    `p_value` is one-sided, by Wilcoxon's signed ranks of their difference over images.
    """

    sigma: float
    images: int
    frozen: float
    fresh: float
    p_value: float


@dataclass(frozen=True)
class CorrelationTest:
    """All levels of one attack; `p_value` is the smallest of them after Bonferroni."""

    levels: tuple[Correlation, ...]
    p_value: float

    @property
    def returned(self) -> bool:
        """Whether the frozen noise comes back."""
        return self.p_value <= RETURNED


@dataclass(frozen=True)
class InputResult:
    """What an attack shows by one input, before its level is shared with the others.

    `flagged` groups rest on it. `test` and `auc` are of its own score, pooled from `columns`; None
    without controls.
    """

    attack: str
    input: Input
    columns: tuple[str, ...]
    flagged: int
    test: DatasetTest | None
    auc: float | None


@dataclass(frozen=True)
class NoisyTraining:
    """How a model of noisy data was audited.

    `lowest` is the noise at which its sampling stops, None if it learned all levels. `advice` says
    why the verdict rests on clean images alone (its noisy copies were not asked for, or carry no
    verdict) and what to do, empty if it rests on copies as well; `digest` is that of the copies
    that were asked for. `masked`: parts of its training images were hidden, so that they are no
    copies to ask for. `one_step`: only one step was run on it. `by_input` is empty then;
    `correlation` is the test of the frozen noise.
    """

    loss: str
    sigma_n: float
    lowest: float | None
    advice: str
    digest: str = ""
    masked: bool = False
    one_step: bool = False
    by_input: tuple[InputResult, ...] = ()
    correlation: CorrelationTest | None = None

    @property
    def unasked(self) -> str:
        """Why the noise in a model's training images was not judged; empty if it was."""
        return self.advice if self.sigma_n else ""

    @property
    def of_copies(self) -> InputResult | None:
        """What its noisy copies showed, reconstructed; None if they were not asked for."""
        return next((one for one in self.by_input if one.input == COPY), None)

    def flagged_by(self, what: Input) -> int:
        """How many groups are flagged by an input, whatever the attack."""
        return sum(one.flagged for one in self.by_input if one.input == what)

    @property
    def only_copies(self) -> bool:
        """Whether some images are flagged, and all of them by their noisy copies."""
        flagged = {one.input for one in self.by_input if one.flagged}
        return flagged == {COPY}


def with_inputs(
    training: NoisyTraining, data: Calibrated, tests: Tests, claims: tuple[Primary, ...]
) -> NoisyTraining:
    """Add what each input shows, where noisy copies were asked for; `tests` are of `adjusted`."""
    if not any(one.input == COPY for one in probes_of(data.adjusted)):
        return training
    table = data.findings
    rested = table[table["flagged"] & table["representative"]]
    by_attack = {claim.attack: claim for claim in claims}
    results = []
    for one in probes_of(data.adjusted):
        columns = tuple(column.name for column in by_attack[one.attack].of(one.input))
        test, chance = tests.get(one), None
        if test is not None:
            both = data.sides.compare(data.adjusted[one])
            chance = auc_interval(both.members, both.controls).estimate
        flagged = (rested["attack"] == one.attack) & (rested["input"] == one.input)
        found = InputResult(one.attack, one.input, columns, int(flagged.sum()), test, chance)
        results.append(found)
    return replace(training, by_input=tuple(results))


def score_tests(scores: pd.DataFrame, sides: Sides, options: Options) -> Tests:
    """The data-set test of each score [example, Probe]; none without both sides."""
    if not (sides.members and sides.controls):
        return {}
    both = {what: sides.compare(scores[what]) for what in probes_of(scores)}
    return {
        what: dataset_test(one.members, one.controls, options.rounds, options.seed)
        for what, one in both.items()
    }


def joint_test(tests: Tests) -> DatasetTest:
    """The data-set test of the score that tells more, its p times their number."""
    best = min(tests.values(), key=lambda test: test.p_value)
    return replace(best, p_value=min(1.0, len(tests) * best.p_value))


def rests_on(training: NoisyTraining) -> str:
    """How many of the flagged rest on which input, in words."""
    inputs = dict.fromkeys(one.input for one in training.by_input)
    return ", ".join(f"{training.flagged_by(one)} by the {one}" for one in inputs)


def correlation_test(
    scores: pd.DataFrame, members: list[str], probe: Probe, lowest: float
) -> CorrelationTest | None:
    """Does the model return the frozen noise of its training copies? It takes no controls.

    If the model learned nothing of the copies y_i = x_i + sigma_n z_i, then what it makes of x_i
    under other noise knows as little of z_i as of fresh noise z' of the same law: their
    correlations with h - x_i are exchangeable, image by image, and the sign of their difference is
    that of a fair coin. Tested are the members' rows of a probe of clean images, draws averaged;
    None if no level is above `lowest`. The members must not have been chosen by these numbers.
    """
    rows = probe.rows(scores)
    rows = rows[(rows["level"] > lowest) & rows["example_id"].isin(members)]
    if rows.empty:
        return None
    order = ["level", "example_id", "draw"]
    columns = ["copy_correlation", "fresh_correlation"]
    means = rows[[*order, *columns]].sort_values(order).groupby(order[:2])[columns].mean()
    levels = tuple(
        _level(sigma, means.loc[sigma].to_numpy(np.float64))
        for sigma in np.unique(rows["level"].to_numpy(np.float64)).tolist()
    )
    smallest = min(level.p_value for level in levels)
    return CorrelationTest(levels, min(1.0, len(levels) * smallest))


def signed_rank_p(differences: NDArray[np.float64]) -> float:
    """One-sided p that differences lie above 0 (Wilcoxon 1945); exact up to 500, else normal.

    Differences of 0 tell nothing and are left out.
    """
    told: list[float] = [value for value in np.round(differences, DIGITS).tolist() if value]
    if not told:
        return 1.0
    method: Literal["exact", "asymptotic"]
    method = "exact" if len(told) <= MOST_EXACT else "asymptotic"
    return float(stats.wilcoxon(told, alternative="greater", method=method).pvalue)


def _level(sigma: float, means: NDArray[np.float64]) -> Correlation:
    return Correlation(
        sigma=sigma,
        images=len(means),
        frozen=float(means[:, 0].mean()),
        fresh=float(means[:, 1].mean()),
        p_value=signed_rank_p(means[:, 0] - means[:, 1]),
    )
