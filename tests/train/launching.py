"""A program: train in several processes, as a launcher starts them, and kill some with SIGKILL.

Takes JSON on standard input: trainings, each with its arguments, its number of processes, and
perhaps a file whose appearance is the moment to kill them all. Prints how each process ended: its
exit code, or minus the signal.
"""

import json
import os
import signal
import socket
import sys
import time
import warnings
from pathlib import Path

import accelerate  # noqa: F401 - imported here, once for all processes
import torch

import memaudit.train.loop  # noqa: F401
from memaudit.cli import main as memaudit_main


def free_port() -> str:
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return str(one.getsockname()[1])


def start(arguments: list[str], rank: int, count: int, port: str) -> int:
    child = os.fork()
    if child:
        return child
    if count > 1:
        os.environ |= {"RANK": str(rank), "LOCAL_RANK": str(rank), "WORLD_SIZE": str(count)}
        os.environ |= {"LOCAL_WORLD_SIZE": str(count), "MASTER_ADDR": "127.0.0.1"}
        os.environ["MASTER_PORT"] = port
    os.dup2(2, 1)  # what the command prints is no part of the answer
    try:
        memaudit_main(arguments)
    except SystemExit as end:
        os._exit(int(end.code or 0))
    finally:
        os._exit(99)


def run(training: dict) -> list[int]:
    count, port = training["processes"], free_port()
    children = [start(training["arguments"], rank, count, port) for rank in range(count)]
    if moment := training.get("kill_at"):
        while not Path(moment).exists():
            time.sleep(0.001)
        for child in children:
            os.kill(child, signal.SIGKILL)
    return [os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) for child in children]


if __name__ == "__main__":
    torch.set_num_threads(1)
    warnings.simplefilter("ignore", DeprecationWarning)  # of fork beside threads, which idle
    json.dump([run(training) for training in json.load(sys.stdin)], sys.stdout)
