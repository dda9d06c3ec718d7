"""Findings and strips as a finished scan publishes them, beside the records of `recorded`."""

import hashlib

import numpy as np
import pandas as pd

from memaudit.attacks.scores import COLUMNS
from memaudit.report.finished import Reported
from memaudit.report.strips import strip
from memaudit.run.directory import PREFIX
from memaudit.run.record import Record
from memaudit.statistics.findings import described

TEXTS = ("prompt", "cluster", "literature", "reason", "nearest_other", "nearest_other_source")


def findings(count: int, flagged: int = 5) -> pd.DataFrame:
    """Make `count` rows, a third of them members, of which the first are flagged as copies."""
    rng = np.random.default_rng(0)
    number = np.arange(count)
    member = number < max(1, count // 3)
    is_flagged = number < flagged
    table = pd.DataFrame({name: rng.random(count) for name, _ in described(COLUMNS)})
    for name in TEXTS:
        table[name] = ""
    table["example_id"] = [hashlib.sha256(b"%d" % k).hexdigest() for k in number]
    table["source"] = [f"folder/image-{k:06d}.png" for k in number]
    table["split"] = np.where(member, "member", "control")
    table["group"] = number
    table["representative"] = True
    table["stage"], table["input"] = "full", "clean image"
    table["score"] = np.sort(rng.normal(size=count) + 5 * is_flagged)[::-1]
    table["flagged"] = table["flagged_extrapolated"] = is_flagged
    table["claim"] = np.where(is_flagged, "reproduction", "")
    table["recovered_from_snr_db"] = np.where(is_flagged, -18.7, np.nan)
    for name in ("p_value", "q_value", "q_raw", "p_extrapolated"):
        table[name] = table[name].where(member)
    return table


def published(record: Record, count: int = 60, flagged: int = 5, **texts: str) -> Reported:
    """Make a finished scan; `texts` are what all rows have in a column of text."""
    table = findings(count, flagged).assign(**texts)
    image = np.arange(8 * 8 * 3, dtype=np.uint8).reshape(8, 8, 3)
    png = strip([image, image, image, image])
    strips = {name[:PREFIX]: png for name in table.loc[table["flagged"], "example_id"]}
    return Reported("run", record, table, strips)
