import io
import struct
import zlib

import numpy as np
import PIL.Image
import pytest
from skimage import data as photos

from memaudit.data import decode, image_id
from memaudit.errors import UnreadableImageError

CHELSEA = photos.chelsea()[:60, :80]


def encoded(picture, file_format="PNG", **options):
    buffer = io.BytesIO()
    picture.save(buffer, file_format, **options)
    return buffer.getvalue()


def photo(**options):
    return encoded(PIL.Image.fromarray(CHELSEA), **options)


def test_a_png_gives_its_pixels_and_what_the_file_says():
    decoded = decode(photo())
    np.testing.assert_array_equal(decoded.image, CHELSEA)
    assert (decoded.format, decoded.mode, decoded.width, decoded.height) == ("PNG", "RGB", 80, 60)
    assert decoded.image.dtype == np.uint8
    assert decoded.image.flags.writeable


@pytest.mark.parametrize("file_format", ["JPEG", "WEBP", "GIF", "TIFF", "PPM", "AVIF", "JPEG2000"])
def test_each_format_gives_about_the_same_picture(file_format):
    decoded = decode(photo(file_format=file_format))
    assert decoded.format == file_format
    assert np.abs(decoded.image.astype(int) - CHELSEA).mean() < 12


def test_the_same_pixels_share_an_id_whatever_the_format():
    png, bmp = decode(photo()).image, decode(photo(file_format="BMP")).image
    assert image_id(png) == image_id(bmp)
    assert len(image_id(png)) == 64


def test_ids_tell_pixels_and_shapes_apart():
    other = CHELSEA.copy()
    other[0, 0, 0] ^= 1
    reshaped = CHELSEA.reshape(80, 60, 3)
    assert len({image_id(CHELSEA), image_id(other), image_id(reshaped)}) == 3


def test_an_id_does_not_depend_on_memory_layout():
    assert image_id(np.asfortranarray(CHELSEA)) == image_id(CHELSEA)


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"", "0 bytes"),
        (b"plain text, no image", "expected one of JPEG"),
        (photo(file_format="JPEG")[:-100], "truncated"),
        (photo(file_format="JPEG")[:200], "damaged"),
        (photo()[:200], "damaged"),
        (photo()[:20], "damaged|expected one of"),
        (b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n", "expected one of JPEG"),
    ],
    ids=["empty", "text", "short jpeg", "jpeg header", "short png", "png header", "postscript"],
)
def test_what_is_no_whole_image_is_unreadable(data, message):
    with pytest.raises(UnreadableImageError, match=message):
        decode(data)


def huge_png(width, height):
    def chunk(kind, body):
        return (
            struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))
        )

    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    rows = chunk(b"IDAT", zlib.compress(b"\0" * 1000))
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + rows + chunk(b"IEND", b"")


@pytest.mark.parametrize("side", [9_460, 12_000, 1_000_000])
def test_a_decompression_bomb_is_refused_by_its_header(side):
    with pytest.raises(UnreadableImageError, match="limit"):
        decode(huge_png(side, side))


def test_16_bit_grey_keeps_its_high_byte():
    grey = np.array([[0, 255, 256], [32_768, 40_000, 65_535]], dtype=np.uint16)
    for file_format in ("PNG", "TIFF"):
        image = decode(encoded(PIL.Image.fromarray(grey), file_format)).image
        np.testing.assert_array_equal(image, np.repeat((grey >> 8)[..., None], 3, axis=2))


def test_big_endian_16_bit_grey_keeps_its_high_byte():
    picture = PIL.Image.frombytes("I;16B", (2, 1), b"\x12\x34\xff\x00")
    decoded = decode(encoded(picture, "TIFF"))
    assert decoded.mode == "I;16B"
    assert decoded.image[0, :, 0].tolist() == [0x12, 0xFF]


def test_32_bit_integers_beyond_16_bit_are_refused():
    grey = np.array([[0, 70_000]], dtype=np.int32)
    with pytest.raises(UnreadableImageError, match=r"\[0, 70000\]"):
        decode(encoded(PIL.Image.fromarray(grey), "TIFF"))


@pytest.mark.parametrize(
    ("values", "expected"), [([0.0, 0.5, 1.0], [0, 128, 255]), ([0.0, 0.6, 254.6], [0, 1, 255])]
)
def test_floats_are_scaled_by_their_range(values, expected):
    picture = PIL.Image.fromarray(np.array([values], dtype=np.float32))
    assert decode(encoded(picture, "TIFF")).image[0, :, 0].tolist() == expected


@pytest.mark.parametrize("value", [-1.0, 256.0, np.nan, np.inf])
def test_floats_outside_both_ranges_are_refused(value):
    picture = PIL.Image.fromarray(np.array([[0.0, value]], dtype=np.float32))
    with pytest.raises(UnreadableImageError, match="floats in"):
        decode(encoded(picture, "TIFF"))


def test_transparency_is_composited_on_white():
    rgba = np.array([[[10, 20, 30, 255], [10, 20, 30, 0], [0, 0, 0, 128]]], dtype=np.uint8)
    image = decode(encoded(PIL.Image.fromarray(rgba))).image
    assert image[0].tolist() == [[10, 20, 30], [255, 255, 255], [127, 127, 127]]


