"""Strips for a report: small, inline, and in words for those who do not see them."""

from __future__ import annotations

import base64
import io
import math
from collections.abc import Iterator
from dataclasses import dataclass

import pandas as pd
from PIL import Image as PillowImage

from memaudit.records import COPY
from memaudit.report.covering import Covering, covering
from memaudit.report.figure import levels_of
from memaudit.report.finished import Reported
from memaudit.report.kinds import names
from memaudit.report.strips import HEIGHT
from memaudit.run.directory import PREFIX

STRONGEST = 3  # on page one
QUALITY = 85  # of JPEG


@dataclass(frozen=True)
class Picture:
    """A strip as a data URI (blank without one), and what is said of it; `key` is its finding's."""

    key: str
    rank: int
    source: str
    finding: str
    uri: str
    width: int
    height: int
    columns: tuple[str, ...]
    alt: str
    said: str


def pictures(run: Reported) -> Iterator[Picture]:
    """The strips of a run: reproductions, then the others, those of the highest scores first.

    The strongest stand here even without a strip. A rank is that among all findings.
    """
    rows = run.findings[run.findings["flagged"] & run.findings["representative"]]
    rows = rows.reset_index(drop=True)
    has_strip = rows["example_id"].str[:PREFIX].isin([*run.strips])
    reproduced = rows["claim"] == "reproduction"
    has_strip |= reproduced & (reproduced.cumsum() <= STRONGEST)
    rows = pd.concat([rows[reproduced], rows[~reproduced]])  # a headline's own pictures first
    weakest = max((level.snr_db for level in levels_of(run.record)), default=math.nan)
    attack = run.record.prepared.primary.attack
    told = _Told(attack, names(run.record), covering(run.record), weakest)
    for place, row in rows[has_strip[rows.index] | (rows.index < STRONGEST)].iterrows():
        strip = run.strips.get(str(row["example_id"])[:PREFIX])
        yield _picture(row, int(str(place)) + 1, strip, told)


@dataclass(frozen=True)
class _Told:
    """What findings are called, how images were corrupted, and the weakest level in dB.

    `attack` is the one that the strips show.
    """

    attack: str
    names: dict[str, str]
    way: Covering
    weakest: float


def _picture(row: pd.Series[float], rank: int, strip: bytes | None, told: _Told) -> Picture:
    kind, content, (width, height) = ("", b"", (0, 0)) if strip is None else _small(strip)
    columns = ("original", "corrupted", told.way.made, "nearest other")
    shown = columns if width > 3.5 * height else columns[:3]
    snr = row["recovered_from_snr_db"]
    level = told.way.left(float(told.weakest if pd.isna(snr) else snr))
    return Picture(
        key=str(row["example_id"])[:PREFIX],
        rank=rank,
        source=str(row["source"]),
        finding=told.names.get(str(row["claim"]), "flagged").lower(),
        uri=f"data:image/{kind};base64,{base64.b64encode(content).decode()}" if kind else "",
        width=width,
        height=height,
        columns=shown,
        alt=_seen(row, f"{told.way.under} ({level})", told.way.other, len(shown)),
        said=_said(
            row,
            f"{'Shown' if pd.isna(snr) else 'Comes back as a copy'} from {level}",
            told,
        ),
    )


def _seen(row: pd.Series[float], level: str, other: str, count: int) -> str:
    """What a strip shows, for those who do not see it."""
    beside = f", and {other}, {row['nearest_other_source']}"
    return (
        f"{'Four' if count == 4 else 'Three'} pictures side by side: the image {row['source']}, "
        f"the same {level}, what the model made of that (similarity to the image "
        f"{row['own_similarity']:.2f} of 1 on average){beside if count == 4 else ''}."
    )


def _said(row: pd.Series[float], shown: str, told: _Told) -> str:
    """What is to be known of a finding."""
    unseen = _unseen(row, told.attack) if pd.isna(row["recovered_from_snr_db"]) else ""
    return (
        f"{shown}. Similarity {row['own_similarity']:.2f} to the image on average, "
        f"{row['nearest_other_similarity']:.2f} to {told.way.other} (a score up to 1, no "
        f"percentage).{unseen}"
    )


def _unseen(row: pd.Series[float], attack: str) -> str:
    """What tells of an image where its strip does not show it: weak noise, or a noisy copy."""
    if str(row["attack"]) != attack and bool(row.get("reproduction_flagged", False)):
        return (
            " What came back is nearer than chance explains, and below what counts as a copy; the "
            f"image stands out by {row['attack']}, under weak noise, as well."
        )
    if str(row["attack"]) != attack:
        return f" What tells is not seen here: it stands out by {row['attack']}, under weak noise."
    if str(row["input"]) == COPY:
        return (
            " What tells is not seen here: asked about the noisy copy that it was trained on, the "
            f"model gives back that copy's noise (correlation {row['copy_correlation']:.2f})."
        )
    return ""


def _small(png: bytes) -> tuple[str, bytes, tuple[int, int]]:
    """Kind, content and size of a strip for a page; a large one becomes a smaller JPEG."""
    with PillowImage.open(io.BytesIO(png)) as image:
        if image.height <= HEIGHT:
            return "png", png, image.size
        size = (round(image.width * HEIGHT / image.height), HEIGHT)
        shrunk = image.convert("RGB").resize(size, PillowImage.Resampling.LANCZOS)
    buffer = io.BytesIO()
    shrunk.save(buffer, format="JPEG", quality=QUALITY)
    return "jpeg", buffer.getvalue(), size
