"""Features that tests draw, and how often a test may reject."""

import numpy as np
from numpy.typing import NDArray

Values = NDArray[np.float64]
LEVELS = (0.01, 0.05, 0.1)


def correlated(rng: np.random.Generator, n: int, d: int = 8, share: float = 0.5) -> Values:
    """Features that share a part of their variance."""
    common, own = rng.normal(size=(n, 1)), rng.normal(size=(n, d))
    return np.sqrt(share) * common + np.sqrt(1 - share) * own


def highest(level: float, sets: int) -> float:
    return level + 2 * np.sqrt(level * (1 - level) / sets)
