"""A strip shows its images exactly, enlarged by whole factors."""

import io

import numpy as np
import pytest
from PIL import Image as PillowImage

from memaudit.report.strips import GAP, HEIGHT, strip


def read(content):
    with PillowImage.open(io.BytesIO(content)) as picture:
        assert picture.format == "PNG"
        return np.array(picture)


def test_images_stand_left_to_right_with_white_between(tiles):
    pixels = read(strip(tiles[:3]))
    step = HEIGHT + GAP
    assert pixels.shape == (HEIGHT, 3 * HEIGHT + 2 * GAP, 3)
    for k, tile in enumerate(tiles[:3]):
        block = pixels[:, k * step : k * step + HEIGHT]
        assert np.array_equal(block, tile.repeat(8, axis=0).repeat(8, axis=1))
    for k in (1, 2):
        assert (pixels[:, k * step - GAP : k * step] == 255).all()


def test_a_single_image_has_no_border(tiles):
    assert np.array_equal(read(strip(tiles[:1], height=16)), tiles[0])


@pytest.mark.parametrize(
    ("side", "height", "expected"),
    [(16, 128, 128), (100, 128, 200), (127, 128, 254), (128, 128, 128), (200, 128, 200)],
)
def test_the_factor_is_the_smallest_whole_one_that_reaches_the_height(side, height, expected):
    image = np.zeros((side, 10, 3), np.uint8)
    assert read(strip([image], height)).shape == (expected, 10 * expected // side, 3)


def test_images_of_unlike_heights_are_no_strip(tiles):
    with pytest.raises(ValueError, match="must match exactly"):
        strip([tiles[0], tiles[1][:8]], height=16)
