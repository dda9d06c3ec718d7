"""Two finished runs, paired image by image: what differs, and how surely."""

from memaudit.stages.compare.difference import Asked, compare_pairs
from memaudit.stages.compare.intervals import (
    CONFIDENCE,
    Interval,
    bootstrap,
    discordant_interval,
    sign_flip_p,
)
from memaudit.stages.compare.modes import ModeEvidence, mode_evidence
from memaudit.stages.compare.pairing import Pairs, pair, sides_of
from memaudit.stages.compare.records import (
    COLUMNS,
    Difference,
    Direction,
    ExcessDifference,
    Flags,
)
from memaudit.stages.compare.shares import (
    SHARE_COLUMNS,
    THRESHOLDS,
    Distribution,
    distributions,
    shares,
)

__all__ = [
    "COLUMNS",
    "CONFIDENCE",
    "SHARE_COLUMNS",
    "THRESHOLDS",
    "Asked",
    "Difference",
    "Direction",
    "Distribution",
    "ExcessDifference",
    "Flags",
    "Interval",
    "ModeEvidence",
    "Pairs",
    "bootstrap",
    "compare_pairs",
    "discordant_interval",
    "distributions",
    "mode_evidence",
    "pair",
    "shares",
    "sides_of",
    "sign_flip_p",
]
