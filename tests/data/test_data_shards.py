import gzip
import io
import json
import tarfile
from pathlib import Path

import PIL.Image
import pytest
from skimage import data as photos

from memaudit.data import decode, open_source
from memaudit.errors import DataError, UnreadableImageError

ASTRONAUT = PIL.Image.fromarray(photos.astronaut()).resize((40, 30))


def png():
    buffer = io.BytesIO()
    ASTRONAUT.save(buffer, "PNG")
    return buffer.getvalue()


PNG = png()


def pack(path: Path, members: dict[str, bytes]) -> None:
    with tarfile.open(path, "w") as archive:
        for name, data in members.items():
            info = tarfile.TarInfo(name)
            info.size = len(data)
            archive.addfile(info, io.BytesIO(data))


def sources(source):
    return [entry.source for entry in source.entries()]


def test_members_are_read_at_random(tmp_path):
    members = {f"{i:04}.png": PNG + bytes([i]) for i in range(5)}
    pack(tmp_path / "shard-0.tar", members)
    source = open_source(tmp_path / "shard-0.tar")
    entries = source.entries()
    assert sources(source) == [f"shard-0.tar#{name}" for name in members]
    assert [source.read(entry) for entry in entries[::-1]] == list(members.values())[::-1]


def test_prompts_come_from_the_files_that_share_the_key(tmp_path):
    members = {
        "a/1.png": PNG,
        "a/1.txt": b" from text \n",
        "a/1.json": b'{"caption": "unused"}',
        "a/2.png": PNG,
        "a/2.json": json.dumps({"caption": "from json", "alt": "other"}).encode(),
        "b/2.png": PNG,
        "a/3.jpg": PNG,
        "a/3.json": b"{broken",
        "a/4.cls": b"7",
    }
    pack(tmp_path / "s.tar", members)
    assert {entry.source: entry.prompt for entry in open_source(tmp_path).entries()} == {
        "s.tar#a/1.png": "from text",
        "s.tar#a/2.png": "from json",
        "s.tar#a/3.jpg": "",
        "s.tar#b/2.png": "",
    }
    chosen = open_source(tmp_path, caption_column="alt").entries()
    assert [entry.prompt for entry in chosen] == ["", "other", "", ""]
    with pytest.raises(DataError, match="has a caption 'nope'"):
        open_source(tmp_path, caption_column="nope").entries()


def test_an_extension_of_two_parts_is_an_image_where_no_plain_one_is(tmp_path):
    pack(tmp_path / "s.tar", {"1.jpg": PNG, "1.seg.png": PNG, "holiday.v2.png": PNG})
    source = open_source(tmp_path)
    plain, mask, dotted = source.entries()
    assert (plain.source, dotted.source) == ("s.tar#1.jpg", "s.tar#holiday.v2.png")
    with pytest.raises(UnreadableImageError, match=r"seg.png beside the image jpg .*--image-colum"):
        source.read(mask)
    assert sources(open_source(tmp_path, image_column="seg.png")) == ["s.tar#1.seg.png"]


def test_a_folder_of_archives_has_splits(tmp_path):
    for name in ("train-0.tar", "train-1.tar", "val-0.tar"):
        pack(tmp_path / name, {"1.png": PNG})
    assert len(sources(open_source(tmp_path))) == 3
    assert sources(open_source(tmp_path, split="val")) == ["val-0.tar#1.png"]
    with pytest.raises(DataError, match="found: train, val"):
        open_source(tmp_path, split="test")


def test_names_that_are_not_utf8_are_shown_escaped(tmp_path):
    pack(tmp_path / "s.tar", {"caf\udce9.png": PNG})
    source = open_source(tmp_path)
    assert sources(source) == ["s.tar#caf\\xe9.png"]
    assert decode(source.read(source.entries()[0])).width == 40


def test_of_equal_names_each_is_a_sample(tmp_path):
    pack(tmp_path / "s.tar", {"1.png": b"first", "1.txt": b"one"})
    for name, data in (("1.txt", b"two"), ("1.PNG", PNG)):
        with tarfile.open(tmp_path / "s.tar", "a") as archive:
            info = tarfile.TarInfo(name)
            info.size = len(data)
            archive.addfile(info, io.BytesIO(data))
    source = open_source(tmp_path)
    second, first = source.entries()
    assert (first.source, second.source) == ("s.tar#1.png", "s.tar#1.PNG (2)")
    assert [source.read(first), source.read(second)] == [b"first", PNG]
    assert (first.prompt, second.prompt) == ("one", "two")


