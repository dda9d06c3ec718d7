"""Files and JSON of another's making are read within bounds."""

import os
import time
from pathlib import Path

import pytest

from memaudit.errors import DataError, ForeignFileError, ModelError
from memaudit.foreign import JSON_DEPTH, parse_json, read_file, read_json, refusing


def test_a_file_or_a_part_of_it_is_read(tmp_path):
    (tmp_path / "a").write_bytes(b"0123456789")
    (tmp_path / "link").symlink_to(tmp_path / "a")
    assert read_file(tmp_path / "a") == b"0123456789"
    assert read_file(tmp_path / "link", offset=3, size=4) == b"3456"


@pytest.mark.parametrize(("offset", "size"), [(-1, 2), (0, -1), (8, 3), (11, None), (0, 2**94)])
def test_what_is_no_part_of_a_file_is_refused(tmp_path, offset, size):
    (tmp_path / "a").write_bytes(b"0123456789")
    with pytest.raises(ForeignFileError):
        read_file(tmp_path / "a", offset=offset, size=size)


def test_a_file_above_the_limit_is_not_read(tmp_path):
    with (tmp_path / "a").open("wb") as file:
        file.truncate(1 << 40)  # sparse, takes no space
    with pytest.raises(ForeignFileError, match="limit of 1000"):
        read_file(tmp_path / "a", 1000)


def test_a_cut_off_part_takes_no_memory(tmp_path):
    (tmp_path / "a").write_bytes(b"0123456789")
    with pytest.raises(ForeignFileError, match="ends after 10 of"):
        read_file(tmp_path / "a", 1 << 60, size=1 << 59)


def test_only_regular_files_are_read(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    for path, found in ((tmp_path / "pipe", "a pipe"), (tmp_path, "a folder")):
        with pytest.raises(ForeignFileError, match=f"expected a regular file, found {found}"):
            read_file(path)
    for name in ("/dev/zero", "/dev/null"):
        with pytest.raises(ForeignFileError, match="device"):
            read_file(Path(name))


@pytest.mark.parametrize("name", ["gone", "nul\0byte"])
def test_a_file_that_is_not_there_is_refused(tmp_path, name):
    with pytest.raises(ForeignFileError, match="cannot be read"):
        read_file(tmp_path / name)


def test_json_is_read_with_or_without_a_byte_order_mark(tmp_path):
    (tmp_path / "a").write_bytes(b"\xef\xbb\xbf" + b'{"a": [1, 2.5, "[[["]}')
    assert read_json(tmp_path / "a") == {"a": [1, 2.5, "[[["]}


@pytest.mark.parametrize(
    "text",
    [
        b"",
        b"{",
        b"\xff\xfe",
        b"[" * 100_000,
        b"[" * 900 + b"]" * 900,
        b'{"a":' * (JSON_DEPTH + 1) + b"1" + b"}" * (JSON_DEPTH + 1),
        b"9" * 5000,
        b'"\\',
    ],
    ids=["empty", "cut", "utf-16", "deep", "deep and closed", "objects", "digits", "string"],
)
def test_what_is_no_json_within_bounds_is_refused(text):
    with pytest.raises(ForeignFileError, match=r"JSON"):
        parse_json(text)


def test_json_as_deep_as_the_limit_is_read():
    assert parse_json(b"[" * JSON_DEPTH + b"]" * JSON_DEPTH)
    assert len(parse_json(b"[" + b"[],{}," * 1000 + b"1]")) == 2001
    assert parse_json(b'["' + b"[" * 1000 + b'\\"", "]]"]')[1] == "]]"


def test_json_above_the_limit_is_refused():
    with pytest.raises(ForeignFileError, match="limit of 10"):
        parse_json(b"[1, 2, 3, 4, 5]", 10)


@pytest.mark.parametrize("number", [b"NaN", b"Infinity", b"-Infinity", b"1e999", b"-1e999"])
def test_numbers_that_are_not_finite_are_refused_or_none(number):
    with pytest.raises(ForeignFileError, match="not finite"):
        parse_json(b'{"a": ' + number + b"}")
    assert parse_json(b'{"a": [' + number + b", 1.5]}", lenient=True) == {"a": [None, 1.5]}


@pytest.mark.parametrize("error", [KeyError("x"), RecursionError(), MemoryError(), TypeError("t")])
def test_whatever_a_library_raises_becomes_one_error(error):
    what = "the config cannot be used"
    with pytest.raises(ModelError, match=f"{what}: ."), refusing(ModelError, what):
        raise error


def test_an_error_of_memaudit_keeps_its_words():
    with pytest.raises(DataError, match=r"^mine$"), refusing(ModelError, "the model"):
        raise DataError("mine")


def test_a_file_out_of_bounds_is_named():
    what = "the config cannot be read"
    with pytest.raises(ModelError, match=f"{what}: 99 bytes"), refusing(ModelError, what):
        raise ForeignFileError("99 bytes are more than the limit")


def test_json_with_a_string_that_never_ends_is_refused_as_fast_as_any_other():
    started = time.monotonic()
    with pytest.raises(ForeignFileError, match="deep"):
        parse_json(b"[" * 65 + b'"' + b'\\"' * 300_000)
    with pytest.raises(ForeignFileError, match="expected JSON"):
        parse_json(b"[]," * 65 + b'"' + b'\\"' * 300_000)
    assert time.monotonic() - started < 5
