"""What the columns of a run's tables must be, before anything is made of them."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import pyarrow as pa

from memaudit.errors import RunDirectoryError
from memaudit.records import KEYS
from memaudit.statistics.findings import ABOUT, SAID

TEXTS = frozenset([
    *("example_id", "source", "split", "prompt", "cluster", "stage", "input", "claim", "reason"),
    *("literature", "nearest_other", "nearest_other_source", "attack", "phase", "error", "lost"),
    *("left_out", "changed", "format", "chroma_sampling", "mode"),
])  # fmt: skip
TRUTHS = frozenset([
    *("representative", "spans", "flagged", "flagged_extrapolated"),
    *("membership_flagged", "reproduction_flagged"),
])  # fmt: skip
NUMBERS = frozenset([
    *("membership_p", "membership_q", "reproduction_p", "reproduction_q", "reproduction_score"),
    *("group", "score", "raw_score", "p_value", "q_value", "q_raw", "p_extrapolated", "row"),
    *("recovered_from_snr_db", "level", "draw", "snr_db", "own_similarity", "own_rank", "margin"),
    *("nearest_other_similarity", "distance_ratio", "psnr", "ssim", "l2", "tile_l2", "l2_ratio"),
    *("adaptive_l2", "copy_similarity", "copy_l2", "copy_correlation", "fresh_correlation"),
    *("reference_similarity", "similarity_gain", "width", "height", "bytes"),
    *("steps", "guidance", "strength"),
])  # fmt: skip
OF_FINDINGS = tuple(name for name, _ in (*ABOUT, *SAID))
OF_POOL = (
    *("row", "split", "source", "prompt", "example_id", "group", "representative", "spans"),
    *("cluster", "left_out", "lost", "error"),
)
OF_SCORES = KEYS


def expect_columns(table: Any, needed: Iterable[str], place: str) -> None:
    """Raise RunDirectoryError for a table (pyarrow) that no scan wrote, whoever sealed it."""
    names = table.schema.names
    missing = [name for name in needed if name not in names]
    if missing:
        raise RunDirectoryError(f"{place} cannot be read (it has no column {missing[0]})")
    for field in table.schema:
        kind = _expected(field.name, field.type)
        if kind or names.count(field.name) > 1:
            found = str(field.type) if kind else "there twice"
            raise RunDirectoryError(
                f"{place} cannot be read (its column {field.name[:80]!r} is {found}, expected "
                f"{kind or 'one'})"
            )


def _expected(name: str, kind: Any) -> str:
    """What a column should be; "" where it is that. Columns of other packages are either."""
    is_text = pa.types.is_string(kind) or pa.types.is_large_string(kind)
    is_number = pa.types.is_integer(kind) or pa.types.is_floating(kind)
    is_truth = pa.types.is_boolean(kind)
    if name in TEXTS:  # without any, of no kind
        return "" if is_text or pa.types.is_null(kind) else "text"
    if name in TRUTHS:
        return "" if is_truth else "true or false"
    if name in NUMBERS:
        return "" if is_number else "a number"
    return "" if is_text or is_number or is_truth or pa.types.is_null(kind) else "text or a number"
