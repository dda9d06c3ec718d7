"""The demo's images: one split of real photographs, nothing near on two sides."""

from pathlib import Path

import numpy as np
from PIL import Image as PillowImage

from memaudit.demo.tiles import NEAR, SIDES, SIZE, Tile, split_tiles, write_tiles
from memaudit.similarity.embed import load_embedder


def test_the_split_is_the_same_every_time_and_has_the_promised_sizes(
    split: dict[str, list[Tile]],
) -> None:
    first, second = split, split_tiles()
    sizes = {side: len(tiles) for side, tiles in first.items()}
    assert sizes == {"members": 40, "controls": 170, "others": 40}
    assert [t.name for t in first["members"]] == [t.name for t in second["members"]]


def test_no_tile_stands_on_two_sides_and_near_duplicates_stay_on_one(
    split: dict[str, list[Tile]],
) -> None:
    names = [tile.name for tiles in split.values() for tile in tiles]
    assert len(set(names)) == len(names)
    embedder = load_embedder("sscd-distilled")
    vectors = {side: embedder.embed([t.image for t in tiles]) for side, tiles in split.items()}
    for one, other in (("members", "controls"), ("members", "others"), ("controls", "others")):
        assert np.max(vectors[one] @ vectors[other].T) < NEAR


def test_members_and_controls_come_from_the_same_photographs(written: tuple[Path, str]) -> None:
    images = written[0] / "images"
    folders = {side: images / side for side in SIDES}
    photographs = {
        side: {path.name.split("-")[0] for path in folders[side].iterdir()}
        for side in ("members", "controls")
    }
    assert len(photographs["members"] & photographs["controls"]) >= 5
    before = {path: path.stat().st_mtime_ns for path in images.rglob("*.png")}
    write_tiles(images)  # an interrupted demo goes on with the same files
    assert before == {path: path.stat().st_mtime_ns for path in images.rglob("*.png")}
    with PillowImage.open(next(folders["members"].iterdir())) as image:
        assert image.size == (SIZE, SIZE)
