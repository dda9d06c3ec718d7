"""Data sets in the layouts that webdataset, datasets and kohya's scripts write: nothing is lost."""

import io
import json
import tarfile

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from crops import png

from memaudit.data import decode, open_source
from memaudit.errors import DataError, UnreadableImageError

IMAGE = pa.struct({"bytes": pa.binary(), "path": pa.string()})  # of an Image feature


def pack(folder, *members):
    with tarfile.open(folder / "a.tar", "w") as archive:
        for name, data in members:
            info = tarfile.TarInfo(name)
            info.size = len(data)
            archive.addfile(info, io.BytesIO(data))
    return folder


def put(folder, **files):
    for name, data in files.items():
        path = folder / name.replace("__", "/")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data if isinstance(data, bytes) else data.encode())
    return folder


def told(path, **options):
    """The caption of every image that is read, and the reason of every other entry."""
    source = open_source(path, **options)
    images, counted = {}, {}
    for entry in source.entries():
        name = entry.source.partition("#")[2] or entry.source
        try:
            decode(source.read(entry))
        except UnreadableImageError as error:
            counted[name] = str(error)
        else:
            images[name] = entry.prompt
            counted |= {name: entry.lost} if entry.lost else {}
    return images, counted


@pytest.mark.parametrize(
    "text", ["text", "caption.txt", "prompt.txt", "text.txt", "TXT", "caption", "caption.json"]
)
def test_texts_under_every_name_of_a_caption_are_read(tmp_path, text):
    said = b'{"caption": "a rocket"}' if text.endswith("json") else b"a rocket"
    pack(tmp_path, ("0.image.png", png(1)), (f"0.{text}", said))
    assert told(tmp_path) == ({"0.image.png": "a rocket"}, {})


def test_a_text_that_is_no_caption_by_its_name_is_counted_or_named(tmp_path):
    pack(tmp_path, ("0.png", png(1)), ("0.txt", b"one"), ("0.alt.txt", b"other"))
    images, counted = told(tmp_path)
    assert images == {"0.png": "one"}
    assert "--caption-column alt.txt" in counted["0.alt.txt"]
    assert told(tmp_path, caption_column="alt.txt") == ({"0.png": "other"}, {})
    with pytest.raises(DataError, match=r"has a caption 'nope.txt'"):
        told(tmp_path, caption_column="nope.txt")


def test_texts_of_versions_are_those_of_their_own_images(tmp_path):
    members = [(f"shot.v1.{k}.{kind}", data) for k in range(2) for kind, data in
               (("png", png(k)), ("txt", f"number {k}".encode()))]  # fmt: skip
    pack(tmp_path, *members)
    assert told(tmp_path) == ({f"shot.v1.{k}.png": f"number {k}" for k in range(2)}, {})


@pytest.mark.parametrize(
    ("image", "mask"),
    [
        ("a.png", "a.seg.png"),
        ("a.png", "a.mask1.png"),
        ("a.jpg", "a.SEG.PNG"),
        ("shot.v1.0.png", "shot.v1.0.seg.png"),
        ("shot.v1.0.png", "shot.v1.0.mask_2.png"),
        ("a.image.png", "a.mask.png"),
        ("a.v2.image.png", "a.v2.depth.png"),
    ],
)
def test_masks_are_counted_and_can_be_named(tmp_path, image, mask):
    pack(tmp_path, (image, png(1)), (mask, png(2)))
    images, counted = told(tmp_path)
    extension = ".".join(mask.lower().split(".")[-2:])
    assert (list(images), list(counted)) == ([image], [mask])
    assert f"--image-column {extension}" in counted[mask]
    assert list(told(tmp_path, image_column=extension)[0]) == [mask]


@pytest.mark.parametrize(
    "names",
    [
        ("tile.png", "tile.1.png", "tile.v2.png", "tile.page12.png"),
        ("0.input.png", "0.target.png"),
        ("0.mask.png",),
        ("0.mask1.png", "0.mask2.png"),
        ("shot.v1.0.png", "shot.v2.seg.png"),
    ],
)
def test_images_that_are_no_masks_beside_another_are_read(tmp_path, names):
    pack(tmp_path, *((name, png(k)) for k, name in enumerate(names)))
    assert told(tmp_path) == (dict.fromkeys(sorted(names), ""), {})


def test_an_archive_of_one_key_takes_time_in_proportion(tmp_path):
    pack(tmp_path, *((f"a.{k}.x.seg.png", b"") for k in range(20_000)))
    assert len(open_source(tmp_path).entries()) == 20_000


@pytest.mark.parametrize(
    "columns",
    [
        {"txt": ["a rocket"]},
        {"json": [{"caption": "a rocket", "url": "x"}]},
        {"json": [{"url": "x", "prompt": "a rocket"}]},
        {"txt": ["a rocket"], "json": [{"caption": "other"}]},
    ],
)
def test_tables_that_datasets_makes_of_archives_keep_their_captions(tmp_path, columns):
    image = pa.array([{"bytes": png(1), "path": None}], IMAGE)
    rest = {"__key__": ["0"], "__url__": ["a.tar"]}
    pq.write_table(pa.table({"png": image, **columns, **rest}), tmp_path / "a.parquet")
    assert told(tmp_path) == ({"0": "a rocket"}, {})


