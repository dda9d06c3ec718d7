"""Files that are packed one by one are counted: neither images nor captions are lost in silence."""

import gzip
import json

import pytest
from crops import png
from test_data_layouts import failures, pack, put

from memaudit.data import open_source
from memaudit.errors import DataError

PNG = png(1)
GZ = gzip.compress(PNG)
TEXT = gzip.compress(b"a photo")


def lost(source):
    return {entry.source: entry.lost for entry in source.entries() if entry.lost}


DOWNLOADS = ["part", "crdownload", "incomplete", "download", "aria2", "tmp"]


@pytest.mark.parametrize("name", ["2.png", "shard.tar", "table.parquet", "metadata.jsonl", "a.zip"])
@pytest.mark.parametrize("kind", [*DOWNLOADS, "001", "1"])
def test_half_of_a_file_beside_images_is_counted(tmp_path, name, kind):
    put(tmp_path, {"1.png": PNG, f"{name}.{kind}": PNG[:9]})
    [(source, why)] = failures(open_source(tmp_path)).items()
    assert source == f"{name}.{kind}"
    assert ("an unfinished download" if kind in DOWNLOADS else "a piece of a split file") in why


def test_shards_and_captions_that_are_no_whole_downloads_are_counted(tmp_path):
    pack(tmp_path / "0.tar", [("1.png", PNG), ("2.png.part", PNG), ("1.txt.part", b"a ph")])
    put(tmp_path, {"1.tar.part": PNG})
    source = open_source(tmp_path)
    assert set(failures(source)) == {"0.tar#2.png.part", "1.tar.part"}
    assert ".txt.part is an unfinished download" in lost(source)["0.tar#1.png"]


@pytest.mark.parametrize("name", ["metadata.json", "sub/METADATA.tsv", "metadata.xlsx"])
def test_metadata_of_another_kind_beside_images_are_counted(tmp_path, name):
    put(tmp_path, {"1.png": PNG, name: b"x"})
    [(source, why)] = failures(open_source(tmp_path)).items()
    assert source == name
    assert "expected metadata.csv, .jsonl or .parquet" in why


@pytest.mark.parametrize("content", [b"", b"\n", b"a,b\n"])
def test_a_table_of_metadata_without_a_header_is_refused(tmp_path, content):
    put(tmp_path, {"1.png": PNG, "metadata.csv": content})
    with pytest.raises(DataError, match="has no column `file_name`"):
        open_source(tmp_path).entries()


@pytest.mark.parametrize("split", ["..", "../other", "/etc", "a/../../other"])
def test_a_split_lies_inside_its_data_set(tmp_path, split):
    put(tmp_path / "other", {"1.png": PNG})
    put(tmp_path / "data", {"1.png": PNG, "a/1.png": PNG})
    with pytest.raises(DataError, match="leads out of"):
        open_source(tmp_path / "data", split=split)


@pytest.mark.parametrize("kind", ["gz", "GZ", "bz2", "xz", "zst"])
def test_a_packed_image_of_an_archive_is_counted(tmp_path, kind):
    pack(tmp_path / "s.tar", [("1.png", PNG), (f"2.jpg.{kind}", GZ), ("2.txt", b"a photo")])
    source = open_source(tmp_path)
    assert list(failures(source)) == [f"s.tar#2.jpg.{kind}"]
    assert (
        "packed, so that nothing of it is read: unpack it"
        in failures(source)[f"s.tar#2.jpg.{kind}"]
    )


def test_an_archive_of_packed_images_alone_counts_them(tmp_path):
    pack(tmp_path / "s.tar", [("1.png.gz", GZ), ("2.png.gz", GZ)])
    assert sorted(failures(open_source(tmp_path))) == ["s.tar#1.png.gz", "s.tar#2.png.gz"]
    chosen = open_source(tmp_path, image_column="png")
    assert sorted(failures(chosen)) == ["s.tar#1.png.gz", "s.tar#2.png.gz"]
    with pytest.raises(DataError, match="holds no image"):
        open_source(tmp_path, image_column="jpg").entries()


@pytest.mark.parametrize("name", ["txt", "caption", "caption.txt", "json"])
def test_a_packed_caption_of_an_archive_is_said_to_be_lost(tmp_path, name):
    members = [("1.png", PNG), (f"1.{name}.gz", TEXT), ("2.png", PNG), ("2.txt", b"a photo")]
    pack(tmp_path / "s.tar", members)
    source = open_source(tmp_path)
    assert not failures(source)
    assert list(lost(source)) == ["s.tar#1.png"]
    assert f".{name}.gz is packed" in lost(source)["s.tar#1.png"]


def test_a_packed_caption_beside_one_that_is_read_costs_nothing(tmp_path):
    pack(tmp_path / "s.tar", [("1.png", PNG), ("1.txt", b"a photo"), ("1.json.gz", TEXT)])
    assert not lost(open_source(tmp_path))
    put(tmp_path / "images", {"1.png": PNG, "1.txt": b"a photo", "1.json.gz": TEXT})
    assert not lost(open_source(tmp_path / "images"))


def test_a_packed_text_of_no_image_is_counted(tmp_path):
    pack(tmp_path / "s.tar", [("1.png", PNG), ("2.txt.gz", TEXT)])
    assert failures(open_source(tmp_path)) == {
        "s.tar#2.txt.gz": "a caption without an image of its key"
    }
    put(tmp_path / "images", {"1.png": PNG, "1.txt": b"a photo", "2.txt.gz": TEXT})
    assert "without an image of its name" in failures(open_source(tmp_path / "images"))["2.txt.gz"]


def test_packed_files_of_a_folder_are_counted(tmp_path):
    fields = gzip.compress(json.dumps({"text": "a photo"}).encode())
    files = {"1.png": PNG, "1.txt.gz": TEXT, "2.png": PNG, "2.json.gz": fields, "3.png.gz": GZ}
    put(tmp_path, {**files, "metadata.csv.gz": gzip.compress(b"file_name,text\n")})
    source = open_source(tmp_path)
    assert set(failures(source)) == {"3.png.gz", "metadata.csv.gz"}
    assert set(lost(source)) == {"1.png", "2.png"}


@pytest.mark.parametrize("name", ["shard.tar", "table.parquet.zst", "a.jpg.gz"])
def test_a_packed_file_of_another_kind_is_counted_beside_images(tmp_path, name):
    packed = f"{name}.gz" if name.endswith("tar") else name
    put(tmp_path, {"1.png": PNG, packed: GZ})
    assert list(failures(open_source(tmp_path))) == [packed]


def test_a_folder_of_packed_images_alone_is_refused_in_words(tmp_path):
    put(tmp_path, {"1.png.gz": GZ, "2.png.gz": GZ})
    with pytest.raises(DataError, match=r"1.png.gz is packed .*gzip -d"):
        open_source(tmp_path)


@pytest.mark.parametrize("name", ["1.png.part", "images.tar.001"])
def test_a_folder_of_halves_alone_is_refused_in_words(tmp_path, name):
    put(tmp_path, {name: GZ})
    with pytest.raises(DataError, match=r"holds no image; .* (an unfinished|a piece of a split)"):
        open_source(tmp_path)


def test_a_split_takes_packed_captions_along(tmp_path):
    put(tmp_path / "all", {"1.png": PNG, "1.txt.gz": TEXT, "2.png": PNG})
    source = open_source(tmp_path / "all")
    (tmp_path / "half").mkdir()
    source.extract(source.entries(), tmp_path / "half")
    assert set(lost(open_source(tmp_path / "half"))) == {"1.png"}
