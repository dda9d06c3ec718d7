import json
import os
import shutil
import threading
from dataclasses import replace
from pathlib import Path

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from runs import ask, assert_same_findings, written_at

from memaudit.audit import scan
from memaudit.audit.embedding import View, embed_listing, embedding_key
from memaudit.audit.listing import list_data
from memaudit.audit.lookup import search_index
from memaudit.config import DataConfig
from memaudit.errors import IndexMismatchError
from memaudit.progress import silent
from memaudit.similarity.embed import load_embedder


@pytest.fixture
def index(tmp_path):
    return tmp_path / "index"


@pytest.fixture
def config(sides, index, tmp_path):
    fields = {"controls": sides.controls, "index": index, "power": False}
    return ask(sides.members, tmp_path / "run", **fields)


def both(sides):
    return DataConfig(dataset=str(sides.members), controls=str(sides.controls))


def stages_of(config):
    """Scan, and tell which stages reported progress."""
    seen = set()
    return scan(config, lambda *progress: seen.add(progress[0])), seen


def test_another_model_finds_the_data_embedded(config, unet, tmp_path, index):
    config = replace(config, power=True)
    first, stages = stages_of(config)
    assert not first.prepared.data.index_reused
    assert stages == {"embed", "scan", "power"}
    written = written_at(index)
    second, stages = stages_of(
        replace(config, model=str(unet), self_check=False, out=str(tmp_path / "unet"))
    )
    assert second.prepared.data.index_reused
    assert stages == {"scan", "power"}
    assert written_at(index) == written


def test_the_cache_finds_the_index_by_its_content(config, tmp_path):
    results = [scan(replace(config, index=None, out=str(tmp_path / name))) for name in "ab"]
    folders = {result.prepared.data.index for result in results}
    assert len(folders) == 1
    assert Path(folders.pop()).is_relative_to(os.environ["MEMAUDIT_CACHE"])
    assert [result.prepared.data.index_reused for result in results] == [False, True]


@pytest.fixture
def key(sides):
    """The key of the index that the sides would have now."""

    def key_of(embedder=None, **view):
        listing = list_data(both(sides), 0)
        view = View(**{"resolution": (16, 16), "resize": "center-crop", **view})
        return embedding_key(listing, embedder or load_embedder("pixels"), view)

    return key_of


def test_a_file_with_another_time_or_size_needs_another_index(key, sides):
    keys = [key()]
    path = sides.controls / "003.png"
    os.utime(path, ns=(0, path.stat().st_mtime_ns + 1))
    keys.append(key())
    time = path.stat().st_mtime_ns
    path.write_bytes(path.read_bytes() + b"\0")
    os.utime(path, ns=(0, time))
    keys.append(key())
    path.rename(sides.controls / "renamed.png")
    keys.append(key())
    (sides.controls / "renamed.png").unlink()
    keys.append(key())
    assert len(set(keys)) == len(keys)
    assert key() == keys[-1]


def test_another_embedder_size_or_resize_needs_another_index(key):
    pixels = load_embedder("pixels")
    keys = {
        key(),
        key(replace(pixels, digest="of other weights")),
        key(resolution=(16, 8)),
        key(resolution=None),
        key(resize="stretch"),
    }
    assert len(keys) == 5
    assert key(replace(pixels, name="another name")) == key()


def test_a_changed_file_is_embedded_again_under_the_cache(config, sides, tmp_path):
    first = scan(replace(config, index=None))
    os.utime(sides.members / "003.png", ns=(0, 0))
    second = scan(replace(config, index=None, out=str(tmp_path / "again")))
    assert not second.prepared.data.index_reused
    assert second.prepared.data.index != first.prepared.data.index


@pytest.mark.parametrize(
    ("field", "value", "named"),
    [
        ("resolution", "8x8", "resolution is '8x8', expected '16x16'"),
        ("digest", "0", "digest is '0'"),
        ("fingerprint", "0", "fingerprint is '0'"),
        ("resize", "pad", "resize is 'pad', expected 'center-crop'"),
        ("version", 1, "version is 1, expected 5"),
    ],
)
def test_a_sidecar_that_says_otherwise_is_refused(config, index, field, value, named):
    scan(config)
    sidecar = json.loads((index / "index.json").read_text())
    sidecar["meta"][field] = value
    (index / "index.json").write_text(json.dumps(sidecar))
    with pytest.raises(IndexMismatchError, match=named):
        scan(config)


def swap_ids(index):
    sidecar = json.loads((index / "index.json").read_text())
    sidecar["ids"][:2] = sidecar["ids"][1::-1]
    (index / "index.json").write_text(json.dumps(sidecar))


def remove_part(index):
    (index / "parts" / "part-00000.parquet").unlink()


def cut_part(index):
    path = index / "parts" / "part-00000.parquet"
    path.write_bytes(path.read_bytes()[:-100])


