"""memaudit audits image diffusion models for memorization of their training images.

`memaudit.scan(memaudit.ScanConfig(model=..., dataset=..., controls=..., out=...))` runs an audit
and returns a ScanResult with pandas tables and a verdict;
`memaudit.compare(memaudit.CompareConfig(runs=(..., ...)))` compares finished runs.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from memaudit.version import __version__

if TYPE_CHECKING:
    from memaudit.audit import ScanResult, scan
    from memaudit.comparison import ComparisonResult, compare
    from memaudit.config import CompareConfig, DataOptions, Noise, ScanConfig

__all__ = [
    "CompareConfig",
    "ComparisonResult",
    "DataOptions",
    "Noise",
    "ScanConfig",
    "ScanResult",
    "__version__",
    "compare",
    "scan",
]


def __getattr__(name: str) -> Any:
    """Import the public names on first use, so that `import memaudit` stays quick."""
    if name in ("CompareConfig", "Noise", "DataOptions", "ScanConfig"):
        from memaudit import config

        return getattr(config, name)
    if name in ("ScanResult", "scan"):
        from memaudit import audit

        return getattr(audit, name)
    if name in ("ComparisonResult", "compare"):
        from memaudit import comparison

        return getattr(comparison, name)
    raise AttributeError(f"module 'memaudit' has no attribute {name!r}")
