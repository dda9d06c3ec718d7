"""What libtiff writes to stderr becomes remarks."""

import io
import os

import numpy as np
import pytest
from PIL import Image

from memaudit.data.decode import decode
from memaudit.data.heard import heard
from memaudit.errors import UnreadableImageError


def broken_tiff() -> bytes:
    pixels = np.random.default_rng(0).integers(0, 255, (32, 32, 3), dtype=np.uint8)
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, "TIFF", compression="tiff_deflate")
    content = bytearray(file.getvalue())
    content[500] ^= 255
    return bytes(content)


def test_what_libtiff_writes_is_a_remark(capfd, caplog):
    with pytest.raises(UnreadableImageError):
        decode(broken_tiff())
    assert "libtiff says of an image: ZIPDecode" in caplog.text
    with pytest.raises(UnreadableImageError):
        decode(broken_tiff(), name="a/b.tif")
    assert "libtiff says of a/b.tif: ZIPDecode" in caplog.text
    assert capfd.readouterr().err == ""


def test_stderr_is_what_it_was_afterwards(capfd, caplog):
    with heard("somebody"):
        os.write(2, b"one\none\ntwo\n")
    os.write(2, b"after")
    assert capfd.readouterr().err == "after"
    assert [record.getMessage() for record in caplog.records] == [
        "somebody says of an image: one",
        "somebody says of an image: two",
    ]
