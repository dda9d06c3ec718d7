import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from crops import png
from pyarrow import feather, ipc

from memaudit.data import decode, open_source
from memaudit.data.columns import BATCH_ROWS, ParquetTable
from memaudit.errors import DataError, UnreadableImageError


def table(n, first=0):
    rows = range(first, first + n)
    return pa.table(
        {
            "image": [{"bytes": png(i), "path": f"{i}.png"} for i in rows],
            "text": [f"rocket {i}" for i in rows],
        }
    )


def write_stream(content, path):
    with ipc.new_stream(path, content.schema) as writer:
        writer.write_table(content, max_chunksize=7)


def write_file(content, path):
    with ipc.new_file(path, content.schema) as writer:
        writer.write_table(content, max_chunksize=7)


WRITERS = {
    "groups.parquet": lambda content, path: pq.write_table(content, path, row_group_size=7),
    "one-group.parquet": pq.write_table,
    "stream.arrow": write_stream,
    "file.arrow": write_file,
    "packed.feather": lambda content, path: feather.write_feather(content, path, chunksize=7),
}


def numbers(source, entries):
    return [int(decode(source.read(entry)).image[0, 0, 0]) for entry in entries]


@pytest.mark.parametrize("name", WRITERS)
def test_rows_are_read_in_any_order(tmp_path, name):
    WRITERS[name](table(50), tmp_path / name)
    source = open_source(tmp_path / name)
    entries = source.entries()
    assert [entry.source for entry in entries] == [f"{name}#{i:02}" for i in range(50)]
    assert [entry.prompt for entry in entries] == [f"rocket {i}" for i in range(50)]
    assert numbers(source, entries) == list(range(50))
    order = np.random.default_rng(0).permutation(50)
    assert numbers(source, [entries[i] for i in order]) == order.tolist()


def test_a_folder_of_files_is_read_as_one(tmp_path):
    pq.write_table(table(3), tmp_path / "part-0.parquet")
    (tmp_path / "more").mkdir()
    write_stream(table(2, first=3), tmp_path / "more/part-1.arrow")
    source = open_source(tmp_path)
    entries = source.entries()
    assert [entry.source for entry in entries] == [
        "more/part-1.arrow#0",
        "more/part-1.arrow#1",
        "part-0.parquet#0",
        "part-0.parquet#1",
        "part-0.parquet#2",
    ]
    assert numbers(source, entries) == [3, 4, 0, 1, 2]


def test_a_large_row_group_is_read_a_few_rows_at_a_time(tmp_path):
    pq.write_table(table(100), tmp_path / "part.parquet")
    first, batches = ParquetTable(tmp_path / "part.parquet").batches("image", 60)
    assert first == 0
    assert {batch.num_rows for batch in batches} == {BATCH_ROWS, 100 % BATCH_ROWS}


def test_empty_row_groups_shift_nothing(tmp_path):
    content = table(4)
    with pq.ParquetWriter(tmp_path / "a.parquet", content.schema) as writer:
        for part in (content[:0], content[:1], content[:0], content[1:]):
            writer.write_table(part)
    source = open_source(tmp_path)
    assert numbers(source, source.entries()) == [0, 1, 2, 3]


@pytest.mark.parametrize("kind", [pa.binary(), pa.large_binary(), pa.binary_view()])
def test_a_column_of_bytes_of_any_name_is_found(tmp_path, kind):
    content = pa.table({"label": [7], "payload": pa.array([png(5)], kind)})
    write_file(content, tmp_path / "a.arrow")
    source = open_source(tmp_path)
    assert numbers(source, source.entries()) == [5]


@pytest.mark.parametrize("kind", [pa.string(), pa.dictionary(pa.int32(), pa.string())])
def test_paths_are_relative_to_the_file(tmp_path, kind):
    (tmp_path / "pictures").mkdir()
    (tmp_path / "pictures/9.png").write_bytes(png(9))
    names = ["pictures/9.png", "pictures/gone.png"]
    content = pa.table({"image": pa.array(names).cast(kind), "text": ["a", None]})
    pq.write_table(content, tmp_path / "index.parquet")
    source = open_source(tmp_path / "index.parquet")
    there, gone = source.entries()
    assert numbers(source, [there]) == [9]
    assert (there.prompt, gone.prompt) == ("a", "")
    with pytest.raises(UnreadableImageError, match="No such file"):
        source.read(gone)


