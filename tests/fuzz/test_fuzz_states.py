"""Models, runs, indexes and command lines twisted at random are refused, or read as they were.

`FUZZ_COUNT` tries more of each kind, from `FUZZ_SEED` on.
"""

import json
import os
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest

COUNT = int(os.environ.get("FUZZ_COUNT", "0"))  # inputs of each kind
SEED = int(os.environ.get("FUZZ_SEED", "0"))
FEW = {"pixel": 40, "latent": 6, "lora": 6, "run": 6, "command": 40}  # in make test
MEMORY = 2000  # MB of the process, libraries included
WORKER = Path(__file__).with_name("fuzz_states.py")
EACH = 70  # seconds, where no signal reaches an input that hangs

pytestmark = pytest.mark.slow


@pytest.mark.parametrize("kind", FEW)
def test_nothing_that_is_twisted_is_trusted_or_breaks_a_command(kind, tmp_path):
    count = COUNT or FEW[kind]
    said, faults = attempt(kind, SEED, count, tmp_path)
    print(f"{kind}: {dict(said)}")
    assert faults == []
    assert sum(said.values()) == count
    assert len(said) > 1


def attempt(kind: str, first: int, count: int, folder: Path) -> tuple[Counter[str], list[object]]:
    """What became of inputs, and those that broke a law; a process that dies is begun again."""
    said: Counter[str] = Counter()
    faults: list[object] = []
    at, end, round_ = first, first + count, 0
    while at < end:
        work = folder / str(round_)
        (work / "tmp").mkdir(parents=True)
        command = [sys.executable, str(WORKER), kind, str(at), str(end - at), str(work)]
        paths = os.pathsep.join((str(WORKER.parents[1]), *sys.path))
        place = {"PYTHONPATH": paths, "TMPDIR": str(work / "tmp"), "OMP_NUM_THREADS": "1"}
        done = subprocess.run(
            command,
            capture_output=True,
            text=True,
            timeout=EACH * (end - at + 1),
            check=False,
            env=os.environ | place,
            cwd=work,
        )
        lines = [json.loads(line) for line in done.stdout.splitlines() if line.startswith("{")]
        for line in lines:
            if "end" in line:
                said[line["said"].split("\n")[0]] += 1
                if line["said"].startswith("FAULT") or line["peak"] > MEMORY:
                    faults.append(line)
        started = [line["start"] for line in lines if "start" in line]
        if done.returncode or not started:
            faults.append((started[-1:], done.returncode, done.stderr[-2000:]))
        at, round_ = started[-1] + 1 if started else end, round_ + 1
    return said, faults