@pytest.mark.parametrize(
    ("alpha", "expected"),
    [
        ("white", [[10, 20, 30], [255, 255, 255], [177, 127, 127]]),
        ("black", [[10, 20, 30], [0, 0, 0], [50, 0, 0]]),
        ("drop", [[10, 20, 30], [10, 20, 30], [100, 0, 0]]),
    ],
)
def test_what_is_transparent_becomes_what_is_asked_for_and_is_said(alpha, expected):
    rgba = np.array([[[10, 20, 30, 255], [10, 20, 30, 0], [100, 0, 0, 128]]], dtype=np.uint8)
    decoded = decode(encoded(PIL.Image.fromarray(rgba)), alpha)
    assert decoded.image[0].tolist() == expected
    assert decoded.changed == "transparent"


def test_alpha_that_is_opaque_everywhere_changes_nothing():
    rgba = np.dstack([CHELSEA, np.full(CHELSEA.shape[:2], 255, np.uint8)])
    for alpha in ("white", "black", "drop"):
        decoded = decode(encoded(PIL.Image.fromarray(rgba)), alpha)
        np.testing.assert_array_equal(decoded.image, CHELSEA)
        assert decoded.changed == ""


def test_transparent_grey_keeps_its_grey_where_alpha_is_dropped():
    grey = np.array([[[40, 255], [40, 0]]], dtype=np.uint8)
    decoded = decode(encoded(PIL.Image.fromarray(grey, "LA")), "drop")
    assert decoded.image[0, :, 0].tolist() == [40, 40]


@pytest.mark.parametrize("bits", [8, 10, 12, 14, 16])
def test_grey_is_scaled_by_the_bits_in_use(bits):
    eight = np.arange(256, dtype=np.uint16)[None]
    decoded = decode(encoded(PIL.Image.fromarray(eight << (bits - 8))))
    np.testing.assert_array_equal(decoded.image[0, :, 0], eight[0])
    assert decoded.changed == f"grey of {bits} bits reduced to 8"


def test_grey_with_alpha_is_composited_on_white():
    grey = np.array([[[40, 255], [40, 0]]], dtype=np.uint8)
    assert decode(encoded(PIL.Image.fromarray(grey, "LA"))).image[0, :, 0].tolist() == [40, 255]


def test_a_transparent_palette_entry_becomes_white():
    picture = PIL.Image.new("P", (2, 1))
    picture.putpalette([200, 0, 0, 0, 0, 200])
    picture.putpixel((1, 0), 1)
    decoded = decode(encoded(picture, transparency=0))
    assert decoded.mode == "P"
    assert decoded.image[0].tolist() == [[255, 255, 255], [0, 0, 200]]


def test_a_transparent_colour_becomes_white():
    picture = PIL.Image.fromarray(np.array([[[1, 2, 3], [4, 5, 6]]], dtype=np.uint8))
    image = decode(encoded(picture, transparency=(1, 2, 3))).image
    assert image[0].tolist() == [[255, 255, 255], [4, 5, 6]]


def test_a_cmyk_jpeg_becomes_rgb():
    picture = PIL.Image.fromarray(CHELSEA).convert("CMYK")
    decoded = decode(encoded(picture, "JPEG", quality=95))
    assert decoded.mode == "CMYK"
    assert np.abs(decoded.image.astype(int) - CHELSEA).mean() < 8


def test_black_and_white_becomes_rgb():
    picture = PIL.Image.fromarray(np.array([[True, False]]))
    decoded = decode(encoded(picture))
    assert (decoded.mode, decoded.image[0].tolist()) == ("1", [[255] * 3, [0] * 3])


def test_of_an_animation_the_first_frame_counts():
    frames = [PIL.Image.new("RGB", (4, 4), colour) for colour in ("red", "blue")]
    image = decode(encoded(frames[0], "GIF", save_all=True, append_images=frames[1:])).image
    assert image[0, 0].tolist() == [255, 0, 0]


@pytest.mark.parametrize("file_format", ["PNG", "TIFF"])
def test_exif_orientation_6_is_turned_upright(file_format):
    exif = PIL.Image.Exif()
    exif[0x0112] = 6
    decoded = decode(photo(file_format=file_format, exif=exif))
    np.testing.assert_array_equal(decoded.image, np.rot90(CHELSEA, -1))
    assert (decoded.width, decoded.height) == (60, 80)


@pytest.mark.parametrize(
    "junk",
    [b"Exif\0\0MM\0*\0\0\0\x08\xff\xff" + b"\xff" * 30, b"Exif\0\0II*\0\xff\xff\xff\xff", b"x"],
)
def test_corrupt_exif_does_not_hide_the_picture(junk):
    plain = decode(photo(file_format="JPEG")).image
    np.testing.assert_array_equal(decode(photo(file_format="JPEG", exif=junk)).image, plain)


def test_no_damage_by_single_bytes_raises_anything_else():
    rng = np.random.default_rng(0)
    outcomes = set()
    for file_format in ("PNG", "JPEG", "GIF", "TIFF", "WEBP", "BMP"):
        whole = photo(file_format=file_format)
        for _ in range(30):
            data = bytearray(whole)
            data[rng.integers(len(data))] ^= 0xFF
            data[rng.integers(60)] ^= 0xFF
            try:
                outcomes.add(decode(bytes(data)).image.ndim)
            except UnreadableImageError:
                outcomes.add("unreadable")
    assert outcomes == {3, "unreadable"}
