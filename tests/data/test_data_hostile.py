"""What is made to harm a reader costs a row of errors, or the data set is refused; never more."""

import io
import json
import resource
import struct
import tarfile
import zlib
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from crops import png
from pyarrow import ipc

from memaudit.data import decode, open_source
from memaudit.errors import DataError, UnreadableImageError

BLOCK = 512


def outcome(path, **options):
    """How many images decode, and why the others do not; the message of a refusal."""
    try:
        source = open_source(path, **options)
        entries = source.entries()
    except DataError as error:
        return str(error)
    good, bad = [], {}
    for entry in entries:
        try:
            good.append(int(decode(source.read(entry)).image[0, 0, 0]))
        except UnreadableImageError as error:
            bad[entry.source] = str(error)
    return good, bad


def pack(members):
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as archive:
        for name, data in members.items():
            info = tarfile.TarInfo(name)
            info.size = len(data)
            archive.addfile(info, io.BytesIO(data))
    return buffer.getvalue()


def header(name, size, kind=b"0"):
    """A header of any size, as base-256 where it is negative or huge."""
    data = bytearray(BLOCK)
    data[: len(name)] = name
    data[257:265] = b"ustar  \0"
    number = size if 0 <= size < 8**11 else None
    data[124:136] = b"%011o\0" % number if number is not None else _base_256(size)
    data[156:157] = kind
    data[148:156] = b" " * 8
    data[148:156] = b"%06o\0 " % sum(data)
    return bytes(data)


def _base_256(size):
    return (
        b"\xff" + (size % 2**88).to_bytes(11, "big")
        if size < 0
        else b"\x80" + (size % 2**88).to_bytes(11, "big")
    )


