"""A program: scan in processes of its own, and kill each with SIGKILL at a given moment.

Takes JSON on standard input: the folders, and the moments, each a pattern of files and how many of
them there are then. Prints, for each moment, how the process ended and when each file was written.
"""

import json
import os
import random
import signal
import sys
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

import torch
from runs import ask, written_at

import memaudit


def kill_at(scan: Callable[[], object], folder: Path, moment: tuple[str, int], delay: float) -> int:
    """Scan in a child process, kill it when the files are there, and return its wait status."""
    pattern, count = moment
    child = os.fork()
    if child == 0:
        scan()
        os._exit(0)
    while len(list(folder.glob(pattern))) < count:
        pid, status = os.waitpid(child, os.WNOHANG)
        if pid:
            return status
        time.sleep(0.001)
    time.sleep(delay)
    os.kill(child, signal.SIGKILL)
    return os.waitpid(child, 0)[1]


def main() -> None:
    """Kill one scan after another."""
    torch.set_num_threads(1)
    asked = json.load(sys.stdin)
    folder = Path(asked["folder"])
    config = ask(Path(asked["members"]), folder / "run", **asked["changes"])
    delays = random.Random(0)
    scan = partial(memaudit.scan, config)  # imported here, once for all processes
    ends = []
    for moment in asked["moments"]:
        status = kill_at(scan, folder, moment, delays.uniform(0, 0.01))
        ends.append({"killed": os.WIFSIGNALED(status), "files": written_at(folder)})
    json.dump(ends, sys.stdout)


if __name__ == "__main__":
    main()
