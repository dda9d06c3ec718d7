"""Data sets as other programs write them: all images, all captions."""

import csv
import io
import json
import tarfile
import zipfile

import PIL.Image
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from crops import png
from pyarrow import ipc

from memaudit.data import decode, open_source
from memaudit.data.source import is_image
from memaudit.errors import DataError, UnreadableImageError

N = 12


def caption(k):
    return f"a photo, number {k}"


EXPECTED = {k: caption(k) for k in range(N)}


def told(source):
    """First pixel and caption of every image; nothing else is there."""
    entries = source.entries()
    assert not any(entry.lost for entry in entries)
    found = {int(decode(source.read(one)).image[0, 0, 0]): one.prompt for one in entries}
    assert len(found) == len(entries)
    return found


def failures(source):
    found = {}
    for entry in source.entries():
        try:
            decode(source.read(entry))
        except UnreadableImageError as error:
            found[entry.source] = str(error)
    return found


def pack(path, members):
    path.parent.mkdir(parents=True, exist_ok=True)
    with tarfile.open(path, "w") as archive:
        for name, data in members:
            info = tarfile.TarInfo(name)
            info.size = len(data)
            archive.addfile(info, io.BytesIO(data))


def put(folder, files):
    for name, data in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(data)


def notes(path, numbers):
    """What img2dataset writes beside a shard: a row a link, without the image."""
    rows = {
        "url": [f"http://x/{k}" for k in numbers],
        "caption": [caption(k) for k in numbers],
        "key": [f"{k:09d}" for k in numbers],
        "status": ["success" for _ in numbers],
        "sha256": ["0" * 64 for _ in numbers],
    }
    path.parent.mkdir(parents=True, exist_ok=True)
    pq.write_table(pa.table(rows), path)
    path.with_name(f"{path.stem}_stats.json").write_text('{"count": 6}')


def fields(k):
    return json.dumps({"caption": caption(k), "key": f"{k:09d}", "status": "success"}).encode()


def test_the_shards_that_img2dataset_writes_are_read(tmp_path):
    for shard in (0, 1):
        numbers = range(6 * shard, 6 * shard + 6)
        members = [
            (f"{k:09d}.{extension}", data)
            for k in numbers
            for extension, data in (
                ("png", png(k)),
                ("txt", caption(k).encode()),
                ("json", fields(k)),
            )
        ]
        pack(tmp_path / f"{shard:05d}.tar", members)
        notes(tmp_path / f"{shard:05d}.parquet", numbers)
    assert told(open_source(tmp_path)) == EXPECTED


def test_the_files_that_img2dataset_writes_are_read(tmp_path):
    for k in range(N):
        stem = f"{k // 6:05d}/{k:09d}"
        put(tmp_path, {f"{stem}.png": png(k), f"{stem}.json": fields(k)})
        if k % 2:
            put(tmp_path, {f"{stem}.txt": caption(k).encode()})
    for shard in (0, 1):
        notes(tmp_path / f"{shard:05d}.parquet", range(6 * shard, 6 * shard + 6))
    assert told(open_source(tmp_path)) == EXPECTED


def test_the_tables_that_img2dataset_writes_are_read(tmp_path):
    images = pa.array([None if k == 3 else png(k) for k in range(N)], pa.binary())
    rows = {"jpg": images, "caption": [caption(k) for k in range(N)], "status": ["success"] * N}
    pq.write_table(pa.table(rows), tmp_path / "00000.parquet")
    source = open_source(tmp_path)
    assert list(failures(source)) == ["00000.parquet#03"]


def test_a_table_with_images_beside_a_shard_is_no_note_of_it(tmp_path):
    pack(tmp_path / "a.tar", [("0.png", png(0))])
    pq.write_table(pa.table({"image": [png(1)]}), tmp_path / "a.parquet")
    with pytest.raises(DataError, match="mixes kinds: 1 tables, 1 archives"):
        open_source(tmp_path)


