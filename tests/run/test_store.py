"""A run lives in any store of whole contents: a folder, or one without renames and locks."""

import io
from dataclasses import dataclass, field
from pathlib import Path
from typing import get_args

import pandas as pd
import pytest
from recorded import evidence, prepared

from memaudit.errors import RunDirectoryError
from memaudit.run.columns import NUMBERS, TEXTS, TRUTHS
from memaudit.run.directory import RunDirectory
from memaudit.run.parts import Part, Work
from memaudit.run.store import Folder, Store

ASKED = {"seed": 0, "levels": [0.5, 2.0]}


@dataclass
class Memory:
    """Contents in memory, as on object storage: each put whole, none renamed or locked."""

    contents: dict[str, bytes] = field(default_factory=dict)
    place: str = "memory"

    def has(self, name: str) -> bool:
        return name in self.contents

    def get(self, name: str) -> bytes:
        if name not in self.contents:
            raise FileNotFoundError(name)
        return self.contents[name]

    def put(self, name: str, content: bytes) -> None:
        self.contents[name] = content

    def names(self, folder: str) -> list[str]:
        return sorted(name for name in self.contents if name.startswith(f"{folder}/"))

    def remove(self, name: str) -> None:
        self.contents.pop(name, None)


@pytest.fixture(params=["folder", "memory"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Store:
    return Memory() if request.param == "memory" else Folder(tmp_path)


@pytest.fixture
def run(store: Store) -> RunDirectory:
    return RunDirectory(store)


def table() -> pd.DataFrame:
    """Two rows with all columns that any table of a run has."""
    texts, truths = dict.fromkeys(sorted(TEXTS), ""), dict.fromkeys(sorted(TRUTHS), False)
    numbers = dict.fromkeys(sorted(NUMBERS), 0)
    told = {"example_id": ["a", "b"], "margin": [0.25, float("nan")]}
    return pd.DataFrame({**texts, **truths, **numbers, **told}, index=range(2))


def test_a_content_is_there_once_it_is_put_and_until_it_is_removed(store):
    assert not store.has("scores/part-00000.parquet")
    assert store.names("scores") == []
    with pytest.raises(OSError, match="part-00000"):
        store.get("scores/part-00000.parquet")
    for name in ("scores/part-00001.parquet", "scores/part-00000.parquet", "run.json"):
        store.put(name, b"first")
        store.put(name, name.encode())
    assert store.names("scores") == ["scores/part-00000.parquet", "scores/part-00001.parquet"]
    assert store.get("run.json") == b"run.json"
    for _ in range(2):
        store.remove("scores/part-00000.parquet")
    assert store.names("scores") == ["scores/part-00001.parquet"]


def test_what_a_killed_write_leaves_is_no_content(tmp_path):
    store = Folder(tmp_path)
    store.put("scores/part-00000.parquet", b"")
    (tmp_path / "scores/part-00001.parquet.tmp").touch()
    (tmp_path / "scores/deeper").mkdir()
    assert store.names("scores") == ["scores/part-00000.parquet"]
    assert not store.has("scores/part-00001.parquet")


def test_a_question_is_kept_and_held_to(run):
    run.start(ASKED)
    run.start(ASKED)
    with pytest.raises(RunDirectoryError, match="seed was 0, now 1"):
        run.start({**ASKED, "seed": 1})


@pytest.mark.parametrize("work", get_args(Work))
def test_parts_are_kept(run, work):
    parts = run.parts(work)
    parts.write(0, Part(table(), {"c": "gone"}))
    found = run.parts(work).read_all()
    pd.testing.assert_frame_equal(found.table, table())
    assert found.failed == {"c": "gone"}


def test_what_was_prepared_is_kept_with_its_pool(run):
    assert not run.is_prepared
    run.keep_prepared(prepared(), table())
    assert run.is_prepared
    assert run.prepared() == prepared()
    pd.testing.assert_frame_equal(run.pool(), table())


def test_findings_are_kept_for_programs_and_for_people(run):
    run.keep_findings(table(), pd.DataFrame({"source": ["=x.png"]}), "in words")
    pd.testing.assert_frame_equal(run.findings(), table())
    shown = pd.read_csv(io.BytesIO(run.store.get("findings.csv")))
    assert shown.columns.tolist() == table().columns.tolist()
    assert shown[["example_id", "margin"]].equals(table()[["example_id", "margin"]])
    assert run.store.get("errors.csv") == b"source\n'=x.png\n"
    assert run.store.get("summary.txt") == b"in words\n"


def test_a_record_says_that_the_scan_is_complete(run):
    run.start(ASKED)
    with pytest.raises(RunDirectoryError, match=f"^{run.place} holds a scan that is not finished"):
        run.record()
    run.seal(evidence())
    run.finish(evidence())
    run.expect_finished()
    assert run.record() == evidence()


def test_both_stores_hold_the_same(tmp_path):
    folder, memory = Folder(tmp_path), Memory()
    for run in map(RunDirectory, (folder, memory)):
        run.start(ASKED)
        run.keep_prepared(prepared(), table())
        run.parts("scores").write(0, Part(table()))
        run.keep_findings(table(), table(), "in words")
        run.seal(evidence())
        run.finish(evidence())
    files = {path for path in tmp_path.rglob("*") if path.is_file()}
    assert {str(path.relative_to(tmp_path)) for path in files} == set(memory.contents)
    assert all(folder.get(name) == content for name, content in memory.contents.items())
