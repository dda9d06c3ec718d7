"""memaudit audits image diffusion models for memorization of their training images.

`memaudit.scan(memaudit.ScanConfig(model=..., dataset=..., controls=..., out=...))` runs an audit
and returns a ScanResult with pandas tables and a verdict.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from memaudit.config import Corruption, DataOptions, ScanConfig
    from memaudit.scanning import ScanResult, scan

__version__ = "0.1.0"
__all__ = ["Corruption", "DataOptions", "ScanConfig", "ScanResult", "__version__", "scan"]


def __getattr__(name: str) -> Any:
    """Import the public names on first use, so that `import memaudit` stays quick."""
    if name in ("Corruption", "DataOptions", "ScanConfig"):
        from memaudit import config

        return getattr(config, name)
    if name in ("ScanResult", "scan"):
        from memaudit import scanning

        return getattr(scanning, name)
    raise AttributeError(f"module 'memaudit' has no attribute {name!r}")
