"""The exchangeability check: do members and controls differ without the model?"""

from memaudit.statistics.exchangeability.blind import (
    MOST,
    Baseline,
    Exchangeability,
    exchangeability,
)
from memaudit.statistics.exchangeability.separation import Separation

__all__ = ["MOST", "Baseline", "Exchangeability", "Separation", "exchangeability"]