def test_a_struct_without_bytes_is_read_from_its_path(tmp_path):
    (tmp_path / "4.png").write_bytes(png(4))
    kind = pa.struct({"bytes": pa.binary(), "path": pa.string()})
    rows = [{"bytes": None, "path": "4.png"}, {"bytes": None, "path": None}, None]
    pq.write_table(pa.table({"image": pa.array(rows, kind)}), tmp_path / "a.parquet")
    source = open_source(tmp_path / "a.parquet")
    by_path, *empty = source.entries()
    assert numbers(source, [by_path]) == [4]
    for entry in empty:
        with pytest.raises(UnreadableImageError, match="column 'image' is null"):
            source.read(entry)


def test_a_table_without_images_is_refused_with_its_columns(tmp_path):
    pq.write_table(pa.table({"id": [1], "caption": ["x"]}), tmp_path / "a.parquet")
    expected = r"columns are id \(int64\), caption \(string\)\. .*--image-column"
    with pytest.raises(DataError, match=expected):
        open_source(tmp_path)
    with pytest.raises(DataError, match="no image column 'id'"):
        open_source(tmp_path, image_column="id")


@pytest.mark.parametrize("kind", [pa.list_, pa.large_list, lambda kind: pa.list_(kind, 1)])
@pytest.mark.parametrize("cell", [b"png", "a.png", {"bytes": b"png", "path": "a"}])
@pytest.mark.parametrize("column", [None, "images"])
def test_a_column_of_lists_of_images_is_refused_in_words(tmp_path, kind, cell, column):
    cells = pa.array([[cell]])
    cells = pa.array([[cell]], kind(cells.type.value_type))
    pq.write_table(pa.table({"images": cells, "text": ["a"]}), tmp_path / "a.parquet")
    said = r"column images holds lists \(.*list.*\), expected one image a row.* explode"
    with pytest.raises(DataError, match=said):
        open_source(tmp_path, image_column=column)


def test_among_several_columns_of_bytes_one_must_be_named(tmp_path):
    content = pa.table({"before": [png(1)], "after": [png(2)]})
    pq.write_table(content, tmp_path / "a.parquet")
    with pytest.raises(DataError, match="single image column"):
        open_source(tmp_path)
    source = open_source(tmp_path, image_column="after")
    assert numbers(source, source.entries()) == [2]


def test_among_several_columns_of_bytes_the_usual_name_counts(tmp_path):
    content = pa.table({"thumbnail": [png(1)], "Image": [png(2)]})
    pq.write_table(content, tmp_path / "a.parquet")
    source = open_source(tmp_path)
    assert numbers(source, source.entries()) == [2]


def test_the_caption_column_can_be_chosen(tmp_path):
    content = pa.table({"image": [png(1)], "text": ["x"], "lists": [["first", "second"]]})
    pq.write_table(content, tmp_path / "a.parquet")
    assert open_source(tmp_path).entries()[0].prompt == "x"
    assert open_source(tmp_path, caption_column="lists").entries()[0].prompt == "first"
    with pytest.raises(DataError, match="no caption column 'nope'"):
        open_source(tmp_path, caption_column="nope")


