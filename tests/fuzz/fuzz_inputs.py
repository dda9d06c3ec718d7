"""Data sets made to be hard, one from each number: (kind, number) always gives the same files.

Each maker writes into a folder and returns how many images it put there under names that must all
be read or counted, or None where a change may have made them no images at all.
"""

import csv
import functools
import io
import json
import os
import tarfile
from collections.abc import Callable
from pathlib import Path
from random import Random

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from fuzz_mutate import change, change_png, change_tar
from PIL import Image as PillowImage
from pyarrow import ipc
from skimage import data as photographs

ROCKET = photographs.rocket()
EVIL_NAMES = [
    "../outside.png",
    "/etc/passwd",
    "a\0.png",
    "",
    ".",
    "..",
    "sub",
    "x" * 5000,
    "a.png\n",
]
EVIL_NAMES += ["\ud800.png", "\ufeffa.png", "sub/../a.png", "C:\\a.png", "..\\..\\outside.png"]
EVIL_NAMES += ["=cmd|' /C calc'!A0.png", "missing.png", "\x1b[31m.png", "link.png", "pipe.png"]
EVIL_CELLS = [None, 5, [], {}, True, float("nan"), 10**400, [["q"]], {"a": 1}, "\0", "x" * 200_000]
EVIL_CELLS += ["\ud800", 'a,b"c\n', "=1+1", "\u202e", "\ufefftext", "  ", 1e300, -0.0]
EVIL_JSON = [
    "[]",
    "1",
    "{",
    "null",
    '{"a":',
    '"x',
    "[" * 100_000,
    "1" * 5000,
    "NaN",
    "1e999",
    "\ufeff{}",
]
EVIL_JSON += [
    '{"text": ' + "[" * 900 + "]" * 900 + "}",
    '{"text": "\\ud800"}',
    '{"text": {"a": NaN}}',
]
STEMS = ["tile", "tile.1", "shot.v1.5", "é", "A b", "set.x/0", "deep/er/1.2.3", "tile.v2", "x" * 90]


@functools.cache
def picture(number: int) -> PillowImage.Image:
    """A small picture whose first pixel is (number, number, number)."""
    crop = ROCKET[number % 90 : number % 90 + 8, 300:308].copy()
    crop[0, 0] = number
    return PillowImage.fromarray(crop)


@functools.cache
def png(number: int) -> bytes:
    return encoded(picture(number), "PNG")


def encoded(image: PillowImage.Image, kind: str, **options: object) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, kind, **options)
    return buffer.getvalue()


@functools.cache
def formats() -> list[bytes]:
    """One small file of each format and mode."""
    big = PillowImage.fromarray(ROCKET[100:190, 250:370])
    grey = np.asarray(big.convert("L"))
    exif = PillowImage.Exif()
    exif[0x0112] = 6
    found = [encoded(big.convert(mode), "PNG") for mode in ("RGB", "RGBA", "L", "LA", "P", "1")]
    found += [encoded(big.convert("P"), "PNG", transparency=3)]
    found += [
        encoded(PillowImage.fromarray(grey.astype(np.uint16) * 16), kind)
        for kind in ("PNG", "TIFF")
    ]
    found += [encoded(big, "JPEG", exif=exif), encoded(big.convert("CMYK"), "JPEG")]
    found += [encoded(big, "JPEG", progressive=True, icc_profile=b"broken" * 50)]
    found += [encoded(big, kind) for kind in ("WEBP", "BMP", "GIF", "PPM", "AVIF", "JPEG2000")]
    packings = ("tiff_lzw", "tiff_adobe_deflate", "jpeg", "packbits")
    found += [encoded(big, "TIFF", compression=packing) for packing in packings]
    found += [encoded(PillowImage.fromarray(grey.astype(np.float32) / 255), "TIFF")]
    return [*found, encoded(big, "GIF", save_all=True, append_images=[picture(1)])]


def images(random: Random, folder: Path) -> int:
    """A damaged image beside a good one."""
    (folder / "0.png").write_bytes(change_png(random, random.choice(formats())))
    (folder / "1.png").write_bytes(png(1))
    return 2


@functools.cache
def tables() -> list[bytes]:
    """The same rows in every kind of column, format and packing."""
    cells = [png(k) for k in range(6)]
    columns = [
        pa.array(cells),
        pa.array(cells).dictionary_encode(),
        pa.array(cells, pa.binary_view()),
    ]
    columns += [pa.array([{"bytes": one, "path": "a"} for one in cells])]
    found = []
    for column in columns:
        content = pa.table({"image": column, "text": [f"caption {k}" for k in range(6)]})
        for packing in ("NONE", "SNAPPY", "ZSTD", "GZIP"):
            buffer = io.BytesIO()
            pq.write_table(content, buffer, compression=packing, row_group_size=4)
            found.append(buffer.getvalue())
        for packing in (None, "lz4", "zstd"):
            options = ipc.IpcWriteOptions(compression=packing)
            for new in (ipc.new_file, ipc.new_stream):
                buffer = io.BytesIO()
                with new(buffer, content.schema, options=options) as writer:
                    writer.write_table(content, 4)
                found.append(buffer.getvalue())
    return found


