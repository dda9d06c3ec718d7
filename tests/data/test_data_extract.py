"""A part of a data set, written as a data set that is read as the whole was."""

import io
import json
import tarfile
import tempfile
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from crops import png
from pyarrow import feather, ipc

from memaudit.data import decode, open_source, rows, whole_of
from memaudit.errors import DataError


def table(n):
    return pa.table(
        {
            "image": [{"bytes": png(i), "path": f"{i}.png"} for i in range(n)],
            "text": [f"rocket {i}" for i in range(n)],
            "who": pa.array([i // 3 for i in range(n)], pa.int16()),
            "kind": pa.array(["a", "b"] * (n // 2)).dictionary_encode(),
        }
    ).replace_schema_metadata({"note": "kept"})


def write_stream(content, path):
    with ipc.new_stream(path, content.schema) as writer:
        writer.write_table(content, max_chunksize=7)


def write_file(content, path):
    with ipc.new_file(path, content.schema) as writer:
        writer.write_table(content, max_chunksize=7)


def read_table(path):
    if path.suffix == ".parquet":
        return pq.read_table(path)
    with path.open("rb") as file:
        is_file = file.read(6) == b"ARROW1"
    return (ipc.open_file if is_file else ipc.open_stream)(path).read_all()


WRITERS = {
    "groups.parquet": lambda content, path: pq.write_table(content, path, row_group_size=7),
    "stream.arrow": write_stream,
    "file.arrow": write_file,
    "packed.feather": lambda content, path: feather.write_feather(content, path, chunksize=7),
}


def extract(source, folder, keep=bool):
    """Extract the entries that `keep` says, or all, and open what was written."""
    folder.mkdir()
    opened = source.extract([one for one in source.entries() if keep(one)], folder)
    return open_source(folder / opened)


def told(source):
    """First pixel and prompt of every image."""
    entries = source.entries()
    return {int(decode(source.read(one)).image[0, 0, 0]): one.prompt for one in entries}


def put(root, **images):
    for name, i in images.items():
        path = root / f"{name.replace('_', '/')}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(png(i))


def pack(path, members):
    with tarfile.open(path, "w", errors="surrogateescape") as archive:
        for name, content in members.items():
            info = tarfile.TarInfo(name)
            info.size = len(content)
            archive.addfile(info, io.BytesIO(content))


@pytest.mark.parametrize("name", WRITERS)
def test_rows_are_copied_whole_with_their_types_and_the_notes_of_the_file(tmp_path, name):
    content, rows = table(50), [0, 1, 2, 8, 20, 21, 48, 49]
    (tmp_path / "in").mkdir()
    WRITERS[name](content, tmp_path / "in" / name)
    source = open_source(tmp_path / "in", cluster_column="who")
    found = extract(source, tmp_path / "out", lambda one: one.key.number in rows)
    assert told(found) == {i: f"rocket {i}" for i in rows}
    copied = read_table(tmp_path / "out" / name)
    assert copied.schema.metadata[b"note"] == b"kept"
    assert copied.schema.types == content.schema.types
    assert copied.to_pylist() == content.take(rows).to_pylist()


def test_a_column_of_any_kind_of_bytes_is_copied(tmp_path):
    for k, kind in enumerate([pa.binary(), pa.large_binary(), pa.binary_view()]):
        content = pa.table({"payload": pa.array([png(1), png(2), png(3)], kind)})
        write_file(content, tmp_path / f"{k}.arrow")
        source = open_source(tmp_path / f"{k}.arrow")
        found = extract(source, tmp_path / f"out-{k}", lambda one: one.key.number != 1)
        assert list(told(found)) == [1, 3]


def test_tables_of_several_folders_keep_their_places_and_those_without_a_row_are_left(tmp_path):
    (tmp_path / "in/deep").mkdir(parents=True)
    for name in ("a", "b", "deep/c"):
        pq.write_table(table(4), tmp_path / f"in/{name}.parquet")
    source = open_source(tmp_path / "in")
    found = extract(source, tmp_path / "out", lambda one: one.key.file != "b.parquet")
    files = {entry.key.file for entry in found.entries()}
    assert files == {"a.parquet", "deep/c.parquet"}


def test_a_damaged_row_group_without_a_chosen_row_is_passed_over(tmp_path):
    path = tmp_path / "a.parquet"
    pq.write_table(table(30), path, row_group_size=10, use_dictionary=False)
    column = pq.ParquetFile(path).metadata.row_group(1).column(0)
    data = bytearray(path.read_bytes())
    data[column.data_page_offset : column.data_page_offset + 100] = b"\xff" * 100
    path.write_bytes(data)
    found = extract(open_source(path), tmp_path / "out", lambda one: one.key.number in (3, 25))
    assert list(told(found)) == [3, 25]
    with pytest.raises(DataError, match="cannot be copied"):
        extract(open_source(path), tmp_path / "again", lambda one: one.key.number == 15)


@pytest.mark.parametrize("structs", [True, False])
def test_images_that_rows_name_go_with_them(tmp_path, structs):
    put(tmp_path / "in", pictures_1=1, pictures_2=2, pictures_3=3)
    names = [f"pictures/{i}.png" for i in (1, 2, 3)]
    cells = [{"bytes": None, "path": name} for name in names] if structs else names
    if structs:
        cells[0] = {"bytes": png(1), "path": "not/there.png"}
    content = pa.table({"image": cells, "text": ["x", "y", "z"]})
    pq.write_table(content, tmp_path / "in/index.parquet")
    source = open_source(tmp_path / "in/index.parquet")
    found = extract(source, tmp_path / "out", lambda one: one.prompt != "y")
    assert told(found) == {1: "x", 3: "z"}
    assert not (tmp_path / "out/pictures/2.png").exists()


@pytest.mark.parametrize("folder", ["..", "{}"])
def test_rows_that_name_images_outside_are_refused(tmp_path, folder):
    put(tmp_path, outside=1)
    (tmp_path / "in").mkdir()
    name = f"{folder.format(tmp_path)}/outside.png"
    pq.write_table(pa.table({"image": [name]}), tmp_path / "in/a.parquet")
    source = open_source(tmp_path / "in/a.parquet")
    with pytest.raises(DataError, match=r"outside of it .*outside\.png"):
        extract(source, tmp_path / "refused")


METADATA = [
    {"file_name": "a.png", "text": "a, cup", "who": "p1"},
    {"file_name": "./sub/b.png", "text": "two\nlines", "who": "p2"},
    {"file_name": "gone.png", "text": "lost", "who": "p3"},
]


def write_metadata(path, rows):
    if path.suffix == ".jsonl":
        path.write_text("\n".join(map(json.dumps, rows)))
    elif path.suffix == ".parquet":
        pq.write_table(pa.Table.from_pylist(rows), path)
    else:
        cells = [",".join(f'"{value}"' for value in row.values()) for row in rows]
        path.write_text("\ufeff" + "\n".join([",".join(rows[0]), *cells]))


@pytest.mark.parametrize("name", ["metadata.csv", "metadata.jsonl", "metadata.parquet"])
def test_files_keep_their_names_and_their_rows_of_metadata(tmp_path, name):
    put(tmp_path / "in", a=1, sub_b=2, c=3)
    write_metadata(tmp_path / "in" / name, METADATA)
    source = open_source(tmp_path / "in", cluster_column=None)
    for number, chosen in enumerate(["a.png sub/b.png", "sub/b.png c.png", "c.png"]):
        folder = tmp_path / f"out-{number}"
        found = extract(source, folder, lambda one, chosen=chosen: one.source in chosen.split())
        expected = [row["text"] for row in METADATA if row["file_name"].strip("./") in chosen]
        assert [one.source for one in found.entries()] == sorted(chosen.split())
        assert sorted(filter(None, told(found).values())) == sorted(expected)
        if expected:
            clusters = open_source(folder, cluster_column="who").entries()
            assert "p3" not in {one.cluster for one in clusters}


def test_files_are_hard_links_where_the_disk_allows_and_links_are_followed(tmp_path):
    put(tmp_path / "elsewhere", x=1)
    put(tmp_path / "in", a=2)
    (tmp_path / "in/link.png").symlink_to(tmp_path / "elsewhere/x.png")
    extract(open_source(tmp_path / "in"), tmp_path / "out")
    for name, original in {"a.png": "in/a.png", "link.png": "elsewhere/x.png"}.items():
        written = tmp_path / "out" / name
        assert not written.is_symlink()
        assert written.samefile(tmp_path / original)


def test_files_are_copied_where_the_disk_is_another(tmp_path):
    put(tmp_path / "in", a=1)
    with tempfile.TemporaryDirectory(dir="/dev/shm") as other:
        if Path(other).stat().st_dev == tmp_path.stat().st_dev:
            pytest.skip("needs two disks")
        extract(open_source(tmp_path / "in"), Path(other) / "out")
        copied = Path(other) / "out/a.png"
        assert copied.stat().st_nlink == 1
        assert copied.read_bytes() == png(1)


def test_many_rows_are_written_in_chunks_of_bounded_size(tmp_path, monkeypatch):
    monkeypatch.setattr(rows, "CHUNK", 4096)
    pq.write_table(table(90), tmp_path / "a.parquet")
    extract(open_source(tmp_path / "a.parquet"), tmp_path / "out")
    copied = pq.ParquetFile(tmp_path / "out/a.parquet")
    assert copied.metadata.num_row_groups > 2
    assert copied.read().to_pylist() == table(90).to_pylist()


def test_files_beside_an_image_go_with_it(tmp_path):
    put(tmp_path / "in", a=1, b=2)
    for name in ("a.txt", "b.txt", "a.png.json", "LICENSE"):
        (tmp_path / "in" / name).write_text(name)
    extract(open_source(tmp_path / "in"), tmp_path / "out", lambda one: one.source == "a.png")
    names = sorted(path.name for path in (tmp_path / "out").iterdir())
    assert names == ["a.png", "a.png.json", "a.txt"]


def test_a_name_that_is_not_utf8_stays_as_it_is(tmp_path):
    put(tmp_path / "in", a=1)
    (tmp_path / "in/a.png").rename(tmp_path / "in/\udcff.png")
    pack(tmp_path / "s.tar", {"\udcff.png": png(2)})
    for k, path in enumerate((tmp_path / "in", tmp_path / "s.tar")):
        source = open_source(path)
        found = extract(source, tmp_path / f"out-{k}")
        assert [one.source for one in found.entries()] == [one.source for one in source.entries()]
        assert list(told(found)) == [k + 1]


SAMPLES = {
    "p1/1.png": png(1),
    "p1/1.txt": b"one",
    "p2/2.png": png(2),
    "p1/1.json": b'{"who": 3}',
    "p2/2.json": b'{"text": "two"}',
    "p2/2.cls": b"7",
    "p3/3.png": png(3),
}


def test_samples_are_copied_whole_with_all_their_members(tmp_path):
    (tmp_path / "in/deep").mkdir(parents=True)
    pack(tmp_path / "in/deep/s.tar", SAMPLES)
    pack(tmp_path / "in/t.tar", {"4.png": png(4)})
    source = open_source(tmp_path / "in")
    found = extract(source, tmp_path / "out", lambda one: "3.png" in one.source or one.prompt)
    assert told(found) == {1: "one", 2: "two", 3: ""}
    assert not (tmp_path / "out/t.tar").exists()
    with tarfile.open(tmp_path / "out/deep/s.tar") as archive:
        contents = {one.name: archive.extractfile(one).read() for one in archive}
    assert contents == SAMPLES


def test_images_of_one_sample_cannot_be_parted_but_one_of_them_can_be_left_out(tmp_path):
    pack(tmp_path / "s.tar", {"1.png": png(1), "1.jpg": b"broken", "1.txt": b"x", "2.png": png(2)})
    source = open_source(tmp_path / "s.tar")
    jpg, one, two = source.entries()
    assert whole_of(jpg) == whole_of(one) != whole_of(two)
    found = extract(source, tmp_path / "out", lambda entry: entry.source == "s.tar#1.png")
    assert [entry.source for entry in found.entries()] == ["s.tar#1.png"]
    assert told(found) == {1: "x"}