def test_a_damaged_file_among_others_is_one_entry_that_cannot_be_read(tmp_path):
    pq.write_table(table(2), tmp_path / "b.parquet")
    whole = (tmp_path / "b.parquet").read_bytes()
    (tmp_path / "a.parquet").write_bytes(whole[: len(whole) // 2])
    (tmp_path / "c.arrow").write_bytes(b"")
    pq.write_table(pa.table({"other": [1]}), tmp_path / "d.parquet")
    source = open_source(tmp_path)
    entries = {entry.source: entry for entry in source.entries()}
    assert list(entries) == ["a.parquet", "b.parquet#0", "b.parquet#1", "c.arrow", "d.parquet"]
    for name in ("a.parquet", "c.arrow", "d.parquet"):
        with pytest.raises(UnreadableImageError, match="the file cannot be read"):
            source.read(entries[name])


def test_a_damaged_page_costs_its_row_group_only(tmp_path):
    path = tmp_path / "a.parquet"
    pq.write_table(table(30), path, row_group_size=10, use_dictionary=False)
    column = pq.ParquetFile(path).metadata.row_group(1).column(0)
    data = bytearray(path.read_bytes())
    data[column.data_page_offset : column.data_page_offset + 100] = b"\xff" * 100
    path.write_bytes(data)
    source = open_source(path)
    entries = source.entries()
    for entry in entries[10:20]:
        with pytest.raises(UnreadableImageError, match="the row cannot be read"):
            source.read(entry)
    assert numbers(source, entries[:10] + entries[20:]) == [*range(10), *range(20, 30)]


def test_damaged_offsets_in_an_arrow_file_do_not_crash(tmp_path):
    offsets = np.array([0, 2**30, 3], dtype=np.int32)
    buffers = [None, pa.py_buffer(offsets), pa.py_buffer(b"abc")]
    column = pa.Array.from_buffers(pa.binary(), 2, buffers)
    write_stream(pa.table({"id": [1, 2], "image": column}), tmp_path / "a.arrow")
    source = open_source(tmp_path)
    for entry in source.entries():
        with pytest.raises(UnreadableImageError, match="the row cannot be read"):
            source.read(entry)


def test_a_caption_that_is_not_utf8_is_lost_and_its_image_is_not(tmp_path):
    buffers = [None, pa.py_buffer(np.array([0, 1, 3], dtype=np.int32)), pa.py_buffer(b"\xffok")]
    caption = pa.Array.from_buffers(pa.string(), 2, buffers)
    pq.write_table(pa.table({"image": [png(1), png(2)], "text": caption}), tmp_path / "a.parquet")
    source = open_source(tmp_path)
    first, second = source.entries()
    assert numbers(source, [first, second]) == [1, 2]
    assert "can't decode byte 0xff" in first.lost
    assert (first.prompt, second.prompt, second.lost) == ("", "ok", "")


@pytest.mark.parametrize("name", ["a.parquet", "a.arrow"])
@pytest.mark.parametrize("content", [b"PAR1 and no more", b"ARROW1\0\0", b"\xff\xff\xff\xff\x10"])
def test_a_single_damaged_file_is_refused(tmp_path, name, content):
    (tmp_path / name).write_bytes(content)
    for path in (tmp_path, tmp_path / name):
        with pytest.raises(DataError, match="can be opened"):
            open_source(path)


def test_a_table_without_rows_is_refused(tmp_path):
    pq.write_table(table(1)[:0], tmp_path / "a.parquet")
    with pytest.raises(DataError, match="holds no image"):
        open_source(tmp_path).entries()


def test_a_split_is_the_files_that_start_with_its_name(tmp_path):
    (tmp_path / "data").mkdir()
    for name, first in {"train": 1, "train2": 2, "test": 3}.items():
        pq.write_table(table(1, first), tmp_path / f"data/{name}-00000-of-00001.parquet")
    source = open_source(tmp_path, split="train")
    assert [entry.source for entry in source.entries()] == ["data/train-00000-of-00001.parquet#0"]
    assert numbers(source, source.entries()) == [1]
    with pytest.raises(DataError, match=r"found: data, test, train, train2\."):
        open_source(tmp_path, split="valid")


def test_a_split_of_a_single_file_is_refused(tmp_path):
    pq.write_table(table(1), tmp_path / "a.parquet")
    with pytest.raises(DataError, match="one file"):
        open_source(tmp_path / "a.parquet", split="train")


def test_the_entry_of_another_source_is_refused(tmp_path):
    pq.write_table(table(1), tmp_path / "a.parquet")
    (tmp_path / "images").mkdir()
    (tmp_path / "images/a.png").write_bytes(png(1))
    [entry] = open_source(tmp_path / "images").entries()
    with pytest.raises(UnreadableImageError, match="of another source"):
        open_source(tmp_path / "a.parquet").read(entry)


def test_column_names_that_are_not_utf8_are_damage(tmp_path):
    write_stream(pa.table({"image": [png(1)], "comment": ["x"]}), tmp_path / "a.arrow")
    data = (tmp_path / "a.arrow").read_bytes()
    (tmp_path / "a.arrow").write_bytes(data.replace(b"comment", b"\xff" * 7))
    with pytest.raises(DataError, match=r"can be opened .*can't decode byte 0xff"):
        open_source(tmp_path)
