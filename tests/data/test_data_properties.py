import io
from dataclasses import fields

import numpy as np
import PIL.Image
import pytest
from skimage import data as photos

from memaudit.data import PROPERTIES, Properties, decode, properties

COFFEE = photos.coffee()[:256, :256]
DETAIL = ("quantized", "blockiness", "fine_detail", "sharpness", "chroma_detail")


def of(pixels, file_format="PNG", **options):
    """Properties of pixels saved as a file."""
    data = encoded(PIL.Image.fromarray(pixels), file_format, **options)
    return properties(decode(data), len(data))


def encoded(picture, file_format, **options):
    buffer = io.BytesIO()
    picture.save(buffer, file_format, **options)
    return buffer.getvalue()


def after_jpeg(pixels, quality):
    """Pixels that went through a JPEG file."""
    return decode(encoded(PIL.Image.fromarray(pixels), "JPEG", quality=quality)).image


def upscaled(pixels):
    """Pixels scaled down to two thirds and back."""
    height, width = pixels.shape[:2]
    picture = PIL.Image.fromarray(pixels)
    small = picture.resize((width * 2 // 3, height * 2 // 3), PIL.Image.Resampling.BICUBIC)
    return np.asarray(small.resize((width, height), PIL.Image.Resampling.BICUBIC))


def test_every_property_is_described_in_words():
    assert {name for name, _ in PROPERTIES} == {field.name for field in fields(Properties)}
    assert len({words for _, words in PROPERTIES}) == len(PROPERTIES)


def test_a_file_gives_its_format_size_and_bytes():
    found = of(COFFEE[:60, :80], "WEBP", lossless=True)
    assert (found.format, found.mode, found.width, found.height) == ("WEBP", "RGB", 80, 60)
    assert found.bytes_per_pixel == found.bytes / 4800


def test_the_quality_of_a_jpeg_is_estimated_as_saved():
    picture = PIL.Image.fromarray(COFFEE[:16, :16])
    qualities = range(1, 101)
    files = [encoded(picture, "JPEG", quality=quality) for quality in qualities]
    assert [decode(file).jpeg_quality for file in files] == list(qualities)


def test_the_quality_of_a_grey_jpeg_is_estimated_too():
    found = of(COFFEE[..., 0], "JPEG", quality=83)
    assert (found.jpeg_quality, found.mode, found.chroma_sampling) == (83, "L", "other")


def test_tables_of_another_encoder_get_the_nearest_quality():
    table = [max(1, round(step * 1.1)) for step in range(5, 69)]
    assert 1 <= of(COFFEE, "JPEG", qtables=[table, table]).jpeg_quality <= 100


@pytest.mark.parametrize("file_format", ["PNG", "WEBP", "GIF", "TIFF", "AVIF"])
def test_other_formats_have_no_jpeg_quality(file_format):
    found = of(COFFEE, file_format)
    assert np.isnan(found.jpeg_quality)
    assert found.chroma_sampling == ""


@pytest.mark.parametrize("sampling", ["4:4:4", "4:2:2", "4:2:0"])
def test_chroma_subsampling_is_read(sampling):
    assert of(COFFEE, "JPEG", subsampling=sampling).chroma_sampling == sampling


def test_colours_are_those_of_the_pixels():
    pixels = COFFEE[:32, :32]
    found = of(pixels)
    np.testing.assert_allclose((found.red, found.green, found.blue), pixels.mean((0, 1)), rtol=1e-5)
    spreads = (found.red_spread, found.green_spread, found.blue_spread)
    np.testing.assert_allclose(spreads, pixels.std((0, 1)), rtol=1e-4)


def test_grey_is_unsaturated_and_red_is_not():
    grey = np.repeat(COFFEE[..., :1], 3, axis=2)
    red = np.full((32, 32, 3), (200, 0, 0), np.uint8)
    assert of(grey).saturation == 0
    assert of(red).saturation == 1


def test_black_and_white_are_clipped():
    pixels = np.full((32, 32, 3), 90, np.uint8)
    pixels[:8], pixels[8:16] = 0, 255
    assert of(pixels).clipped == 0.5


def test_what_was_a_jpeg_once_shows_it_in_a_png():
    plain, fine, coarse = (
        of(pixels) for pixels in (COFFEE, after_jpeg(COFFEE, 90), after_jpeg(COFFEE, 50))
    )
    assert abs(plain.quantized) < 0.02 < fine.quantized < coarse.quantized
    assert plain.blockiness < fine.blockiness < coarse.blockiness
    assert fine.chroma_detail < plain.chroma_detail


def test_the_grid_of_jpeg_is_found_in_the_middle_of_a_large_image():
    large = np.tile(photos.coffee()[:256, :256], (3, 3, 1))[:700, :700]
    assert of(after_jpeg(large, 75)).quantized > 0.1


def test_what_was_upscaled_lacks_the_finest_detail():
    plain, soft = of(COFFEE), of(upscaled(COFFEE))
    assert soft.fine_detail < plain.fine_detail - 1
    assert soft.sharpness < plain.sharpness


@pytest.mark.parametrize(("height", "width"), [(1, 1), (15, 64), (64, 15)])
def test_detail_of_a_tiny_image_is_unknown_and_its_colours_are_known(height, width):
    found = of(COFFEE[:height, :width])
    assert all(np.isnan(getattr(found, name)) for name in DETAIL)
    assert found.red == pytest.approx(COFFEE[:height, :width, 0].mean(), rel=1e-5)


@pytest.mark.parametrize(("height", "width"), [(16, 16), (17, 300), (1000, 23), (64, 64)])
def test_all_is_finite_for_images_of_any_other_size(height, width):
    flat, busy = np.zeros((height, width, 3), np.uint8), np.resize(COFFEE, (height, width, 3))
    for pixels in (flat, busy):
        found = of(pixels)
        assert np.isfinite([getattr(found, name) for name in DETAIL]).all()
