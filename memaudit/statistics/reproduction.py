"""Membership or reproduction: from how strong a noise does a flagged image still come back?"""

from __future__ import annotations

from typing import Literal

import numpy as np
import pandas as pd

from memaudit.records import Claim
from memaudit.statistics.combine import level_means
from memaudit.statistics.effects import upper_quantile
from memaudit.statistics.entities import Sides
from memaudit.statistics.probes import Probe


def recovered_from_snr_db(
    scores: pd.DataFrame, sides: Sides, probe: Probe, copy_threshold: float | None
) -> pd.Series[float]:
    """What is left of each example, in dB, where least of it comes back as a copy; else NaN.

    It comes back where its own similarity, averaged over draws, is at or above the embedder's copy
    threshold while the controls' 99th percentile at that noise is below it.
    """
    own = level_means(scores, "own_similarity", probe)
    sides = sides.among(own.index)
    if copy_threshold is None or not sides.controls or own.empty:
        return pd.Series(np.nan, index=own.index)
    snr_db = scores.groupby("level")["snr_db"].first().loc[own.columns].to_numpy()
    telling = upper_quantile(own.loc[list(sides.controls)].to_numpy()) < copy_threshold
    back = (own.to_numpy() >= copy_threshold) & telling
    strongest = np.where(back, snr_db, np.inf).min(axis=1)
    return pd.Series(np.where(back.any(axis=1), strongest, np.nan), index=own.index)


def claim(flagged: bool, recovered: float) -> Claim | Literal[""]:
    """What a flag is evidence of; nothing without a flag."""
    if not flagged:
        return ""
    return "membership" if np.isnan(recovered) else "reproduction"
