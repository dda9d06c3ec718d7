"""What the footer of a Parquet file says is read strictly: no other reader takes it otherwise."""

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from crops import png

from memaudit.data import open_source
from memaudit.data.bounds import Chunk, row_groups
from memaudit.data.thrift import I32, LIST, STRUCT, Reader
from memaudit.errors import UnreadableImageError


def read(path):
    """The first image, or why it cannot be read."""
    source = open_source(path)
    try:
        return source.read(source.entries()[0])
    except UnreadableImageError as error:
        return str(error)


def changed(path, before, after):
    content = path.read_bytes()
    assert content.count(before) == 1
    path.write_bytes(content.replace(before, after))


@pytest.mark.parametrize("rows", [3, 40_000])
def test_the_columns_of_row_groups_are_where_pyarrow_finds_them(tmp_path, rows):
    table = pa.table({"image": [png(1)] * rows, "text": [str(k) for k in range(rows)]})
    pq.write_table(table, tmp_path / "a.parquet", row_group_size=rows // 2)
    meta = pq.read_metadata(tmp_path / "a.parquet")
    expected = [
        [
            Chunk(column.dictionary_page_offset or column.data_page_offset,
                  column.total_compressed_size)
            for column in (meta.row_group(group).column(number) for number in range(2))
        ]
        for group in range(meta.num_row_groups)
    ]  # fmt: skip
    assert row_groups(tmp_path / "a.parquet") == expected


def test_statistics_that_do_not_fit_their_column_cost_a_row_and_not_the_process(tmp_path):
    path = tmp_path / "a.parquet"
    pq.write_table(pa.table({"image": [png(1)], "text": ["one"]}), path)
    changed(path, b"\x25\x02\x18\x05image", b"\x25\x00\x18\x05image")  # nullable -> not
    assert "histogram size mismatch" in read(path)


def test_a_column_is_measured_whatever_name_it_gives_itself(tmp_path):
    path = tmp_path / "a.parquet"
    table = pa.table({"image": [b"\0" * (70 << 20)]})
    pq.write_table(table, path, compression="zstd", use_dictionary=False, write_statistics=False)
    assert "unpack to" in read(path)
    changed(path, b"\x19\x18\x05image", b"\x19\x18\x05other")
    assert "unpack to" in read(path)


def test_a_struct_is_read_as_it_was_written():
    data = b"\x15\x02\x00"  # field 1, a number of 32 bits: 1
    assert Reader(data).struct() == {(1, I32): 1}
    inside = b"\x1c" + data + b"\x19\x25\x02\x04\x00"
    assert Reader(inside).struct() == {(1, STRUCT): {(1, I32): 1}, (2, LIST): (I32, [1, 2])}


@pytest.mark.parametrize(
    "data",
    [
        b"\x15\x02\x05\x02\x02\x00",  # field 1 twice
        b"\x1b\x00\x00",  # a map
        b"\x15" + b"\xff" * 10 + b"\x01\x00",  # a number of more than 64 bits
        b"\x18\xff\xff\xff\xff\x0fx\x00",  # a text of 4 GB
        b"\x19\xfc\xff\xff\xff\xff\x0f\x00",  # a list of 4 billion structs
        b"\x1c" * 100,
        b"\x15",
        b"",
    ],
)
def test_a_struct_that_is_none_is_refused(data):
    with pytest.raises((ValueError, IndexError)):
        Reader(data).struct()
