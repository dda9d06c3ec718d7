import json
import os
import pickle
import shutil
from pathlib import Path

import PIL.Image
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from skimage import data as photos

from memaudit.data import decode, fingerprint, open_source
from memaudit.errors import DataError, UnreadableImageError

COFFEE = PIL.Image.fromarray(photos.coffee()[:32, :48])


def put(root: Path, *names: str) -> None:
    for name in names:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        COFFEE.save(root / name)


def sources(source):
    return [entry.source for entry in source.entries()]


def prompts(source):
    return {entry.source: entry.prompt for entry in source.entries()}


def fails(source, name):
    """Give the message with which reading one entry fails."""
    [entry] = [entry for entry in source.entries() if entry.source == name]
    with pytest.raises(UnreadableImageError) as caught:
        source.read(entry)
    return str(caught.value)


def test_images_are_found_in_sub_folders_and_sorted(tmp_path):
    put(tmp_path, "b.png", "a/z.jpg", "a/deep/er.webp", "c.BMP")
    (tmp_path / "notes.txt").write_text("not an image")
    put(tmp_path, ".hidden.png", ".cache/x.png")
    source = open_source(tmp_path)
    assert sources(source) == ["a/deep/er.webp", "a/z.jpg", "b.png", "c.BMP"]
    assert source.root == tmp_path


def test_an_entry_gives_the_bytes_of_its_file(tmp_path):
    put(tmp_path, "a/b.png")
    source = open_source(str(tmp_path))
    [entry] = source.entries()
    assert source.read(entry) == (tmp_path / "a/b.png").read_bytes()
    assert decode(source.read(entry)).width == 48


def test_entries_can_be_sent_to_another_process(tmp_path):
    put(tmp_path, "a.png")
    entries = open_source(tmp_path).entries()
    assert pickle.loads(pickle.dumps(entries)) == entries


def test_the_fingerprint_changes_with_a_file(tmp_path):
    put(tmp_path, "a.png", "b.png")
    before = fingerprint(open_source(tmp_path).entries())
    assert fingerprint(open_source(tmp_path).entries()) == before
    os.utime(tmp_path / "a.png", ns=(1, 1))
    assert fingerprint(open_source(tmp_path).entries()) != before


@pytest.mark.parametrize("content", [None, "readme.txt"])
def test_a_folder_without_images_is_refused(tmp_path, content):
    if content:
        (tmp_path / content).write_text("hello")
    with pytest.raises(DataError, match=r"holds no image\. Expected a folder of images"):
        open_source(tmp_path)


@pytest.mark.parametrize("name", ["nowhere", "nul\0byte"])
def test_a_path_that_does_not_exist_is_refused(tmp_path, name):
    with pytest.raises(DataError, match="cannot open"):
        open_source(tmp_path / name)


def test_a_file_that_is_no_data_set_is_refused(tmp_path):
    put(tmp_path, "a.png")
    with pytest.raises(DataError, match="neither Parquet, Arrow nor tar"):
        open_source(tmp_path / "a.png")


def test_a_loop_of_links_ends(tmp_path):
    put(tmp_path, "a/1.png", "z/2.png")
    (tmp_path / "a/up").symlink_to(tmp_path)
    (tmp_path / "a/link").symlink_to(tmp_path / "z")
    assert sources(open_source(tmp_path)) == ["a/1.png", "z/2.png"]


def test_links_out_of_the_folder_are_followed(tmp_path):
    put(tmp_path, "elsewhere/1.png", "elsewhere/2.png", "root/3.png")
    (tmp_path / "root/all").symlink_to(tmp_path / "elsewhere")
    (tmp_path / "root/one.png").symlink_to(tmp_path / "elsewhere/1.png")
    found = sources(open_source(tmp_path / "root"))
    assert found == ["3.png", "all/1.png", "all/2.png", "one.png"]


def test_a_broken_link_is_an_entry_that_cannot_be_read(tmp_path):
    put(tmp_path, "a.png")
    (tmp_path / "b.png").symlink_to(tmp_path / "gone.png")
    (tmp_path / "c.png").symlink_to(tmp_path / "c.png")
    source = open_source(tmp_path)
    assert sources(source) == ["a.png", "b.png", "c.png"]
    assert "broken link" in fails(source, "b.png")
    assert "broken link" in fails(source, "c.png")


def test_a_pipe_is_not_waited_for(tmp_path):
    os.mkfifo(tmp_path / "a.png")
    assert "found a pipe" in fails(open_source(tmp_path), "a.png")


