"""What tells one model from another in their provenance."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from memaudit.config import digest

KNOWN = ("weights", "adapters", "fingerprint")


def weights_digest(provenance: Mapping[str, Any]) -> str:
    """Digest of a model's weights, or of the images it memorized; "" if they are not known."""
    known = [provenance.get(name) for name in KNOWN]
    return digest(known)[:12] if any(known) else ""
