"""Does the exchangeability check find controls that differ, and pass those that do not?

    python benchmarks/shift.py [CASE ...]

Real images: 32 px tiles of the photographs that ship inside scikit-image, in their own pixels, 500
members against 500 controls, drawn afresh for each of 100 tries. Each image is saved, decoded,
measured and embedded as in a scan. Expected: controls from other photographs, of another JPEG
quality (75 against 90) as .jpg and as .png made of them, scaled to two thirds and back, and of
another size raise the alarm in at least 95 of 100 tries; controls of a random split in at most 5.
About ten minutes on two cores; with a CASE or more, those only.
"""

from __future__ import annotations

import io
import os
import sys
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import asdict
from functools import cache

os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")  # small matrices; threads wait for each other

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from PIL import Image as PillowImage
from skimage import data as photographs

from memaudit.data import decode, properties
from memaudit.demo.tiles import photographs_by_name
from memaudit.records import Image, Vectors
from memaudit.similarity.embed import load_embedder
from memaudit.statistics.exchangeability import Exchangeability, exchangeability

TILE = 32
CONTRAST = 12.0  # least standard deviation of a tile's grey levels: sky and black space stay out
SIDE = 500  # members, and controls
SAVED = 1200  # of the tiles, saved in each way
TRIES = 100
CAUGHT, FALSE = 95, 5  # least alarms under a shift, most without
FAIR, PHOTOGRAPHS = "random split", "other photographs"
Rows = NDArray[np.int64]


def png(image: Image) -> bytes:
    return save(image, "PNG")


def jpeg(quality: int) -> Callable[[Image], bytes]:
    return lambda image: save(image, "JPEG", quality)


def was_jpeg(quality: int) -> Callable[[Image], bytes]:
    return lambda image: png(decode(save(image, "JPEG", quality)).image)


def smaller(image: Image) -> bytes:
    return png(scaled(image, TILE * 2 // 3))


def upscaled(image: Image) -> bytes:
    return png(scaled(scaled(image, TILE * 2 // 3), TILE))


WAYS: dict[str, tuple[Callable[[Image], bytes], Callable[[Image], bytes]]] = {
    "JPEG 75 and 90": (jpeg(75), jpeg(90)),
    "PNG of JPEG 75 and 90": (was_jpeg(75), was_jpeg(90)),
    "upscaled": (png, upscaled),
    "smaller": (png, smaller),
}


def main() -> int:
    cases = sys.argv[1:] or [FAIR, PHOTOGRAPHS, *WAYS]
    print(f"{'controls':24}{'alarms':>8}{'AUC emb.':>10}{'AUC prop.':>11}{'s a try':>9}  expected")
    verdicts = [report(case) for case in cases]
    return 0 if all(verdicts) else 1


def report(case: str) -> bool:
    """Run one case and say how often it was caught, its median AUCs and what was named first."""
    sides = [read(way) for way in WAYS.get(case, (png, png))]
    start = time.perf_counter()
    results = [run(case, sides, seed) for seed in range(TRIES)]
    seconds = (time.perf_counter() - start) / TRIES
    alarms = sum(result.alarm for result in results)
    good = alarms <= FALSE if case == FAIR else alarms >= CAUGHT
    aucs = np.median([[b.auc for b in result.baselines] for result in results], axis=0)
    named = Counter(result.separates[0].what for result in results if result.separates)
    first = ", ".join(f"{what} ({count})" for what, count in named.most_common(2))
    print(
        f"{case:24}{alarms:8d}{aucs[0]:10.3f}{aucs[1]:11.3f}{seconds:9.2f}"
        f"  {'yes' if good else 'NO'}; named first: {first or 'nothing'}",
        flush=True,
    )
    return good


def run(case: str, sides: list[tuple[Vectors, pd.DataFrame]], seed: int) -> Exchangeability:
    rows = draw(case, np.random.default_rng(seed))
    vectors = np.concatenate([side[0][drawn] for side, drawn in zip(sides, rows, strict=True)])
    table = pd.concat(
        [side[1].iloc[drawn] for side, drawn in zip(sides, rows, strict=True)], ignore_index=True
    )
    found = exchangeability(vectors, table, np.arange(2 * SIDE) < SIDE, seed)
    if found is None:
        raise RuntimeError("500 a side are enough")
    return found


def draw(case: str, rng: np.random.Generator) -> tuple[Rows, Rows]:
    """Rows of the members and of the controls, none in both."""
    if case != PHOTOGRAPHS:
        order = rng.permutation(SAVED)
        return order[:SIDE], order[SIDE : 2 * SIDE]
    names = np.array([name for name, _ in tiles()])
    while True:  # until there are enough tiles in both shares of the photographs
        side = np.isin(names, rng.permutation(np.unique(names))[: rng.integers(1, 8)])
        if min(side.sum(), (~side).sum()) >= SIDE:
            members, controls = (rng.permutation(np.flatnonzero(s))[:SIDE] for s in (side, ~side))
            return members, controls


@cache
def tiles() -> list[tuple[str, Image]]:
    """Name of the photograph and tile, without overlap, in a fixed random order."""
    found = [
        (name, photograph[y : y + TILE, x : x + TILE])
        for name, photograph in (*photographs_by_name().items(), ("retina", photographs.retina()))
        for y in range(0, photograph.shape[0] - TILE + 1, TILE)
        for x in range(0, photograph.shape[1] - TILE + 1, TILE)
    ]
    found = [(name, tile) for name, tile in found if tile.mean(2).std() >= CONTRAST]
    return [found[k] for k in np.random.default_rng(0).permutation(len(found))]


@cache
def read(way: Callable[[Image], bytes]) -> tuple[Vectors, pd.DataFrame]:
    """Embeddings and properties of the tiles, saved in one way."""
    files = [way(tile) for _, tile in (tiles() if way is png else tiles()[:SAVED])]
    decoded = [decode(file) for file in files]
    rows = [asdict(properties(d, len(file))) for d, file in zip(decoded, files, strict=True)]
    embedder = load_embedder("sscd-distilled")
    chunks = [decoded[k : k + 16] for k in range(0, len(decoded), 16)]
    vectors = [embedder.embed([d.image for d in chunk]) for chunk in chunks]
    return np.concatenate(vectors), pd.DataFrame(rows)


def save(image: Image, file_format: str, quality: int = 75) -> bytes:
    buffer = io.BytesIO()
    PillowImage.fromarray(image).save(buffer, file_format, quality=quality)
    return buffer.getvalue()


def scaled(image: Image, side: int) -> Image:
    picture = PillowImage.fromarray(image).resize((side, side), PillowImage.Resampling.BICUBIC)
    return np.asarray(picture)


if __name__ == "__main__":
    sys.exit(main())