@pytest.mark.parametrize("extension", ["txt", "caption", "TXT"])
def test_captions_beside_images_are_read_as_kohya_expects_them(tmp_path, extension):
    for k in range(N):
        stem = f"10_tile/{k:03d}.v1"
        put(tmp_path, {f"{stem}.png": png(k), f"{stem}.{extension}": f"{caption(k)}\n".encode()})
        put(tmp_path, {f"{stem}.npz": b"latents"})
    assert told(open_source(tmp_path)) == EXPECTED


def test_a_caption_without_its_image_is_counted(tmp_path):
    put(tmp_path, {"0.png": png(0), "0.txt": b"zero", "1.txt": b"one", "notes.md": b"none"})
    source = open_source(tmp_path)
    assert "a text without an image" in failures(source)["1.txt"]
    pack(tmp_path / "in/a.tar", [("0.png", png(0)), ("1.txt", b"one"), ("2.cls", b"7")])
    assert "a caption without an image" in failures(open_source(tmp_path / "in"))["a.tar#1.txt"]


def test_metadata_go_before_a_text_beside_the_image(tmp_path):
    put(tmp_path, {"0.png": png(0), "0.txt": b"beside", "1.png": png(1), "1.txt": b"beside"})
    (tmp_path / "metadata.csv").write_text("file_name,text\n0.png,listed\n1.png,\n")
    assert told(open_source(tmp_path)) == {0: "listed", 1: "beside"}


def test_a_field_of_json_beside_images_can_be_asked_for(tmp_path):
    put(tmp_path, {"0.png": png(0), "0.txt": b"text", "0.json": b'{"alt": "field", "who": 7}'})
    source = open_source(tmp_path, caption_column="alt", cluster_column="who")
    [entry] = source.entries()
    assert (entry.prompt, entry.cluster) == ("field", "7")


def test_tables_that_datasets_writes_are_read(tmp_path):
    kind = pa.struct({"bytes": pa.binary(), "path": pa.string()})
    rows = [{"bytes": png(k), "path": f"/home/me/{k}.png"} for k in range(N)]
    content = pa.table({"image": pa.array(rows, kind), "text": [caption(k) for k in range(N)]})
    (tmp_path / "data").mkdir()
    pq.write_table(content, tmp_path / "data/train-00000-of-00001.parquet")
    assert told(open_source(tmp_path, split="train")) == EXPECTED
    disk = tmp_path / "disk"  # as save_to_disk
    put(disk, {"dataset_info.json": b"{}", "state.json": b"{}"})
    with ipc.new_stream(disk / "data-00000-of-00001.arrow", content.schema) as writer:
        writer.write_table(content, 5)
    assert told(open_source(disk)) == EXPECTED


@pytest.mark.parametrize("name", ["metadata.csv", "Metadata.csv", "METADATA.JSONL"])
def test_an_imagefolder_of_datasets_is_read(tmp_path, name):
    rows = [{"file_name": f"sub/{k}.png", "text": caption(k)} for k in range(N)]
    put(tmp_path, {row["file_name"]: png(k) for k, row in enumerate(rows)})
    with (tmp_path / name).open("w", newline="") as file:
        if name.lower().endswith("csv"):
            writer = csv.DictWriter(file, ["file_name", "text"])
            writer.writeheader()
            writer.writerows(rows)
        else:
            file.writelines(json.dumps(row) + "\n" for row in rows)
    assert told(open_source(tmp_path)) == EXPECTED


def test_metadata_above_a_split_are_read(tmp_path):
    put(tmp_path, {f"train/{k}.png": png(k) for k in range(N)} | {"test/0.png": png(99)})
    rows = [f'train/{k}.png,"{caption(k)}"\n' for k in range(N)]
    (tmp_path / "metadata.csv").write_text("file_name,text\n" + "".join(rows) + "test/0.png,no\n")
    source = open_source(tmp_path, split="train")
    assert told(source) == EXPECTED
    (tmp_path / "out").mkdir()
    source.extract([one for one in source.entries() if one.source != "3.png"], tmp_path / "out")
    assert told(open_source(tmp_path / "out")) == {k: EXPECTED[k] for k in range(N) if k != 3}


