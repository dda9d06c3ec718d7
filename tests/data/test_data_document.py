"""What docs/data.md says of each kind of data is what becomes of it."""

import io
import os
import re
import tarfile
from pathlib import Path

import numpy as np
import PIL.Image
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from pyarrow import ipc
from skimage import data as photos

from memaudit.data import decode, open_source
from memaudit.errors import DataError, UnreadableImageError

PAGE = (Path(__file__).parents[2] / "docs" / "data.md").read_text(encoding="utf-8")
ROCKET = PIL.Image.fromarray(photos.rocket()[100:132, 300:332])
OTHER = PIL.Image.fromarray(photos.chelsea()[100:132, 100:132])
ROW = "a row of errors.csv"


def rows(first):
    """The rows of the table whose first heading is this, by their first cell."""
    table = PAGE.partition(f"\n| {first} |")[2].partition("\n\n")[0]
    cells = [[cell.strip() for cell in row.split("|")[1:-1]] for row in table.splitlines()[2:]]
    return {one[0]: one[1:] for one in cells}


def encoded(picture, kind="PNG", **options):
    buffer = io.BytesIO()
    picture.save(buffer, kind, **options)
    return buffer.getvalue()


PNG, PNG2, JPEG = encoded(ROCKET), encoded(OTHER), encoded(ROCKET, "JPEG")


def put(root, **files):
    for name, data in files.items():
        path = root / name.replace("__", "/")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data if isinstance(data, bytes) else data.encode())


def pack(path, *members):
    path.parent.mkdir(parents=True, exist_ok=True)
    with tarfile.open(path, "w") as archive:
        for name, data in members:
            info = tarfile.TarInfo(name)
            info.size = len(data)
            archive.addfile(info, io.BytesIO(data))


def found(path, **options):
    """How many images are read, captions told, and rows that errors.csv would have."""
    source = open_source(path, **options)
    images = captions = failed = 0
    for entry in source.entries():
        failed += bool(entry.lost)
        try:
            decode(source.read(entry))
        except UnreadableImageError:
            failed += 1
            continue
        images += 1
        captions += entry.prompt != ""
    return images, captions, failed


def test_the_tables_are_those_that_are_tried():
    headings = re.findall(r"^\| (.*?) \|.*\n\|---", PAGE, re.MULTILINE)
    assert headings == ["File", "Layout", "Pixels", "`--alpha`", "Caption", "Names"]