def damaged_tables(random: Random, folder: Path) -> None:
    """One damaged file of rows, or one beside a good one."""
    data = change(random, random.choice(tables()))
    (folder / f"a.{random.choice(['parquet', 'arrow'])}").write_bytes(data)
    if random.random() < 0.5:
        (folder / "b.parquet").write_bytes(tables()[0])


def odd_tables(random: Random, folder: Path) -> None:
    """A whole file with columns that Python has no values for, names there twice, paths."""
    n = 4
    edge = random.choice([2**31 - 1, -(2**31), 0])
    texts = random.choice(
        [
            pa.array([edge] * n, pa.date32()),
            pa.array([random.choice([2**62, -(2**62), 1])] * n, pa.timestamp("us")),
            pa.array([1] * n, pa.timestamp("ns", tz="Foo/Bar")),
            pa.array([2**62] * n, pa.duration("s")),
            pa.array([float("nan"), float("inf"), 1, None]),
            pa.array([b"\xff", b"ok", None, b"\xef\xbb\xbfx"]),
            pa.array([["a"], [], None, [None]]),
            pa.array([{"a": 1}] * n),
            pa.nulls(n),
            pa.array(["x" * random.choice([1, 70_000, 2_000_000])] * n).dictionary_encode(),
        ]
    )
    names = pa.array(
        [random.choice(EVIL_NAMES[:8] + EVIL_NAMES[10:]).replace("\ud800", "") for _ in range(n)]
    )
    cells = random.choice([pa.array([png(k) for k in range(n)]), names, pa.nulls(n)])
    columns = random.choice([["image", "text"], ["image", "text", "text"], ["image", "image"]])
    content = pa.Table.from_arrays([cells, texts, texts][: len(columns)], columns)
    pq.write_table(content, folder / "a.parquet", compression="zstd")


@functools.cache
def archives() -> list[bytes]:
    found = []
    for layout in (tarfile.USTAR_FORMAT, tarfile.GNU_FORMAT, tarfile.PAX_FORMAT):
        buffer = io.BytesIO()
        with tarfile.open(fileobj=buffer, mode="w", format=layout) as archive:
            for k in range(5):
                for extension, data in (
                    ("png", png(k)),
                    ("txt", b"caption"),
                    ("json", b'{"text": "x"}'),
                ):
                    long = ("d" * 90 + "/") * 2 if k > 3 and layout != tarfile.USTAR_FORMAT else ""
                    info = tarfile.TarInfo(f"{long}{k:05d}.{extension}")
                    info.size = len(data)
                    if layout == tarfile.PAX_FORMAT and k == 3:
                        info.pax_headers = {"comment": "x" * 600}
                    archive.addfile(info, io.BytesIO(data))
            for kind, name in ((tarfile.SYMTYPE, "s.png"), (tarfile.FIFOTYPE, "f.png")):
                info = tarfile.TarInfo(name)
                info.type, info.linkname = kind, "/etc/passwd"
                archive.addfile(info)
        found.append(buffer.getvalue())
    return found


def damaged_archives(random: Random, folder: Path) -> None:
    """A damaged archive, or one beside a good one."""
    (folder / "a.tar").write_bytes(change_tar(random, random.choice(archives())))
    if random.random() < 0.5:
        (folder / "b.tar").write_bytes(archives()[0])


def cut_archives(random: Random, folder: Path) -> int:
    """An archive that ends too early: what was in it is read, or a row says that it is lost."""
    data = archives()[0]
    (folder / "a.tar").write_bytes(data[: random.randrange(len(data))])
    (folder / "b.tar").write_bytes(archives()[0])
    return 1


def metadata(random: Random, folder: Path) -> int:
    """Images with metadata that are wrong in every way."""
    (folder / "sub").mkdir()
    for k, name in enumerate(("a.png", "b.png", "sub/c.png")):
        (folder / name).write_bytes(png(k))
    (folder / "link.png").symlink_to("nowhere")
    os.mkfifo(folder / "pipe.png")
    names = ["a.png", "b.png", "sub/c.png", *EVIL_NAMES]
    columns = ["file_name", random.choice(["text", "caption", "prompt", "x"])]
    rows = [
        [random.choice(names), random.choice([*EVIL_CELLS, "hi"])]
        for _ in range(random.choice([0, 1, 4]))
    ]
    write, names = random.choice(
        [
            (_csv, ["metadata.csv", "Metadata.CSV"]),
            (_jsonl, ["metadata.jsonl", "METADATA.JSONL"]),
            (_parquet, ["metadata.parquet", "Metadata.PARQUET"]),
            (_keyed, ["meta_cap.json", "meta_clean.json", "Meta_Cap_dd.json"]),
        ]
    )
    data = write(random, columns, rows)
    if random.random() < 0.35:
        data = change(random, data)
    (folder / random.choice(names)).write_bytes(data)
    return 5


