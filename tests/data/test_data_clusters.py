"""Which cluster an image belongs to, as each kind of data set tells it."""

import io
import json
import tarfile

import PIL.Image
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from skimage import data as photos

from memaudit.data import check_clusters, open_source
from memaudit.errors import DataError

COFFEE = PIL.Image.fromarray(photos.coffee()[:16, :24])


def png():
    buffer = io.BytesIO()
    COFFEE.save(buffer, "PNG")
    return buffer.getvalue()


def put(root, *names):
    for name in names:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_bytes(png())


def pack(path, members):
    with tarfile.open(path, "w") as archive:
        for name, data in members.items():
            info = tarfile.TarInfo(name)
            info.size = len(data)
            archive.addfile(info, io.BytesIO(data))


def clusters(source):
    return {entry.source: entry.cluster for entry in source.entries()}


def test_without_the_option_there_are_no_clusters(tmp_path):
    put(tmp_path, "a/1.png")
    assert clusters(open_source(tmp_path)) == {"a/1.png": ""}


def test_the_folder_of_an_image_can_be_its_cluster(tmp_path):
    put(tmp_path, "a/1.png", "a/2.png", "a/deep/3.png", "b/1.png")
    assert clusters(open_source(tmp_path, cluster_column="folder")) == {
        "a/1.png": "a",
        "a/2.png": "a",
        "a/deep/3.png": "a/deep",
        "b/1.png": "b",
    }


def test_the_folder_inside_an_archive_can_be_the_cluster(tmp_path):
    pack(tmp_path / "s-0.tar", {"p1/a.png": png(), "p2/b.png": png()})
    pack(tmp_path / "s-1.tar", {"p1/c.png": png()})
    assert clusters(open_source(tmp_path, cluster_column="folder")) == {
        "s-0.tar#p1/a.png": "p1",
        "s-0.tar#p2/b.png": "p2",
        "s-1.tar#p1/c.png": "p1",
    }


def test_metadata_tell_clusters_as_stripped_text(tmp_path):
    put(tmp_path, "a.png", "sub/b.png")
    (tmp_path / "metadata.csv").write_text("file_name,patient\na.png, p1 \nsub/b.png,x\n")
    (tmp_path / "sub/metadata.jsonl").write_text('{"file_name": "b.png", "patient": 7.0}\n')
    found = clusters(open_source(tmp_path, cluster_column="patient"))
    assert found == {"a.png": "p1", "sub/b.png": "7"}


def test_a_column_of_a_table_tells_clusters_and_a_number_is_the_same_whole_or_not(tmp_path):
    for name, values in {
        "a": pa.array([1, 2]),
        "b": pa.array([1.0, None]),
        "c": ["1", " 2"],
    }.items():
        pq.write_table(
            pa.table({"image": [png()] * 2, "who": values}), tmp_path / f"{name}.parquet"
        )
    found = clusters(open_source(tmp_path, cluster_column="who"))
    assert list(found.values()) == ["1", "2", "1", "", "1", "2"]


def test_a_column_of_a_table_may_be_called_folder(tmp_path):
    pq.write_table(pa.table({"image": [png()], "folder": ["x"]}), tmp_path / "a.parquet")
    assert clusters(open_source(tmp_path, cluster_column="folder")) == {"a.parquet#0": "x"}


@pytest.mark.parametrize("caption", ["text", None])
def test_a_field_of_json_tells_clusters_with_and_without_a_caption_beside_it(tmp_path, caption):
    members = {"1.png": png(), "1.json": json.dumps({"who": 3}).encode()}
    if caption:
        members["1.txt"] = b"a cup"
    pack(tmp_path / "s.tar", members)
    [entry] = open_source(tmp_path, cluster_column="who").entries()
    assert (entry.cluster, entry.prompt) == ("3", "a cup" if caption else "")


def test_a_column_that_is_not_there_is_refused_with_those_that_are(tmp_path):
    pq.write_table(pa.table({"image": [png()], "id": [1]}), tmp_path / "a.parquet")
    with pytest.raises(
        DataError, match=r"no cluster column 'who'; its columns are image, id\..*--cl"
    ):
        open_source(tmp_path, cluster_column="who")
    with pytest.raises(DataError, match="no cluster column 'folder'"):
        open_source(tmp_path, cluster_column="folder")


def test_a_column_that_no_metadata_and_no_json_have_is_refused(tmp_path):
    put(tmp_path / "images", "a.png")
    with pytest.raises(DataError, match="--cluster-column who needs a metadata"):
        open_source(tmp_path / "images", cluster_column="who").entries()
    (tmp_path / "images/metadata.csv").write_text("file_name,text\na.png,x\n")
    with pytest.raises(DataError, match="no cluster column 'who'; its columns are file_name, text"):
        open_source(tmp_path / "images", cluster_column="who").entries()
    (tmp_path / "tar").mkdir()
    pack(tmp_path / "tar/s.tar", {"1.png": png(), "1.json": b'{"text": "x"}'})
    with pytest.raises(DataError, match=r"has a cluster 'who' in its \.json"):
        open_source(tmp_path / "tar", cluster_column="who").entries()


def test_a_column_of_images_or_lists_is_no_column_of_clusters(tmp_path):
    pq.write_table(pa.table({"image": [png()], "list": [["a"]]}), tmp_path / "a.parquet")
    for column, kind in {"image": "bytes", "list": "list"}.items():
        with pytest.raises(DataError, match=f"--cluster-column is {kind}, expected text"):
            open_source(tmp_path, cluster_column=column).entries()


def test_an_image_without_a_value_is_refused_and_what_cannot_be_read_is_not(tmp_path):
    put(tmp_path, "a.png", "b.png", "c.png")
    (tmp_path / "gone.png").symlink_to(tmp_path / "nowhere")
    (tmp_path / "metadata.csv").write_text("file_name,who\na.png,p1\nb.png, \n")
    entries = open_source(tmp_path, cluster_column="who").entries()
    with pytest.raises(DataError, match=r"2 images of .* no value of 'who' \(the first: b.png\)"):
        check_clusters(entries, "who", tmp_path)
    (tmp_path / "metadata.csv").write_text("file_name,who\na.png,p1\nb.png,p2\nc.png,p3\n")
    check_clusters(open_source(tmp_path, cluster_column="who").entries(), "who", tmp_path)


def test_images_at_the_top_have_no_folder_and_are_refused(tmp_path):
    put(tmp_path, "a.png", "p/b.png")
    entries = open_source(tmp_path, cluster_column="folder").entries()
    with pytest.raises(DataError, match=r"1 images of .* lie in no folder .* a\.png"):
        check_clusters(entries, "folder", tmp_path)