def test_a_pipe_is_no_data_set(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(DataError, match="found a pipe"):
        open_source(tmp_path / "pipe")


def test_a_file_beyond_the_limit_is_not_read(tmp_path):
    with (tmp_path / "a.png").open("wb") as file:
        file.truncate(1 << 40)  # sparse, takes no space
    assert "limit" in fails(open_source(tmp_path), "a.png")


def test_a_file_removed_after_listing_cannot_be_read(tmp_path):
    put(tmp_path, "a.png")
    source = open_source(tmp_path)
    [entry] = source.entries()
    (tmp_path / "a.png").unlink()
    with pytest.raises(UnreadableImageError, match="No such file"):
        source.read(entry)


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_what_may_not_be_read_is_an_entry_that_cannot_be_read(tmp_path):
    put(tmp_path, "a.png", "closed/b.png", "d.png")
    (tmp_path / "a.png").chmod(0)
    (tmp_path / "closed").chmod(0)
    source = open_source(tmp_path)
    assert sources(source) == ["a.png", "closed", "d.png"]
    assert "Permission denied" in fails(source, "a.png")
    assert "Permission denied" in fails(source, "closed")
    with pytest.raises(DataError, match="Permission denied"):
        open_source(tmp_path / "closed")
    (tmp_path / "closed").chmod(0o700)


def test_a_folder_too_deep_to_list_is_an_entry_that_cannot_be_read(tmp_path, monkeypatch):
    put(tmp_path, "a.png")
    with monkeypatch.context() as patch:
        patch.chdir(tmp_path)
        for _ in range(20):  # beyond PATH_MAX, so that its path cannot be opened even by root
            Path("d" * 250).mkdir()
            os.chdir("d" * 250)
    source = open_source(tmp_path)
    deep = next(name for name in sources(source) if name != "a.png")
    assert "File name too long" in fails(source, deep)
    shutil.rmtree(tmp_path / ("d" * 250))


def test_names_that_are_not_utf8_are_shown_escaped(tmp_path):
    put(tmp_path, "plain.png")
    (tmp_path / "plain.png").rename(tmp_path / os.fsdecode(b"caf\xe9.png"))
    source = open_source(tmp_path)
    [entry] = source.entries()
    assert entry.source == "caf\\xe9.png"
    assert decode(source.read(entry)).width == 48


def write_metadata(path: Path, rows: list[dict[str, str]]) -> None:
    if path.suffix == ".jsonl":
        path.write_text("\n".join(map(json.dumps, rows)) + "\n\n")
    elif path.suffix == ".parquet":
        pq.write_table(pa.Table.from_pylist(rows), path)
    else:
        lines = [list(rows[0]), *[list(row.values()) for row in rows]]
        path.write_text("\ufeff" + "".join(",".join(line) + "\n" for line in lines))


@pytest.mark.parametrize("name", ["metadata.csv", "metadata.jsonl", "metadata.parquet"])
def test_metadata_give_prompts_and_unlisted_images_have_none(tmp_path, name):
    put(tmp_path, "a.png", "sub/b.png", "c.png")
    rows = [{"file_name": "a.png", "text": "a cup"}, {"file_name": "sub/b.png", "text": "two"}]
    write_metadata(tmp_path / name, rows)
    assert prompts(open_source(tmp_path)) == {"a.png": "a cup", "c.png": "", "sub/b.png": "two"}


def test_metadata_of_a_sub_folder_count_over_those_above(tmp_path):
    put(tmp_path, "sub/b.png")
    write_metadata(tmp_path / "sub/metadata.csv", [{"file_name": "./b.png", "text": "deep"}])
    write_metadata(tmp_path / "metadata.csv", [{"file_name": "sub/b.png", "text": "top"}])
    assert prompts(open_source(tmp_path)) == {"sub/b.png": "deep"}


def test_the_caption_column_can_be_chosen(tmp_path):
    put(tmp_path, "a.png")
    write_metadata(tmp_path / "metadata.csv", [{"file_name": "a.png", "text": "x", "alt": "y"}])
    assert prompts(open_source(tmp_path, caption_column="alt")) == {"a.png": "y"}
    with pytest.raises(DataError, match="no caption column 'nope'; its columns are file_name, tex"):
        open_source(tmp_path, caption_column="nope").entries()


def test_a_caption_column_without_metadata_is_refused(tmp_path):
    put(tmp_path, "a.png")
    with pytest.raises(DataError, match="needs a metadata"):
        open_source(tmp_path, caption_column="alt").entries()


@pytest.mark.parametrize(
    ("listed", "message"),
    [
        ("gone.png", "No such file"),
        ("x.png", "found a folder"),
        ("../outside.png", "outside the data set"),
        ("nul\0.png", "null byte"),
        ("\ud800.png", "cannot be read"),
    ],
)
def test_a_listed_image_that_is_no_file_cannot_be_read(tmp_path, listed, message):
    put(tmp_path, "outside.png", "root/a.png")
    (tmp_path / "root/x.png").mkdir()
    write_metadata(tmp_path / "root/metadata.jsonl", [{"file_name": listed, "text": "t"}])
    source = open_source(tmp_path / "root")
    [name] = [name for name in sources(source) if name != "a.png"]
    assert name.encode()
    assert message in fails(source, name)


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        (
            "metadata.csv",
            b"image,text\na.png,x\n",
            "no column `file_name`; its columns are image, text",
        ),
        ("metadata.csv", b"file_name,text\n\xff\xfe,x\n", "cannot be read as csv"),
        ("metadata.jsonl", b'{"file_name": "a.png"}\n{"file\n', "cannot be read as jsonl"),
        ("metadata.jsonl", b"[1, 2]\n", "expected an object a line"),
        ("metadata.parquet", b"PAR1 and no more", "cannot be read as parquet"),
    ],
)
def test_metadata_that_cannot_be_parsed_are_refused(tmp_path, name, content, message):
    put(tmp_path, "a.png")
    (tmp_path / name).write_bytes(content)
    with pytest.raises(DataError, match=message):
        open_source(tmp_path).entries()


def test_a_split_is_the_sub_folder_of_that_name(tmp_path):
    put(tmp_path, "train/a.png", "test/b.png")
    source = open_source(tmp_path, split="test")
    assert sources(source) == ["b.png"]
    assert sources(open_source(tmp_path)) == ["test/b.png", "train/a.png"]
    with pytest.raises(DataError, match="no split 'valid'; found: test, train"):
        open_source(tmp_path, split="valid")


def test_a_folder_of_more_than_one_kind_is_refused(tmp_path):
    put(tmp_path, "a.png")
    (tmp_path / "part.parquet").write_bytes(b"")
    with pytest.raises(DataError, match="mixes kinds: 1 images, 1 tables"):
        open_source(tmp_path)