def _csv(random: Random, columns: list[str], rows: list[list[object]]) -> bytes:
    text = io.StringIO()
    writer = csv.writer(text, quoting=random.choice([csv.QUOTE_MINIMAL, csv.QUOTE_ALL]))
    writer.writerow(random.choice([columns, columns, ["file_name"], ["file_name", *columns], []]))
    for row in rows:
        cells = ["9" * 401 if one == 10**400 else str(one) for one in row]
        writer.writerow(cells + ["z"] * (random.random() < 0.1))
    encoding = random.choice(["utf-8", "utf-8", "utf-8-sig", "utf-16", "utf-32"])
    return text.getvalue().encode(encoding, "surrogatepass")


def _jsonl(random: Random, columns: list[str], rows: list[list[object]]) -> bytes:
    lines = [
        random.choice(EVIL_JSON)
        if random.random() < 0.1
        else json.dumps(
            {name: one if one != 10**400 else 1e999 for name, one in zip(columns, row, strict=True)}
        )
        for row in rows
    ]
    return "\n".join(lines).encode("utf-8", "surrogatepass")


def _keyed(random: Random, columns: list[str], rows: list[list[object]]) -> bytes:
    fields = {
        str(row[0]): random.choice([{"caption": cell, "tags": random.choice(row)}, {}, cell])
        if random.random() < 0.05
        else {"caption": cell, random.choice(["tags", *columns]): random.choice(row)}
        for row in rows
        for cell in row[-1:]
    }
    text = random.choice(EVIL_JSON) if random.random() < 0.05 else json.dumps(fields)
    return text.replace(str(10**400), "1e999").encode("utf-8", "surrogatepass")


def _parquet(random: Random, columns: list[str], rows: list[list[object]]) -> bytes:
    n = len(rows)
    names = pa.array([str(row[0]).replace("\ud800", "") for row in rows], pa.string())
    cells = random.choice(
        [
            pa.array(["x"] * n),
            pa.array([2**31 - 1] * n, pa.date32()),
            pa.array([1] * n, pa.timestamp("ns", tz="Foo/Bar")),
            pa.array([float("nan")] * n),
            pa.array([{"a": 1}] * n),
            names.dictionary_encode(),
        ]
    )
    buffer = io.BytesIO()
    pq.write_table(pa.Table.from_arrays([names, cells], columns), buffer)
    return buffer.getvalue()


def texts(random: Random, folder: Path) -> int:
    """Images with texts and JSON beside them, in a folder or an archive."""
    members = {}
    for k in range(3):
        stem = random.choice(["", "sub/"]) + f"{k}"
        members[f"{stem}.{random.choice(['png', 'PNG'])}"] = png(k)
        text = random.choice(
            [b"plain", b"\xff\xfea\0", b"\xef\xbb\xbfx", b"\xff", b"", b"y" * 70_000]
        )
        deep = random.choice([*EVIL_JSON, '{"caption": "ok"}']).encode("utf-8", "surrogatepass")
        for extension, data in (
            ("txt", text),
            ("json", deep),
            ("caption", change(random, b"some text")),
            ("prompt.txt", b"other text"),
        ):
            if random.random() < 0.6:
                members[f"{stem}.{random.choice([extension, extension.upper()])}"] = data
    _write(random, folder, list(members.items()))
    return 3


def names(random: Random, folder: Path) -> int:
    """Images under names that meet, in a folder or an archive: none may be lost."""
    found, taken = [], set()
    for k in range(random.choice([2, 5, 12])):
        extension = random.choice(
            ["png", "PNG", "seg.png", "jpg", "1.png", "tif", "image.png", "mask2.png", "v1.seg.png"]
        )
        name = f"{random.choice(STEMS)}.{extension}"
        found.append((name, png(k)))
        taken.add(name)
        if random.random() < 0.5:
            text = random.choice(["txt", "TXT", "caption.txt", "alt.txt"])
            found.append((f"{name.rpartition('.')[0]}.{text}", b"caption"))
    is_folder = _write(random, folder, found)
    return len(taken) if is_folder else sum(name.lower()[-3:] != "txt" for name, _ in found)


def _write(random: Random, folder: Path, members: list[tuple[str, bytes]]) -> bool:
    """Write files into a folder, or into an archive; tell whether it is the folder."""
    if random.random() < 0.5:
        for name, data in members:
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            (folder / name).write_bytes(data)
        return True
    with tarfile.open(folder / "a.tar", "w") as archive:
        for name, data in random.sample(members, len(members)):
            info = tarfile.TarInfo(name)
            info.size = len(data)
            archive.addfile(info, io.BytesIO(data))
    return False


MAKERS: dict[str, Callable[[Random, Path], int | None]] = {
    "images": images,
    "damaged tables": damaged_tables,
    "odd tables": odd_tables,
    "damaged archives": damaged_archives,
    "cut archives": cut_archives,
    "metadata": metadata,
    "texts": texts,
    "names": names,
}
