"""Thousands of data sets made to be hard: no traceback, no hang, no memory without end, no loss.

`make fuzz COUNT=100000` tries more of them, from another SEED.
"""

import json
import os
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest
from fuzz_inputs import MAKERS

COUNT = int(os.environ.get("FUZZ_COUNT", "0"))  # inputs of each kind
SEED = int(os.environ.get("FUZZ_SEED", "0"))
FEW = {"images": 300, "metadata": 200}  # in make test, where nothing is asked for
MEMORY = 2000  # MB of the process, libraries included
WORKER = Path(__file__).with_name("fuzz_worker.py")
IDLE = 60  # seconds without a line: it hangs where no signal reaches it


def run(kind: str, first: int, count: int, folder: Path, *more: str) -> tuple[Counter[str], list]:
    """What became of inputs, and those that broke a law; a process that dies is begun again."""
    said: Counter[str] = Counter()
    faults: list[object] = []
    at, end = first, first + count
    while at < end:
        command = [sys.executable, str(WORKER), kind, str(at), str(end - at), str(folder), *more]
        done = subprocess.run(
            command, capture_output=True, text=True, timeout=IDLE + 5 * (end - at), check=False
        )
        lines = [json.loads(line) for line in done.stdout.splitlines()]
        for line in lines:
            if "end" in line:
                said[line["said"].split(":")[0].split("\n")[0]] += 1
                if line["said"].startswith("FAULT") or line["peak"] > MEMORY:
                    faults.append(line)
        started = [line["start"] for line in lines if "start" in line]
        if done.returncode or not started:
            faults.append((started[-1:], done.returncode, done.stderr[-2000:]))
        at = started[-1] + 1 if started else end
    return said, faults


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