def test_metadata_written_on_windows_are_read(tmp_path):
    put(tmp_path, {f"a/b/{k}.png": png(k) for k in range(N)})
    rows = "".join(f'a\\b\\{k}.png,"{caption(k)}"\r\n' for k in range(N))
    (tmp_path / "metadata.csv").write_bytes(b"\xef\xbb\xbffile_name,text\r\n" + rows.encode())
    assert told(open_source(tmp_path)) == EXPECTED


def test_of_json_without_captions_in_the_first_row_the_others_are_read(tmp_path):
    put(tmp_path, {"0.png": png(0), "1.png": png(1)})
    rows = [{"file_name": "0.png"}, {"file_name": "1.png", "text": "t"}]
    (tmp_path / "metadata.jsonl").write_text("\n".join(map(json.dumps, rows)))
    assert told(open_source(tmp_path)) == {0: "", 1: "t"}
    with pytest.raises(DataError, match="no caption column 'alt'"):
        open_source(tmp_path, caption_column="alt").entries()


DOTTED = {
    "dots in names": lambda k: (f"shot.v1.{k}.png", f"shot.v1.{k}.txt"),
    "numbered versions": lambda k: (f"tile.{k}.png", f"tile.{k}.txt"),
    "capitals": lambda k: (f"{k}.PNG", f"{k}.TXT"),
    "a dotted folder": lambda k: (f"./set.v1/{k}.png", f"./set.v1/{k}.caption"),
    "one name for two": lambda k: (f"{k % 6}.png", f"{k % 6}.txt"),
}


@pytest.mark.parametrize("name", DOTTED)
@pytest.mark.parametrize("together", [True, False])
def test_no_member_of_an_archive_is_lost(tmp_path, name, together):
    members = [(DOTTED[name](k), k) for k in range(N)]
    images = [(image, png(k)) for (image, _), k in members]
    texts = [(text, caption(k).encode()) for (_, text), k in members]
    mixed = [one for pair in zip(images, texts, strict=True) for one in pair]
    pack(tmp_path / "a.tar", mixed if together else images + texts)
    source = open_source(tmp_path)
    assert told(source) == EXPECTED
    (tmp_path / "out").mkdir()
    source.extract(source.entries()[:5], tmp_path / "out")
    assert len(told(open_source(tmp_path / "out"))) == 5


def test_a_plain_name_beside_numbered_ones_hides_none(tmp_path):
    pack(tmp_path / "a.tar", [("tile.png" if not k else f"tile.{k}.png", png(k)) for k in range(N)])
    assert sorted(told(open_source(tmp_path))) == list(range(N))


CAPTIONS = {
    "a mark of UTF-8": (b"\xef\xbb\xbfplain", "plain"),
    "UTF-16": ("plain é".encode("utf-16"), "plain é"),
    "spaces": (b"  plain \r\n", "plain"),
    "two lines": (b"two\nlines", "two\nlines"),
    "nothing": (b"", ""),
}


@pytest.mark.parametrize("name", CAPTIONS)
def test_a_text_is_decoded_by_its_mark(tmp_path, name):
    data, expected = CAPTIONS[name]
    put(tmp_path / "files", {"0.png": png(0), "0.txt": data})
    pack(tmp_path / "tar/a.tar", [("0.png", png(0)), ("0.txt", data)])
    for kind in ("files", "tar"):
        assert told(open_source(tmp_path / kind)) == {0: expected}


@pytest.mark.parametrize("data", [b"caf\xe9", b"x" * 70_000], ids=["latin-1", "70 kB"])
def test_a_text_that_cannot_be_read_is_said(tmp_path, data):
    put(tmp_path, {"0.png": png(0), "0.txt": data})
    [entry] = open_source(tmp_path).entries()
    assert entry.prompt == ""
    assert entry.lost.startswith("the caption cannot be read: ")


CELLS = {
    "NaN": ([float("nan"), 2.5], ["", "2.5"]),
    "bytes": ([b"\xef\xbb\xbfone", b"\xff"], ["one", ""]),
    "lists": ([["one", "two"], []], ["one", ""]),
    "null": ([None, "two"], ["", "two"]),
    "structures": ([{"a": 1}, None], ["", ""]),
    "marks": (["\ufeffone", " two "], ["one", "two"]),
}