def test_json_without_a_caption_is_none(tmp_path):
    image = pa.array([{"bytes": png(1), "path": None}], IMAGE)
    pq.write_table(pa.table({"png": image, "json": [{"label": 3}]}), tmp_path / "a.parquet")
    assert told(tmp_path) == ({"0": ""}, {})


def test_whole_paths_of_files_inside_the_data_set_are_followed(tmp_path):
    root, outside = tmp_path / "in", tmp_path / "outside.png"
    put(root, **{"train__0.png": png(1)})
    outside.write_bytes(png(2))
    paths = [str(root / "train" / "0.png"), str(outside), f"{root}/../outside.png"]
    cells = pa.array([{"bytes": None, "path": path} for path in paths], IMAGE)
    pq.write_table(pa.table({"image": cells, "text": ["one", "two", "x"]}), root / "a.parquet")
    images, counted = told(root / "a.parquet")
    assert images == {"0": "one"}
    assert list(counted) == ["1", "2"]
    assert "the images themselves into the table" in counted["1"]


def kohya(folder, name="meta_cap.json", **metadata):
    put(folder, **{"a__0.png": png(0), "a__1.png": png(1)})
    return put(folder, **{name: json.dumps(metadata)})


def test_metadata_of_kohyas_scripts_tell_captions(tmp_path):
    keys = {"0": {"caption": "zero"}, str(tmp_path / "a" / "1.png"): {"tags": "one, two"}}
    assert told(kohya(tmp_path, **keys)) == ({"a/0.png": "zero", "a/1.png": "one, two"}, {})


def test_captions_and_tags_of_kohya_are_joined_as_they_are_for_a_training(tmp_path):
    row = {"caption": "zero", "tags": "sky, red", "train_resolution": [64, 64]}
    kohya(tmp_path, "a__meta_cap_dd.json", **{"0": row, "1": {"caption": "one"}})
    expected = {"a/0.png": "zero, sky, red", "a/1.png": "one"}
    assert told(tmp_path) == (expected, {})
    assert told(tmp_path, caption_column="tags")[0] == {"a/0.png": "sky, red", "a/1.png": ""}


def test_the_later_of_kohyas_metadata_counts_and_those_of_no_image_are_counted(tmp_path):
    kohya(tmp_path, **{"0": {"caption": "zero"}, "1": {"caption": "raw"}, "9": {"caption": "x"}})
    kohya(tmp_path, "meta_clean.json", **{"1": {"caption": "one"}})
    images, counted = told(tmp_path)
    assert images == {"a/0.png": "zero", "a/1.png": "one"}
    assert list(counted) == ["9"]


def test_a_key_that_two_images_have_is_counted(tmp_path):
    put(tmp_path, **{"b__0.png": png(3)})
    images, counted = told(kohya(tmp_path, **{"0": {"caption": "zero"}}))
    assert set(images.values()) == {""}
    assert list(counted) == ["0"]


@pytest.mark.parametrize("content", ["[]", "{", '{"0": 5}'])
def test_metadata_of_kohya_that_cannot_be_read_are_refused(tmp_path, content):
    kohya(tmp_path)
    put(tmp_path, **{"meta_cap.json": content})
    with pytest.raises(DataError, match=r"meta_cap.json cannot be read"):
        told(tmp_path)


def test_an_extract_keeps_what_kohyas_metadata_tell_of_its_images(tmp_path):
    whole, part = tmp_path / "whole", tmp_path / "part"
    kohya(whole, **{"0": {"caption": "zero"}, "1": {"caption": "one"}})
    source = open_source(whole)
    source.extract(source.entries()[:1], part)
    assert told(part) == ({"a/0.png": "zero"}, {})
    assert json.loads((part / "meta_cap.json").read_text()) == {"0": {"caption": "zero"}}


def test_an_extract_of_whole_paths_names_its_own_images(tmp_path):
    whole, part = tmp_path / "whole", tmp_path / "part"
    put(whole, **{"a__0.png": png(0), "a__1.png": png(1)})
    names = "".join(f"{whole}/a/{k}.png,number {k}\n" for k in range(2))
    put(whole, **{"metadata.csv": "file_name,text\n" + names})
    source = open_source(whole)
    assert told(whole) == ({"a/0.png": "number 0", "a/1.png": "number 1"}, {})
    source.extract(source.entries()[1:], part)
    assert told(part) == ({"a/1.png": "number 1"}, {})


def test_an_extract_of_a_table_of_whole_paths_is_refused(tmp_path):
    put(tmp_path, **{"in__0.png": png(0)})
    table = pa.table({"image": [str(tmp_path / "in" / "0.png")]})
    pq.write_table(table, tmp_path / "in" / "a.parquet")
    source = open_source(tmp_path / "in" / "a.parquet")
    with pytest.raises(DataError, match="by their whole paths"):
        source.extract(source.entries(), tmp_path / "part")


def test_metadata_of_kohya_above_a_split_tell_of_its_images(tmp_path):
    kohya(tmp_path, **{"0": {"caption": "zero"}, "a/1.png": {"caption": "one"}, "7": {}})
    expected = {"0.png": "zero", "1.png": "one"}
    source = open_source(tmp_path, split="a")
    assert {entry.source: entry.prompt for entry in source.entries()} == expected
    source.extract(source.entries(), tmp_path / "part")
    assert told(tmp_path / "part") == (expected, {})
