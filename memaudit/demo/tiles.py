"""The demo's images: tiles of the photographs that ship inside scikit-image."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from scipy.sparse.csgraph import connected_components
from skimage import data as photographs

from memaudit.data import resize
from memaudit.files import write_whole
from memaudit.records import Image
from memaudit.report.strips import strip
from memaudit.similarity.embed import load_embedder

TILE = 48  # pixels cut from the photograph
SIZE = 32  # pixels of the tile that the models see
CONTRAST = 20.0  # least standard deviation of the grey levels; sky and black space stay out
NEAR = 0.75  # SSCD similarity from which two tiles count as near duplicates
LARGEST = 4  # a larger group is one texture, not copies of one tile; it stays out
# In the order in which they are drawn. The last controls come after the images of the twin, which
# was trained when there were fewer of them.
COUNTS = (("members", 40), ("controls", 150), ("others", 40), ("controls", 20))
SIDES = tuple(dict.fromkeys(side for side, _ in COUNTS))
SEED = 0


@dataclass(frozen=True)
class Tile:
    """One tile; `name` tells photograph, row and column."""

    name: str
    image: Image


def write_tiles(folder: Path) -> dict[str, Path]:
    """Write members, controls and others, one PNG a tile, and return the three folders.

    One random split of all tiles; near duplicates stay on one side. The split never looks at
    anything but the pixels, so members and controls are exchangeable.
    """
    folders = {side: folder / side for side in SIDES}
    for side, tiles in split_tiles().items():
        folders[side].mkdir(parents=True, exist_ok=True)
        for tile in tiles:
            path = folders[side] / f"{tile.name}.png"
            if not path.is_file():  # a file that stays as it was lets an interrupted demo go on
                write_whole(path, strip([tile.image], height=SIZE))
    return folders


def split_tiles() -> dict[str, list[Tile]]:
    """Draw members, controls and others from the tiles, whole near-duplicate groups at a time."""
    tiles = cut_tiles()
    groups = _near_duplicates([tile.image for tile in tiles])
    order = np.random.default_rng(SEED).permutation(groups.max() + 1)
    drawn: list[list[Tile]] = [[] for _ in COUNTS]
    for group in order:
        rows = [tiles[k] for k in np.flatnonzero(groups == group)]
        if len(rows) > LARGEST:
            continue
        for lot, (_, wanted) in zip(drawn, COUNTS, strict=True):
            if len(lot) + len(rows) <= wanted:
                lot.extend(rows)
                break
    sides: dict[str, list[Tile]] = {side: [] for side in SIDES}
    for lot, (side, _) in zip(drawn, COUNTS, strict=True):
        sides[side] += lot
    return sides


def cut_tiles() -> list[Tile]:
    """Cut every photograph into tiles and keep those that show something."""
    tiles = []
    for name, photograph in photographs_by_name().items():
        height, width = photograph.shape[:2]
        for y in range(0, height - TILE + 1, TILE):
            for x in range(0, width - TILE + 1, TILE):
                image = resize(photograph[y : y + TILE, x : x + TILE], (SIZE, SIZE), "stretch")
                if image.mean(2).std() >= CONTRAST:
                    tiles.append(Tile(f"{name}-{y:04d}-{x:04d}", image))
    return tiles


def photographs_by_name() -> dict[str, Image]:
    """Name the colour photographs that scikit-image ships, and read them."""
    return {
        "astronaut": photographs.astronaut(),
        "chelsea": photographs.chelsea(),
        "coffee": photographs.coffee(),
        "hubble": photographs.hubble_deep_field(),
        "ihc": photographs.immunohistochemistry(),
        "motorcycle": photographs.stereo_motorcycle()[0],
        "rocket": photographs.rocket(),
    }


def _near_duplicates(images: list[Image]) -> NDArray[np.int32]:
    vectors = load_embedder("sscd-distilled").embed(images)
    groups: NDArray[np.int32] = connected_components(vectors @ vectors.T >= NEAR)[1]
    return groups
