"""Choose entries, and tell one list of entries from another."""

from __future__ import annotations

import hashlib
import heapq
import json
from collections.abc import Iterable

from memaudit.data.source import Entry


def sample(entries: list[Entry], n: int | None, seed: int) -> list[Entry]:
    """Draw n entries at random without replacement, sorted by source; None draws all.

    The draw depends on the seed and the sources alone, not on the order of the list.
    """

    def rank(entry: Entry) -> bytes:
        return hashlib.sha256(f"{seed}|{entry.source}".encode()).digest()

    chosen = entries if n is None else heapq.nsmallest(n, entries, key=rank)
    return sorted(chosen, key=lambda entry: entry.source)


def fingerprint(entries: Iterable[Entry]) -> str:
    """Hash source, stamp and prompt of all entries, in whatever order they come."""
    digest = hashlib.sha256()
    for entry in sorted(entries, key=lambda entry: entry.source):
        digest.update(json.dumps([entry.source, entry.stamp, entry.prompt]).encode())
    return digest.hexdigest()