BLOCK = 512
DATA = (PNG * 9)[: 2 * BLOCK]  # so that each member takes one block of header, two of data


@pytest.mark.parametrize(
    ("blocks", "listed"),
    [(3, 1), (3.5, 1), (5, 2), (6, 2), (9, 3)],
    ids=["after the first", "in a header", "in data", "after the second", "no end mark"],
)
def test_of_a_truncated_archive_the_members_before_are_listed(tmp_path, blocks, listed):
    pack(tmp_path / "s.tar", {f"{i}.png": DATA for i in (1, 2, 3)})
    whole = (tmp_path / "s.tar").read_bytes()
    (tmp_path / "s.tar").write_bytes(whole[: int(blocks * BLOCK)])
    source = open_source(tmp_path)
    note, *members = source.entries()
    assert [entry.source for entry in members] == [f"s.tar#{i + 1}.png" for i in range(listed)]
    assert source.read(members[0]) == DATA
    assert note.source == "s.tar"
    with pytest.raises(UnreadableImageError, match="the archive is damaged"):
        source.read(note)


def test_a_truncated_member_cannot_be_read(tmp_path):
    pack(tmp_path / "s.tar", {"1.png": DATA, "2.png": DATA, "2.txt": b"caption"})
    whole = (tmp_path / "s.tar").read_bytes()
    (tmp_path / "s.tar").write_bytes(whole[: 5 * BLOCK + 100])
    source = open_source(tmp_path)
    [member] = [entry for entry in source.entries() if entry.source == "s.tar#2.png"]
    with pytest.raises(UnreadableImageError, match="ends after 612 of 1024 bytes"):
        source.read(member)


def test_a_damaged_header_is_not_taken_for_the_end(tmp_path):
    pack(tmp_path / "s.tar", {f"{i}.png": DATA for i in (1, 2, 3)})
    data = bytearray((tmp_path / "s.tar").read_bytes())
    data[3 * BLOCK : 3 * BLOCK + 200] = b"x" * 200
    (tmp_path / "s.tar").write_bytes(data)
    source = open_source(tmp_path)
    assert sources(source) == ["s.tar", "s.tar#1.png"]
    with pytest.raises(UnreadableImageError, match="found a block that is no header"):
        source.read(source.entries()[0])


def test_an_archive_that_is_none_is_one_entry_that_cannot_be_read(tmp_path):
    (tmp_path / "a.tar").write_bytes(b"no archive" * 100)
    pack(tmp_path / "b.tar", {"1.png": PNG})
    source = open_source(tmp_path)
    note, member = source.entries()
    assert (note.source, member.source) == ("a.tar", "b.tar#1.png")
    with pytest.raises(UnreadableImageError, match="the archive is damaged"):
        source.read(note)


def test_a_member_of_zero_bytes_is_listed_and_does_not_decode(tmp_path):
    pack(tmp_path / "s.tar", {"1.png": b"", "2.png": PNG})
    source = open_source(tmp_path)
    empty, whole = source.entries()
    with pytest.raises(UnreadableImageError, match="0 bytes"):
        decode(source.read(empty))
    assert decode(source.read(whole)).width == 40


def test_a_link_within_an_archive_cannot_be_read(tmp_path):
    with tarfile.open(tmp_path / "s.tar", "w") as archive:
        link = tarfile.TarInfo("1.png")
        link.type, link.linkname = tarfile.SYMTYPE, "/etc/hostname"
        archive.addfile(link)
    source = open_source(tmp_path)
    [entry] = source.entries()
    with pytest.raises(UnreadableImageError, match="store it as a plain file"):
        source.read(entry)


@pytest.mark.parametrize("name", ["s.tar.gz", "s.tgz", "s.tar"])
def test_a_compressed_archive_is_refused(tmp_path, name):
    pack(tmp_path / "plain", {"1.png": PNG})
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / name).write_bytes(gzip.compress((tmp_path / "plain").read_bytes()))
    with pytest.raises(DataError, match="Decompress it first"):
        open_source(tmp_path / "in" / name)


def test_a_folder_of_compressed_archives_is_refused(tmp_path):
    (tmp_path / "s.tar.gz").write_bytes(gzip.compress(b"anything"))
    with pytest.raises(DataError, match="Decompress it first"):
        open_source(tmp_path)


def test_an_archive_without_images_is_refused(tmp_path):
    pack(tmp_path / "s.tar", {"1.txt": b"text"})
    with pytest.raises(DataError, match="holds no image"):
        open_source(tmp_path).entries()