GOOD = pack({"0.png": png(1)})
FIRST = GOOD[: BLOCK + -(-len(png(1)) // BLOCK) * BLOCK]  # without its end mark


@pytest.mark.parametrize("size", [-512, -1024, -(2**80), 2**62, 2**86], ids=str)
@pytest.mark.parametrize("kind", [b"0", b"L", b"K", b"x", b"g", b"S"], ids=bytes.decode)
def test_a_member_of_an_impossible_size_ends_its_archive(tmp_path, size, kind):
    (tmp_path / "a.tar").write_bytes(FIRST + header(b"evil.png", size, kind) + GOOD)
    (tmp_path / "b.tar").write_bytes(GOOD)
    good, bad = outcome(tmp_path)
    assert good == [1, 1]
    assert "the archive is damaged" in bad["a.tar"]


def test_a_size_in_extended_headers_is_bounded_too(tmp_path):
    for size in (b"-1024", b"99999999999999999999", b"nan", b"9" * 5000):
        record = b" size=" + size + b"\n"
        length = next(n for n in range(10_000) if len(b"%d" % n + record) == n)
        body = b"%d" % length + record
        data = header(b"pax", len(body), b"x") + body.ljust(-(-len(body) // BLOCK) * BLOCK, b"\0")
        (tmp_path / "a.tar").write_bytes(FIRST + data + header(b"x.png", 8) + b"\0" * BLOCK + GOOD)
        good, bad = outcome(tmp_path / "a.tar")
        assert good == [1]
        assert bad


@pytest.mark.parametrize(
    "text", [b"[" * 100_000, b'{"text": ' + b"[" * 900 + b"]" * 900 + b"}", b'{"text": {"a": 1}}']
)
def test_a_caption_out_of_bounds_costs_the_caption(tmp_path, text):
    (tmp_path / "tar").mkdir()
    (tmp_path / "tar/a.tar").write_bytes(pack({"0.png": png(1), "0.json": text}))
    (tmp_path / "files").mkdir()
    (tmp_path / "files/0.png").write_bytes(png(1))
    (tmp_path / "files/0.json").write_bytes(text)
    for name in ("tar", "files"):
        assert outcome(tmp_path / name) == ([1], {})
        [entry] = open_source(tmp_path / name).entries()
        assert "caption" in entry.lost
        assert entry.prompt == ""


def test_metadata_out_of_bounds_are_refused(tmp_path):
    (tmp_path / "0.png").write_bytes(png(1))
    for depth in (100_000, 980):
        deep = b"[" * depth + b"]" * depth
        (tmp_path / "metadata.jsonl").write_bytes(b'{"file_name": "0.png", "text": %b}' % deep)
        assert "more than 64 deep" in outcome(tmp_path)


DATES = {
    "date": pa.array([2**31 - 1, 1], pa.date32()),
    "time": pa.array([2**62, 1], pa.timestamp("us")),
    "zone": pa.array([1, 1], pa.timestamp("ns", tz="Foo/Bar")),
    "span": pa.array([2**62, 1], pa.duration("us")),
}


@pytest.mark.parametrize("kind", DATES)
def test_a_date_that_is_none_costs_its_caption(tmp_path, kind):
    content = pa.table({"image": [png(1), png(2)], "text": DATES[kind]})
    pq.write_table(content, tmp_path / "a.parquet")
    assert outcome(tmp_path) == ([1, 2], {})
    if kind in ("date", "zone"):
        assert "caption cannot be read" in open_source(tmp_path).entries()[0].lost


@pytest.mark.parametrize("kind", DATES)
def test_a_date_in_a_column_nobody_asks_for_is_not_looked_at(tmp_path, kind):
    (tmp_path / "0.png").write_bytes(png(1))
    names = pa.array(["0.png", "0.png"])
    pq.write_table(
        pa.table({"file_name": names, "when": DATES[kind]}), tmp_path / "metadata.parquet"
    )
    assert outcome(tmp_path) == ([1], {})


def test_a_date_that_is_none_is_no_cluster(tmp_path):
    content = pa.table({"image": [png(1), png(2)], "who": DATES["date"]})
    pq.write_table(content, tmp_path / "a.parquet")
    assert "--cluster-column cannot be read: days=" in outcome(tmp_path, cluster_column="who")


def test_two_columns_of_one_name_are_refused_where_one_is_asked_for(tmp_path):
    columns = [pa.array([png(1)]), pa.array(["a"]), pa.array(["b"])]
    pq.write_table(pa.Table.from_arrays(columns, ["image", "text", "text"]), tmp_path / "a.parquet")
    assert "2 columns of the name 'text'" in outcome(tmp_path)
    other = pa.Table.from_arrays(columns, ["image", "text", "alt"])
    pq.write_table(other, tmp_path / "0.parquet")
    good, bad = outcome(tmp_path)
    assert good == [1]
    assert "two columns of the name 'text'" in bad["a.parquet"]
    (tmp_path / "in").mkdir()
    (tmp_path / "in/0.png").write_bytes(png(1))
    (tmp_path / "in/metadata.csv").write_text("file_name,text,text\n0.png,a,b\n")
    assert "2 columns of the name 'text'" in outcome(tmp_path / "in")


def column_of(value, rows, how):
    """A column of equal values; as a dictionary it takes next to no memory to make."""
    values = pa.array([value], pa.large_string() if isinstance(value, str) else pa.large_binary())
    column = pa.DictionaryArray.from_arrays(pa.array([0] * rows, pa.int32()), values)
    return column if how == "dictionary" else column.dictionary_decode()


def peak():
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss << 10


CELLS = {"captions": ("text", "y" * (30 << 20)), "images": ("image", b"\0" * (100 << 20))}


@pytest.mark.parametrize("name", CELLS)
@pytest.mark.parametrize("how", ["dictionary", "plain", "arrow"])
def test_a_small_file_does_not_unpack_to_gigabytes(tmp_path, name, how):
    column, value = CELLS[name]
    rows = 60 if how == "dictionary" else 6
    cells = {"image": pa.array([png(1)] * rows), "text": pa.array(["a"] * rows)}
    content = pa.table({**cells, column: column_of(value, rows, how)})
    path = tmp_path / "a.table"
    if how == "arrow":
        options = ipc.IpcWriteOptions(compression="zstd")
        with ipc.new_file(path, content.schema, options=options) as writer:
            writer.write_table(content)
    else:
        pq.write_table(content, path, compression="zstd", use_dictionary=how == "dictionary")
    del content
    assert path.stat().st_size < 1 << 20
    before = peak()
    found = outcome(path)
    if (name, how) == ("captions", "dictionary"):
        assert found == ([1] * rows, {})
        assert all("the limit is" in entry.lost for entry in open_source(path).entries())
    else:
        assert "unpack to" in str(found)
    assert peak() - before < 512 << 20


def test_rows_without_end_are_refused(tmp_path):
    nothing = pa.nulls(1 << 30)
    many = pa.record_batch({"text": nothing})
    with ipc.new_stream(tmp_path / "a.arrow", many.schema) as writer:
        for _ in range(8):
            writer.write_batch(many)
    assert "rows in" in outcome(tmp_path / "a.arrow")


def test_what_a_table_names_outside_is_not_read_and_not_quoted(tmp_path):
    (tmp_path / "secret.txt").write_text("hunter2!")
    (tmp_path / "private.png").write_bytes(png(5))
    (tmp_path / "in").mkdir()
    names = [
        str(tmp_path / "secret.txt"),
        "../secret.txt",
        "../private.png",
        "/dev/zero",
        "a/../../private.png",
    ]
    struct_type = pa.struct({"bytes": pa.binary(), "path": pa.string()})
    cells = {
        "plain": pa.array(names),
        "struct": pa.array([{"path": n} for n in names], struct_type),
    }
    for column in cells.values():
        pq.write_table(pa.table({"image": column}), tmp_path / "in/a.parquet")
        for place in (tmp_path / "in", tmp_path / "in/a.parquet"):
            good, bad = outcome(place)
            assert good == []
            assert len(bad) == len(names)
            assert all("outside the data set" in said for said in bad.values())
            assert "hunter2" not in str(bad)


def test_what_a_table_names_inside_is_found_by_the_separators_of_windows_too(tmp_path):
    (tmp_path / "pictures").mkdir()
    (tmp_path / "pictures/9.png").write_bytes(png(9))
    names = ["pictures\\9.png", "pictures/9.png", "nowhere/../pictures/9.png"]
    pq.write_table(pa.table({"image": pa.array(names)}), tmp_path / "a.parquet")
    assert outcome(tmp_path / "a.parquet") == ([9, 9, 9], {})


def test_no_message_quotes_the_contents_of_a_file(tmp_path):
    (tmp_path / "a.png").write_bytes(b"hunter2! and more")
    _, bad = outcome(tmp_path)
    assert "17 bytes of no kind that is known" in bad["a.png"]
    assert "hunter2" not in str(bad)


def wide_png(width, height):
    def chunk(kind, body):
        return (
            struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))
        )

    packer = zlib.compressobj(9)
    line = b"\0" * (1 + (width + 7) // 8)
    rows = packer.compress(line * height) + packer.flush()
    head = struct.pack(">IIBBBBB", width, height, 1, 0, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", rows) + chunk(b"IEND", b"")


@pytest.mark.parametrize("sides", [(80_000_000, 1), (1, 80_000_000), (70_000, 2)])
def test_an_image_with_a_side_beyond_the_limit_is_refused(sides):
    with pytest.raises(UnreadableImageError, match=r"more than the limit of .*65536 a side"):
        decode(wide_png(*sides))


def test_json_that_is_no_object_is_no_caption(tmp_path):
    (tmp_path / "0.png").write_bytes(png(1))
    for content in ([], 5, None, "text", {"text": None}):
        Path(tmp_path / "0.json").write_text(json.dumps(content))
        [entry] = open_source(tmp_path).entries()
        assert (entry.prompt, entry.lost) == ("", "")
