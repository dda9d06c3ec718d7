"""A strip shows its images exactly, enlarged by whole factors."""

import numpy as np
import pytest
from PIL import Image as PillowImage

from memaudit.report.strips import GAP, HEIGHT, write_strip


def read(path):
    with PillowImage.open(path) as picture:
        assert picture.format == "PNG"
        return np.array(picture)


def test_images_stand_left_to_right_with_white_between(tiles, tmp_path):
    write_strip(tmp_path / "strip.png", tiles[:3])
    pixels = read(tmp_path / "strip.png")
    step = HEIGHT + GAP
    assert pixels.shape == (HEIGHT, 3 * HEIGHT + 2 * GAP, 3)
    for k, tile in enumerate(tiles[:3]):
        block = pixels[:, k * step : k * step + HEIGHT]
        assert np.array_equal(block, tile.repeat(8, axis=0).repeat(8, axis=1))
    for k in (1, 2):
        assert (pixels[:, k * step - GAP : k * step] == 255).all()


def test_a_single_image_has_no_border(tiles, tmp_path):
    write_strip(tmp_path / "strip.png", tiles[:1], height=16)
    assert np.array_equal(read(tmp_path / "strip.png"), tiles[0])


@pytest.mark.parametrize(
    ("side", "height", "expected"),
    [(16, 128, 128), (100, 128, 200), (127, 128, 254), (128, 128, 128), (200, 128, 200)],
)
def test_the_factor_is_the_smallest_whole_one_that_reaches_the_height(
    tmp_path, side, height, expected
):
    image = np.zeros((side, 10, 3), np.uint8)
    write_strip(tmp_path / "strip.png", [image], height)
    assert read(tmp_path / "strip.png").shape == (expected, 10 * expected // side, 3)


def test_a_strip_takes_the_place_of_the_one_before_and_leaves_no_other_file(tiles, tmp_path):
    for tile in tiles[:2]:
        write_strip(tmp_path / "strip.png", [tile], height=16)
    assert np.array_equal(read(tmp_path / "strip.png"), tiles[1])
    assert [path.name for path in tmp_path.iterdir() if path.is_file()] == ["strip.png"]


def test_images_of_unlike_heights_are_no_strip_and_the_one_before_stays(tiles, tmp_path):
    write_strip(tmp_path / "strip.png", tiles[:1], height=16)
    with pytest.raises(ValueError, match="must match exactly"):
        write_strip(tmp_path / "strip.png", [tiles[0], tiles[1][:8]], height=16)
    assert np.array_equal(read(tmp_path / "strip.png"), tiles[0])
