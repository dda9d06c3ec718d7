"""The findings as tables for spreadsheets: in full, and the ten columns that a reviewer needs."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from memaudit.files import to_csv
from memaudit.report.finished import Reported

SHORT = (
    *("example_id", "source", "split", "flagged", "claim", "q_value", "p_value"),
    *("own_similarity", "recovered_from_snr_db", "prompt"),
)
MARK = b"\xef\xbb\xbf"  # says UTF-8 to spreadsheets that take a table for another encoding


def attachments(runs: Sequence[Reported], *, mark: bool) -> Iterator[tuple[str, bytes]]:
    """Name and content of the tables of each run, in the order of its findings."""
    for number, run in enumerate(runs, start=1):
        which = "" if len(runs) == 1 else f"-{number}"
        start = MARK if mark else b""
        yield f"findings{which}.csv", start + to_csv(run.findings)
        yield f"findings-short{which}.csv", start + to_csv(run.findings[[*SHORT]])