def change_part(index):
    path = index / "parts" / "part-00000.parquet"
    rows = pq.read_table(path).to_pylist()
    for row in rows:
        row["sharpness"] = 0.0
    pq.write_table(pa.Table.from_pylist(rows), path)


def remove_vectors(index):
    (index / "index.faiss").unlink()


def cut_vectors(index):
    path = index / "index.faiss"
    path.write_bytes(path.read_bytes()[:-100])


def break_sidecar(index):
    (index / "index.json").write_text("[" * 100_000)


def remove_manifest(index):
    (index / "parts" / "manifest.json").unlink()


def unfinish_and_change_part(index):
    (index / "index.json").unlink()
    change_part(index)


DAMAGES = {
    swap_ids: "its parts are not of the images it lists",
    remove_part: "",
    cut_part: "part-00000.parquet cannot be read (it is damaged",
    change_part: "part-00000.parquet cannot be read (it is damaged",
    remove_vectors: "index.faiss is missing",
    cut_vectors: "index.faiss is missing or is not the file",
    break_sidecar: "index.json cannot be read",
    remove_manifest: "has no parts/manifest.json",
    unfinish_and_change_part: "part-00000.parquet cannot be read (it is damaged",
}


@pytest.mark.parametrize("damage", DAMAGES)
def test_a_damaged_index_is_named_and_made_anew(config, index, damage, tmp_path, caplog):
    expected = scan(config).findings
    whole = read_bytes(index)
    damage(index)
    found = scan(replace(config, out=str(tmp_path / "again")))
    assert not found.prepared.data.index_reused
    assert DAMAGES[damage] in caplog.text
    assert ("anew" in caplog.text) == bool(DAMAGES[damage])
    pd.testing.assert_frame_equal(found.findings, expected)
    assert read_bytes(index) == whole


def read_bytes(folder):
    files = (path for path in folder.rglob("*") if path.is_file())
    return {str(path.relative_to(folder)): path.read_bytes() for path in files}


@pytest.mark.parametrize("damage", DAMAGES)
def test_a_damaged_index_is_refused_by_a_search(config, index, damage, sides):
    scan(config)
    damage(index)
    with pytest.raises(IndexMismatchError, match=r"index in .* Build it again"):
        search_index(str(index), str(sides.members / "003.png"), 1)


def test_a_part_that_no_scan_wrote_is_no_part_of_an_index(config, index, sides, tmp_path, caplog):
    expected = scan(config).findings
    stray = index / "parts" / "part-00099.parquet"
    shutil.copy(index / "parts" / "part-00000.parquet", stray)
    assert len(search_index(str(index), str(sides.members / "003.png"), 99)) == 55
    found = scan(replace(config, out=str(tmp_path / "again")))
    assert found.prepared.data.index_reused
    assert "part-00099.parquet cannot be read (it is not listed" in caplog.text
    assert not stray.exists()
    pd.testing.assert_frame_equal(found.findings, expected)


def test_a_file_of_somebody_else_called_index_json_is_left_alone(config, index):
    index.mkdir()
    (index / "index.json").write_text("{}")
    with pytest.raises(IndexMismatchError, match=r"index\.json cannot be read"):
        scan(config)
    assert (index / "index.json").read_text() == "{}"


def test_the_index_of_another_data_set_is_refused(config, sides, tmp_path):
    scan(config)
    other = replace(config, dataset=str(sides.others), out=str(tmp_path / "other"))
    with pytest.raises(IndexMismatchError, match="fingerprint"):
        scan(other)


def test_the_unfinished_index_of_another_data_set_is_refused(config, sides, index, tmp_path):
    scan(config)
    (index / "index.json").unlink()
    other = replace(config, dataset=str(sides.others), out=str(tmp_path / "other"))
    with pytest.raises(IndexMismatchError, match="unfinished index of other data"):
        scan(other)


def test_one_directory_can_hold_the_run_and_its_index(config):
    both = replace(config, index=config.execution.out)
    first = scan(both)
    written = {work: written_at(Path(both.execution.out) / work) for work in ("parts", "scores")}
    again = scan(both)
    assert again.prepared.data.index_reused
    assert_same_findings(again.findings, first.findings)
    for work, times in written.items():
        assert written_at(Path(both.execution.out) / work) == times


def test_of_two_that_want_the_same_index_one_builds_it_and_the_other_waits(sides, index):
    listing = list_data(both(sides), 0)
    view, embedder = View((16, 16), "center-crop"), load_embedder("pixels")
    found = []

    def embed():
        found.append(embed_listing(listing, embedder, view, index, silent))

    threads = [threading.Thread(target=embed) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(embedded.reused for embedded in found) == [False, True, True]
    assert len({tuple(embedded.index.ids) for embedded in found}) == 1
