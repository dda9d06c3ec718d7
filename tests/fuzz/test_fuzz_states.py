"""Models, runs, indexes and command lines twisted at random are refused, or read as they were.

`FUZZ_COUNT` tries more of each kind, from `FUZZ_SEED` on.
"""

import os
import sys
from collections import Counter
from pathlib import Path

import pytest
from fuzz_trials import Process, run_all

COUNT = int(os.environ.get("FUZZ_COUNT", "0"))  # inputs of each kind
SEED = int(os.environ.get("FUZZ_SEED", "0"))
FEW = {"pixel": 40, "latent": 6, "lora": 6, "run": 6, "command": 40}  # in make test
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
    """What became of inputs, and those that broke a law; each process has a folder of its own."""

    def process(left: range, begun: int) -> Process:
        work = folder / str(begun)
        (work / "tmp").mkdir(parents=True)
        paths = os.pathsep.join((str(WORKER.parents[1]), *sys.path))
        place = {"PYTHONPATH": paths, "TMPDIR": str(work / "tmp"), "OMP_NUM_THREADS": "1"}
        words = [kind, str(left.start), str(len(left)), str(work)]
        return Process(words, EACH * (len(left) + 1), {"env": os.environ | place, "cwd": work})

    return run_all(WORKER, range(first, first + count), process)