EXIF = PIL.Image.Exif()
EXIF[0x0112] = 6
CONTENTS = {
    "photo.png": PNG,
    "PHOTO.JPG": JPEG,
    "photo.jp2": encoded(ROCKET, "JPEG2000"),
    "turned.jpg": encoded(ROCKET, "JPEG", exif=EXIF),
    "film.gif": encoded(ROCKET, "GIF", save_all=True, append_images=[OTHER]),
    "photo.heic": b"\0\0\0\x18ftypheic" + bytes(99),
    "drawing.svg": b"<svg xmlns='http://www.w3.org/2000/svg'/>",
    "empty.png": b"",
    "denied.jpg": b"<html>403</html>",
    "cut.jpg": JPEG[: len(JPEG) // 2],
    "wide.png": encoded(PIL.Image.new("1", (70_000, 2))),
    "images.zip": b"PK\3\4",
    "images.tar.gz": b"\x1f\x8b",
    "photo.jpg.gz": b"\x1f\x8b",
    "photo.jpg.part": JPEG,
    "images.tar.001": b"",
    "metadata.json": b"{}",
    ".hidden.png": PNG,
    "latents.npz": b"PK\3\4",
    "README.md": b"images",
}


@pytest.mark.parametrize("name", rows("File"))
def test_of_every_kind_of_file(tmp_path, name):
    file = name.strip("`")
    (tmp_path / "in").mkdir()
    path = tmp_path / "in" / file
    if file == "link.png":
        put(tmp_path, outside=PNG)
        path.symlink_to(tmp_path / "outside")
    elif file == "broken.png":
        path.symlink_to(tmp_path / "gone")
    elif file == "pipe.png":
        os.mkfifo(path)
    else:
        path.write_bytes(CONTENTS[file])
    put(tmp_path / "in", **{"good.png": PNG2})
    became = {(2, 0): "read", (1, 1): ROW, (1, 0): "passed over"}
    images, _, failed = found(tmp_path / "in")
    assert became[images, failed] == rows("File")[name][0]


METADATA = "file_name,text\na/0.png,zero\na/1.png,one\n"
JSONL = '{"file_name": "a/0.png", "text": "zero"}\n{"file_name": "a/1.png", "text": "one"}\n'
KIND = pa.struct({"bytes": pa.binary(), "path": pa.string()})
IMAGES = {"a__0.png": PNG, "a__1.png": PNG2}


def structs():
    cells = pa.array([{"bytes": PNG, "path": "/x/0.png"}, {"bytes": PNG2}], KIND)
    return pa.table({"image": cells, "text": ["zero", "one"]})


def note(path):
    pq.write_table(pa.table({"url": ["x", "y"], "caption": ["zero", "one"]}), path)
    path.with_name(f"{path.stem}_stats.json").write_text("{}")


def metadata_parquet(root):
    put(root, **IMAGES)
    content = pa.table({"file_name": ["a/0.png", "a/1.png"], "text": ["zero", "one"]})
    pq.write_table(content, root / "metadata.parquet")


def shards(root):
    pack(root / "00000.tar", ("0.png", PNG), ("0.txt", b"zero"), ("1.png", PNG2), ("1.txt", b"one"))


def img2dataset_shards(root):
    shards(root)
    note(root / "00000.parquet")


def img2dataset_folders(root):
    put(root, **{"00000__0.png": PNG, "00000__0.txt": "zero"})
    put(root, **{"00000__1.png": PNG2, "00000__1.json": '{"caption": "one"}'})
    note(root / "00000.parquet")


def img2dataset_tables(root):
    content = pa.table({"jpg": [PNG, PNG2], "caption": ["zero", "one"], "url": ["x", "y"]})
    pq.write_table(content, root / "00000.parquet")


def on_disk(root):
    put(root, **{"dataset_info.json": "{}", "state.json": "{}"})
    content = structs()
    with ipc.new_stream(root / "data-00000-of-00001.arrow", content.schema) as writer:
        writer.write_table(content)


def paths(root):
    put(root, **IMAGES)
    content = pa.table({"image": ["a/0.png", "a/1.png"], "text": ["zero", "one"]})
    pq.write_table(content, root / "index.parquet")
    return root / "index.parquet"


def whole_paths(root):
    put(root, **IMAGES)
    cells = [{"bytes": None, "path": str(root / "a" / f"{k}.png")} for k in range(2)]
    content = pa.table({"image": pa.array(cells, KIND), "text": ["zero", "one"]})
    pq.write_table(content, root / "index.parquet")
    return root / "index.parquet"


def unpacked(root):
    for number, column in enumerate(({"txt": ["zero"]}, {"json": [{"caption": "one"}]})):
        image = pa.array([{"bytes": PNG, "path": None}], KIND)
        pq.write_table(pa.table({"png": image, **column}), root / f"{number}.parquet")


def outside(root):
    put(root.parent, **{"secret.png": PNG})
    pq.write_table(pa.table({"image": ["../secret.png"]}), root / "index.parquet")


def packed(root):
    put(root, **{"all.zip": b"PK\3\4"})
    return root / "all.zip"


def both(root):
    put(root, **IMAGES)
    pq.write_table(structs(), root / "all.parquet")


def webdataset(root):
    pack(root / "a.tar", ("0.png", PNG), ("0.txt", b"zero"))
    pack(root / "b.tar", ("1.png", PNG2), ("1.json", b'{"text": "one"}'))


def named_fields(root):
    members = (("image.png", PNG), ("caption.txt", b"zero"), ("image.png", PNG2), ("txt", b"one"))
    pack(root / "a.tar", *((f"{k // 2}.{name}", data) for k, (name, data) in enumerate(members)))


LAYOUTS = {
    "images in sub-folders, with `metadata.csv`": lambda r: put(
        r, **IMAGES, **{"metadata.csv": METADATA}
    ),
    "the same, with `METADATA.JSONL`": lambda r: put(r, **IMAGES, **{"METADATA.JSONL": JSONL}),
    "the same, with `metadata.parquet`": metadata_parquet,
    "a split (`--split train`) with metadata in the folder above": lambda r: put(
        r,
        **{"train__0.png": PNG, "train__1.png": PNG2, "test__0.png": PNG},
        **{"metadata.csv": METADATA.replace("a/", "train/")},
    ),
    "metadata that name files with the back slashes of Windows": lambda r: put(
        r, **IMAGES, **{"metadata.csv": METADATA.replace("a/", "a\\")}
    ),
    "a `.txt` or `.caption` beside each image, as kohya expects it": lambda r: put(
        r, **IMAGES, **{"a__0.txt": "zero", "a__1.caption": "one"}
    ),
    "`meta_cap.json`, as kohya's scripts write it": lambda r: put(
        r, **IMAGES, **{"meta_cap.json": '{"0": {"caption": "zero"}, "1": {"caption": "one"}}'}
    ),
    "a `.json` beside each image, with `text`, `caption` or `prompt`": lambda r: put(
        r, **IMAGES, **{"a__0.json": '{"text": "zero"}', "a__1.json": '{"prompt": "one"}'}
    ),
    "img2dataset: shards, with a Parquet file beside each": img2dataset_shards,
    "img2dataset: folders, with a Parquet file beside each": img2dataset_folders,
    "img2dataset: Parquet files with a column `jpg`": img2dataset_tables,
    "datasets: Parquet files with an image column": lambda r: pq.write_table(
        structs(), r / "train-00000-of-00001.parquet"
    ),
    "datasets: Parquet files made of WebDataset shards, with a column `txt` or `json`": unpacked,
    "datasets: `save_to_disk`": on_disk,
    "Parquet with a column of paths, below the folder of the file": paths,
    "the same, with whole paths": whole_paths,
    "WebDataset shards, with `.txt` or `.json`": webdataset,
    "WebDataset shards, with `image.png` and `caption.txt` in each sample": named_fields,
    "a folder of a table and of images": both,
    "a packed archive by itself": packed,
    "a folder without an image": lambda r: put(r, **{"README.md": "none"}),
    "a table with a path that leads out of its folder": outside,
}


@pytest.mark.parametrize("name", rows("Layout"))
def test_of_every_layout(tmp_path, name):
    root = tmp_path / "in"
    root.mkdir()
    path = LAYOUTS[name](root) or root
    options = {"split": "train"} if "--split" in name else {}
    try:
        images, captions, failed = found(path, **options)
    except DataError:
        became = "refused"
    else:
        became = ROW if failed else f"{images} images, {captions} captions"
    assert [became] == rows("Layout")[name]


GREY = np.asarray(ROCKET.convert("L"))
HALF = np.where(np.arange(32) < 16, 0, 255).astype(np.uint8)[None].repeat(32, 0)


def with_alpha(picture, alpha):
    picture.putalpha(PIL.Image.fromarray(alpha))
    return picture


PIXELS = {
    "RGB": PNG,
    "grey": encoded(ROCKET.convert("L")),
    "black and white": encoded(ROCKET.convert("1")),
    "a palette": encoded(ROCKET.quantize(32)),
    "CMYK": encoded(ROCKET.convert("CMYK"), "JPEG"),
    "YCbCr": encoded(ROCKET.convert("YCbCr"), "TIFF"),
    "RGB with an alpha that is opaque": encoded(with_alpha(ROCKET.copy(), HALF | 255)),
    "RGB with an alpha that hides some": encoded(with_alpha(ROCKET.copy(), HALF)),
    "grey with an alpha that hides some": encoded(with_alpha(ROCKET.convert("L"), HALF)),
    "a palette with a transparent colour": encoded(ROCKET.quantize(4), transparency=0),
    "grey of 16 bits": encoded(PIL.Image.fromarray(GREY.astype(np.uint16) * 257)),
    "grey of 12 bits in 16": encoded(PIL.Image.fromarray(GREY.astype(np.uint16) * 16)),
    "grey of floats in 0 .. 1 or 0 .. 255": encoded(
        PIL.Image.fromarray(GREY.astype(np.float32) / 255), "TIFF"
    ),
    "grey of floats beyond": encoded(PIL.Image.fromarray(GREY.astype(np.float32) - 999), "TIFF"),
    "grey of integers beyond 65,535": encoded(
        PIL.Image.fromarray(GREY.astype(np.int32) * 1000), "TIFF"
    ),
}


@pytest.mark.parametrize("name", rows("Pixels"))
def test_of_every_kind_of_pixels(name):
    try:
        became = ["read", decode(PIXELS[name]).changed]
    except UnreadableImageError:
        became = [ROW, ""]
    assert became == rows("Pixels")[name]


@pytest.mark.parametrize("name", rows("`--alpha`"))
def test_of_every_way_to_treat_alpha(name):
    hidden = encoded(PIL.Image.new("RGBA", (1, 1), (255, 0, 0, 0)))
    pixel = decode(hidden, name.strip("`")).image[0, 0].tolist()
    assert [str(tuple(pixel))] == rows("`--alpha`")[name]


def cells(values):
    """Write a table of one image with a caption."""

    def write(root):
        pq.write_table(pa.table({"image": [PNG], "text": values}), root / "a.parquet")

    return write


def text(data):
    return lambda root: put(root, **{"0.png": PNG, "0.txt": data})


CAPTIONS = {
    "text in UTF-8": text("zürich"),
    "text in UTF-8 with a byte order mark": text(b"\xef\xbb\xbfplain"),
    "text in UTF-16 with a byte order mark": text("plain".encode("utf-16")),
    "bytes in a column of a table": cells(pa.array([b"plain"])),
    "a list of texts": cells(pa.array([["one", "two"]])),
    "a number": cells(pa.array([5])),
    "null": cells(pa.array([None], pa.string())),
    "NaN": cells(pa.array([float("nan")])),
    "blank text": text(" \n"),
    "text in another encoding": text("zürich".encode("latin-1")),
    "a packed text or JSON (`photo.txt.gz`)": lambda r: put(
        r, **{"0.png": PNG, "0.txt.gz": b"\x1f\x8b"}
    ),
    "a text of 70,000 bytes": text("x" * 70_000),
    "a structure with a field `caption`": cells(pa.array([{"caption": "plain", "b": 2}])),
    "a structure of other fields": cells(pa.array([{"a": 1, "b": 2}])),
    "JSON more than 64 deep": lambda r: put(
        r, **{"0.png": PNG, "0.json": '{"text": ' + "[" * 99 + "]" * 99 + "}"}
    ),
    "a date that is none": cells(pa.array([2**31 - 1], pa.date32())),
    "a row of metadata with more cells than columns": lambda r: put(
        r, **{"0.png": PNG, "metadata.csv": "file_name,text\n0.png,a photo, of a rocket\n"}
    ),
    "a `.txt` without its image, where other images have one": lambda r: put(
        r, **{"0.png": PNG, "0.txt": "", "1.txt": "one"}
    ),
    "a column name that a table has twice": lambda r: pq.write_table(
        pa.Table.from_arrays(
            [pa.array([PNG]), pa.array(["a"]), pa.array(["b"])], ["i", "text", "text"]
        ),
        r / "a.parquet",
    ),
    "metadata that cannot be parsed": lambda r: put(
        r, **{"0.png": PNG, "metadata.jsonl": '{"file_name": '}
    ),
}


@pytest.mark.parametrize("name", rows("Caption"))
def test_of_every_kind_of_caption(tmp_path, name):
    CAPTIONS[name](tmp_path)
    try:
        images, captions, failed = found(tmp_path)
    except DataError:
        became = "refused"
    else:
        assert images == 1
        became = {(1, 0): "caption", (0, 0): "no caption", (0, 1): ROW}[captions, failed]
    assert [became] == rows("Caption")[name]


def archive(*names):
    def write(root):
        pack(root / "a.tar", *zip(names, (PNG, PNG2), strict=True))

    return write


NAMES = {
    "`tile.png` and `tile.1.png` in an archive": archive("tile.png", "tile.1.png"),
    "`shot.v1.0.png` and `shot.v1.1.png` in an archive": archive("shot.v1.0.png", "shot.v1.1.png"),
    "`a.png` twice in an archive": archive("a.png", "a.png"),
    "`a.png` and `a.PNG` in an archive": archive("a.png", "a.PNG"),
    "`a.png` and `a.seg.png` in an archive": archive("a.png", "a.seg.png"),
    "`a.png` and `a.mask2.png` in an archive": archive("a.png", "a.mask2.png"),
    "`a.image.png` and `a.mask.png` in an archive": archive("a.image.png", "a.mask.png"),
    "`shot.v1.0.png` and `shot.v1.0.seg.png` in an archive": archive(
        "shot.v1.0.png", "shot.v1.0.seg.png"
    ),
    "`a.input.png` and `a.target.png` in an archive": archive("a.input.png", "a.target.png"),
    "`a.png` and `a.alt.txt` in an archive": archive("a.png", "a.alt.txt"),
    "`a.jpg` and `a.png` in a folder": lambda r: put(r, **{"a.jpg": JPEG, "a.png": PNG}),
    "`a.txt` and `a.TXT` beside `a.png`": lambda r: put(
        r, **{"a.png": PNG, "a.txt": "one", "a.TXT": "two"}
    ),
    "two rows of metadata with different captions for one image": lambda r: put(
        r, **{"a.png": PNG, "metadata.csv": "file_name,text\na.png,one\na.png,two\n"}
    ),
    "the same image under two names": lambda r: put(r, **{"a.png": PNG, "b.png": PNG}),
}


@pytest.mark.parametrize("name", rows("Names"))
def test_of_names_that_meet(tmp_path, name):
    NAMES[name](tmp_path)
    images, _, failed = found(tmp_path)
    became = f"{images} image{'s' * (images > 1)}"
    assert [became + f", {failed} row of errors.csv" * bool(failed)] == rows("Names")[name]
