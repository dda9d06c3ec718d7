"""Thousands of data sets made to be hard: no traceback, no hang, no memory without end, no loss.

`make fuzz COUNT=100000` tries more of them, from another SEED.
"""

import os
from collections import Counter
from pathlib import Path

import pytest
from fuzz_inputs import MAKERS
from fuzz_trials import Process, run_all

COUNT = int(os.environ.get("FUZZ_COUNT", "0"))  # inputs of each kind
SEED = int(os.environ.get("FUZZ_SEED", "0"))
FEW = {"images": 300, "metadata": 200}  # in make test, where nothing is asked for
WORKER = Path(__file__).with_name("fuzz_worker.py")
IDLE = 60  # seconds without a line: it hangs where no signal reaches it


def run(kind: str, first: int, count: int, folder: Path, *more: str) -> tuple[Counter[str], list]:
    """What became of inputs, their reasons left out, and those that broke a law."""

    def process(left: range, _: int) -> Process:
        words = [kind, str(left.start), str(len(left)), str(folder), *more]
        return Process(words, IDLE + 5 * len(left))

    said, faults = run_all(WORKER, range(first, first + count), process)
    kinds: Counter[str] = Counter()
    for what, times in said.items():
        kinds[what.split(":")[0]] += times
    return kinds, faults


@pytest.mark.parametrize("kind", MAKERS)
def test_no_data_set_breaks_a_reader(kind, tmp_path):
    count = COUNT or FEW.get(kind, 150)
    said, faults = run(kind, SEED, count, tmp_path)
    print(f"{kind}: {dict(said)}")
    assert faults == []
    assert sum(said.values()) == count
    assert said["read"]


def test_no_data_set_breaks_a_command(tmp_path, monkeypatch):
    monkeypatch.setenv("MEMAUDIT_CACHE", str(tmp_path / "cache"))
    (tmp_path / "work").mkdir()
    for kind in MAKERS:
        said, faults = run(kind, SEED, COUNT // 10 or 5, tmp_path / "work", "command")
        assert faults == []
        assert said
