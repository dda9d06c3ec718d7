import numpy as np
import pytest
from skimage import data as photos

from memaudit.data import resize

ASTRONAUT = photos.astronaut()
WIDE = ASTRONAUT[:100, :200]
POLICIES = ["center-crop", "stretch", "pad"]


@pytest.mark.parametrize("policy", POLICIES)
def test_an_image_of_that_size_is_left_as_it_is(policy):
    assert resize(WIDE, (100, 200), policy) is WIDE


@pytest.mark.parametrize("policy", POLICIES)
@pytest.mark.parametrize("resolution", [(32, 32), (48, 16), (150, 300)])
def test_resolution_is_height_then_width(policy, resolution):
    resized = resize(WIDE, resolution, policy)
    assert resized.shape == (*resolution, 3)
    assert resized.dtype == np.uint8


@pytest.mark.parametrize("policy", POLICIES)
@pytest.mark.parametrize("shape", [(1, 1000, 3), (1000, 1, 3)])
def test_a_line_of_pixels_can_be_resized(policy, shape):
    assert resize(np.zeros(shape, np.uint8), (32, 32), policy).shape == (32, 32, 3)


def test_center_crop_shows_the_middle():
    image = np.zeros((100, 300, 3), np.uint8)
    image[:, 100:200] = 200
    resized = resize(image, (50, 50), "center-crop")
    assert (resized[:, 2:-2] == 200).all()
    assert resized.min() > 150  # the filter sees some of the black beyond the crop


def test_stretch_shows_everything():
    image = np.zeros((100, 200, 3), np.uint8)
    image[:, 100:] = 200
    resized = resize(image, (50, 50), "stretch")
    assert resized[0, 0, 0] == 0
    assert resized[0, -1, 0] == 200
    assert (resized[:, :20] == 0).all()


def test_pad_adds_white_around_the_whole_image():
    resized = resize(np.zeros((100, 200, 3), np.uint8), (40, 40), "pad")
    assert (resized[:10] == 255).all()
    assert (resized[10:30] == 0).all()
    assert (resized[30:] == 255).all()


@pytest.mark.parametrize("policy", POLICIES)
def test_shrinking_does_not_alias(policy):
    stripes = np.zeros((256, 256, 3), np.uint8)
    stripes[:, ::2] = 255
    resized = resize(stripes, (32, 32), policy).astype(int)
    assert np.abs(resized - 127).max() < 12
