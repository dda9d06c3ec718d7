"""What attacks show that no verdict rests on: exploratory, each by its own score."""

from __future__ import annotations

from dataclasses import dataclass

import pandas as pd

from memaudit.records import FULL, Primary
from memaudit.statistics.adaptive import claim_scores
from memaudit.statistics.conduct import Calibrated
from memaudit.statistics.effects import auc, share_above
from memaudit.statistics.exchangeability.check import NAMES
from memaudit.statistics.exchangeability.encoding import features
from memaudit.statistics.exchangeability.expected import expect
from memaudit.statistics.joint import joint_p_values
from memaudit.statistics.options import Options


@dataclass(frozen=True)
class Explored:
    """Members against controls by the score of an attack over all of its noise levels.

    `raw_auc` and `raw_above` (the share of members above the controls' 99th percentile) are of the
    score, `auc` and `above` of what is left of it when the prediction by pictures is taken off:
    some pictures are easy for any model. `flagged` counts members with a q-value of that of at most
    `q`. Whoever looks at several attacks finds something by chance more often than `q` says.
    """

    attack: str
    columns: tuple[str, ...]
    raw_auc: float
    raw_above: float
    auc: float
    above: float
    flagged: int


def explore(data: Calibrated, options: Options) -> tuple[Explored, ...]:
    """Look at each further attack that was run on every image; nothing without both sides."""
    if not (options.others and data.sides.members and data.sides.controls):
        return ()
    full = data.scores[data.scores["phase"] == FULL]
    images = set(data.raw.index)
    complete = [
        primary
        for primary in options.others
        if set(full.loc[full["attack"] == primary.attack, "example_id"]) == images
    ]
    if not complete:
        return ()
    seen = features(data.pool, NAMES, captions=options.captions)
    return tuple(_explored(full, primary, data, seen, options) for primary in complete)


def _explored(
    scores: pd.DataFrame,
    primary: Primary,
    data: Calibrated,
    seen: pd.DataFrame,
    options: Options,
) -> Explored:
    raw = claim_scores(scores, (primary,))
    adjusted = raw - expect(raw, seen, data.sides, options.seed).by_controls
    q_values = joint_p_values(adjusted, data.sides, options.seed).values[:, 1]
    before, after = (data.sides.compare(one.max(axis=1)) for one in (raw, adjusted))
    return Explored(
        attack=primary.attack,
        columns=tuple(column.name for column in primary.columns),
        raw_auc=auc(before.members.values, before.controls.values),
        raw_above=share_above(before.members.values, before.controls.values),
        auc=auc(after.members.values, after.controls.values),
        above=share_above(after.members.values, after.controls.values),
        flagged=int((q_values <= options.q).sum()),
    )
