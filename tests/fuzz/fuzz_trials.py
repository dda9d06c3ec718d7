"""Inputs tried in a process of its own, one after the other, and what becomes of them."""

import json
import re
import signal
import subprocess
import sys
import traceback
from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

MEMORY = 2000  # MB of the process, libraries included
LINES = 8  # of a traceback


class FaultError(Exception):
    """What no input may lead to."""


def try_all(
    numbers: Iterable[int], limit: int, attempt: Callable[[int], str], opened: list[str]
) -> None:
    """Try numbered inputs, each within some seconds, and print what became of it.

    A line of JSON comes before and after each, so that a crash or a hang can be told apart.
    `opened` are paths that no input may lead to.
    """
    signal.signal(signal.SIGALRM, lambda *_: _hang(limit))
    for number in numbers:
        print(json.dumps({"start": number}), flush=True)
        signal.alarm(limit)
        opened.clear()
        try:
            said = attempt(number)
            if opened:
                raise FaultError(f"opened {opened}")
        except BaseException:
            last = traceback.format_exc().splitlines(keepends=True)[-LINES:]
            said = "FAULT " + "".join(last)
        signal.alarm(0)
        print(json.dumps({"end": number, "said": said, "peak": peak_memory()}), flush=True)


@dataclass(frozen=True)
class Process:
    """The arguments of a worker, and how and for how many seconds it is run."""

    words: list[str]
    limit: float
    settings: dict[str, Any] = field(default_factory=dict)


def run_all(
    worker: Path, numbers: range, process: Callable[[range, int], Process]
) -> tuple[Counter[str], list[object]]:
    """What became of inputs, and those that broke a law; a process that dies is begun again.

    `process` is asked with the numbers that are left and how often the worker was begun.
    """
    said: Counter[str] = Counter()
    faults: list[object] = []
    begun = 0
    while numbers:
        asked = process(numbers, begun)
        done = subprocess.run(
            [sys.executable, str(worker), *asked.words],
            capture_output=True,
            text=True,
            timeout=asked.limit,
            check=False,
            **asked.settings,
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
        numbers = range(started[-1] + 1 if started else numbers.stop, numbers.stop)
        begun += 1
    return said, faults


def peak_memory() -> int:
    """Largest resident memory of this process in MiB; `ru_maxrss` counts its parent's too."""
    [kilobytes] = re.findall(r"VmHWM:\s+(\d+)", Path("/proc/self/status").read_text())
    return int(kilobytes) >> 10


def _hang(limit: int) -> None:
    raise FaultError(f"no end after {limit} seconds")