@pytest.mark.parametrize("name", CELLS)
def test_a_cell_becomes_a_caption_or_none(tmp_path, name):
    cells, expected = CELLS[name]
    images = pa.array([{"bytes": png(k)} for k in range(2)])
    pq.write_table(pa.table({"image": images, "TEXT": pa.array(cells)}), tmp_path / "a.parquet")
    entries = open_source(tmp_path).entries()
    assert [entry.prompt for entry in entries] == expected
    lost = {"bytes": [False, True], "structures": [True, False]}.get(name, [False, False])
    assert [bool(entry.lost) for entry in entries] == lost


def test_names_of_columns_are_told_in_one_line_of_bounded_length(tmp_path):
    put(tmp_path, {"0.png": png(0)})
    for header in ("b.png,a\n", '"a\nb",text\n', "y" * 90_000 + "\n"):
        (tmp_path / "metadata.csv").write_text(header + "1,2\n")
        with pytest.raises(DataError, match="has no column `file_name`") as caught:
            open_source(tmp_path).entries()
        assert "\n" not in str(caught.value)
        assert len(str(caught.value)) < 1000


def test_nan_in_json_is_no_caption(tmp_path):
    put(tmp_path, {"0.png": png(0), "1.png": png(1)})
    rows = [{"file_name": "0.png", "text": float("nan")}, {"file_name": "1.png", "text": "one"}]
    (tmp_path / "metadata.jsonl").write_text("\ufeff" + "\n".join(map(json.dumps, rows)))
    assert told(open_source(tmp_path)) == {0: "", 1: "one"}


def test_a_caption_that_its_row_cuts_off_is_said(tmp_path):
    put(tmp_path, {"0.png": png(0), "1.png": png(1)})
    (tmp_path / "metadata.csv").write_text("file_name,text\n0.png,a photo, number 0\n1.png,one,\n")
    first, second = open_source(tmp_path).entries()
    assert "3 cells under 2 columns" in first.lost
    assert (first.prompt, second.prompt, second.lost) == ("", "one", "")


def test_two_captions_of_one_image_are_said(tmp_path):
    put(tmp_path, {"0.png": png(0)})
    (tmp_path / "metadata.csv").write_text("file_name,text\n0.png,one\n0.png,two\n")
    [entry] = open_source(tmp_path).entries()
    assert (entry.prompt, entry.lost) == ("two", "an earlier row of metadata has another caption")


def test_two_texts_of_one_name_are_said(tmp_path):
    put(tmp_path, {"0.png": png(0), "0.TXT": b"first", "0.txt": b"second"})
    source = open_source(tmp_path)
    assert "but for the case of letters" in failures(source)["0.txt"]
    assert source.entries()[0].prompt == "first"


@pytest.mark.parametrize(
    "extension", ["jp2", "jpe", "apng", "pbm", "tga", "heic", "jxl", "dng", "svg"]
)
def test_files_of_every_image_format_are_counted(tmp_path, extension):
    put(tmp_path, {"0.png": png(0), f"1.{extension}": b"\0\0\0\x18ftypheic\0\0\0\0"})
    (said,) = failures(open_source(tmp_path)).values()
    assert "an HEIC image: expected one of JPEG, PNG" in said


def test_every_extension_of_pillow_is_counted_but_for_documents_films_and_arrays():
    PIL.Image.init()
    kinds = PIL.Image.registered_extensions().items()
    known = {name for name, kind in kinds if kind in PIL.Image.OPEN}
    others = {".bufr", ".grib", ".h5", ".hdf", ".mpeg", ".mpg", ".pdf", ".ps"}
    assert {name for name in known if not is_image(f"a{name}")} <= others


def test_packed_archives_are_named(tmp_path):
    with zipfile.ZipFile(tmp_path / "train.zip", "w") as archive:
        archive.writestr("0.png", png(0))
    for path in (tmp_path, tmp_path / "train.zip"):
        with pytest.raises(DataError, match=r"train.zip is packed .*unzip"):
            open_source(path)
    put(tmp_path, {"1.png": png(1)})
    assert "packed, so that nothing" in failures(open_source(tmp_path))["train.zip"]
