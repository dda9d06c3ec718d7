"""What a finished run of a model of noisy data can tell beside one of clean data."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import pandas as pd

from memaudit.statistics import COPY, HALF_LEVEL
from memaudit.statistics.correlation import LEVEL


@dataclass(frozen=True)
class NoisyData:
    """A model of noisy or masked images: own similarity falls for that reason alone.

    `copies` is the digest of the noisy copies that were asked for, None if none were; `flagged`
    members rest on them. `training` is its loss and the noise at which its sampling stops. `untold`
    says why clean images do not tell that it memorizes less than another; empty if they do.
    """

    copies: str | None
    flagged: int
    training: tuple[str, float | None]
    untold: str


def noisy_data(report: dict[str, Any], findings: pd.DataFrame) -> NoisyData | None:
    """Read it from the content of scan.json; None for a model of clean data."""
    noisy, provenance = report["summary"].get("noisy"), report["provenance"]
    if not noisy:
        return None
    copies = next((one for one in noisy["by_query"] if one["query"] == COPY), None)
    returned = noisy["correlation"]
    untold = ""
    if provenance["model"].get("mask"):
        untold = "was asked through one mask that hides a part of every image"
    elif noisy.get("masked"):
        untold = "was trained on noisy copies with masks, for which it cannot be asked"
    elif copies is None:
        untold = "was not asked for the noisy copies that it was trained on"
    elif _memorized(copies, findings):
        untold = "memorized its noisy copies"
    elif returned and returned["p_value"] <= LEVEL:
        untold = "returns the frozen noise of its noisy copies"
    return NoisyData(
        copies=provenance["copies"]["digest"] if copies else None,
        flagged=copies["flagged"] if copies else 0,
        training=(noisy["loss"], (provenance["model"].get("ambient") or {}).get("sample_from")),
        untold=untold,
    )


def _memorized(copies: dict[str, Any], findings: pd.DataFrame) -> bool:
    """Whether they would be evidence by themselves; they share the level with clean images."""
    q = findings.loc[findings["query"] == COPY, "q_value"].min()
    p = copies["test"]["p_value"] if copies["test"] else 1.0
    return bool(q <= HALF_LEVEL) or p <= HALF_LEVEL / 2
