"""Boxes of a file, as the model sees them."""

import numpy as np
import pytest

from memaudit.audit.boxes import Named, Resized
from memaudit.corruption.hiding import Frame
from memaudit.data import resize
from memaudit.data.boxes import Box, Boxed

BOX = Box(60, 20, 50, 40)


@pytest.mark.parametrize("policy", ["center-crop", "stretch", "pad"])
@pytest.mark.parametrize("size", [(100, 160), (160, 130), (96, 96)])
def test_a_box_lies_where_the_resized_image_shows_it(policy, size):
    height, width = size
    image = np.zeros((height, width, 3), np.uint8)
    image[20:60, 60:110] = 255
    small = resize(image, (64, 64), policy)[..., 0].astype(float) / 255
    if policy == "pad":  # which is white, too
        bare = resize(np.zeros_like(image), (64, 64), policy)[..., 0] / 255.0
        small = small - bare
    frame = Resized(width, height, (64, 64), policy).frame(BOX, None)
    inside = 1 - frame.gain((64, 64))[0].numpy()
    assert np.abs(inside - small).mean() < 0.03
    assert frame.hides((64, 64)) == pytest.approx(inside.mean())


def test_a_box_may_be_told_in_pixels_of_another_size():
    seen = Resized(80, 80, (32, 32), "center-crop")
    assert seen.frame(BOX, (160, 160)) == seen.frame(Box(30, 10, 25, 20), None)


def test_a_box_is_cut_off_at_the_edge_and_outside_hides_nothing():
    seen = Resized(100, 100, (32, 32), "stretch")
    assert seen.frame(Box(-20, 50, 40, 500), None) == Frame(0.5, 0.0, 1.0, 0.2)
    assert seen.frame(Box(100, 0, 5, 5), None) is None
    assert Resized(200, 100, (32, 32), "center-crop").frame(Box(0, 0, 50, 100), None) is None


def test_a_box_hides_one_pixel_at_least():
    assert int((Frame(0.99, 0.99, 1.0, 1.0).gain((8, 8)) == 0).sum()) == 1
    assert int((Frame(0.0, 0.0, 0.01, 0.01).gain((8, 8)) == 0).sum()) == 1


@pytest.mark.parametrize(
    ("source", "name"),
    [
        ("a/b.png", "a/b.png"),
        ("b.png", None),  # two may be it
        ("x/c.png", "c.png"),
        ("d.png", "deep/er/d.png"),
        ("er/d.png", "deep/er/d.png"),
        ("else/d.png", None),
        ("part-0.tar#c.png", "c.png"),
        ("rows.parquet#3", "rows.parquet#3"),
        ("none.png", None),
    ],
)
def test_an_image_is_found_by_the_end_of_its_path(source, name):
    names = ["a/b.png", "z/b.png", "c.png", "deep/er/d.png", "rows.parquet#3"]
    assert Named(dict.fromkeys(names, Boxed())).name_of(source) == name
