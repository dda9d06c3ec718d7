"""Ctrl-C keeps what is finished, and the same command continues it."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pandas as pd

PATIENCE = 300  # seconds; a busy machine takes long to import torch
OPTIONS = ("--embedder", "pixels", "--levels", 2, "--draws", 40, "--shard-size", 1)


def wait_for(path: Path, process: subprocess.Popen[str]) -> None:
    end = time.monotonic() + PATIENCE
    while not path.exists():
        assert process.poll() is None, process.communicate()
        assert time.monotonic() < end
        time.sleep(0.002)


def test_an_interrupted_scan_continues_to_the_same_findings(memaudit_command, members, tmp_path):
    words = ("scan", f"closed-form:{members}", members, *OPTIONS, "--out")
    run = tmp_path / "run"
    command = [sys.executable, "-m", "memaudit", *map(str, words), str(run)]
    # Started in the background by a shell, pytest ignores SIGINT, and so would its child.
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True, env=os.environ)
    signal.signal(signal.SIGINT, before)
    with process:
        first = run / "scores" / "part-00000.parquet"
        wait_for(first, process)
        process.send_signal(signal.SIGINT)
        said = process.communicate(timeout=PATIENCE)[1].strip()
    assert process.returncode == 130
    assert said.splitlines()[-1] == (
        "memaudit: interrupted; what was finished is kept, the same command continues it"
    )
    assert not (run / "scan.json").exists()
    made = first.stat().st_mtime_ns
    assert memaudit_command(*words, run).code == 4
    assert first.stat().st_mtime_ns == made
    assert memaudit_command(*words, tmp_path / "other").code == 4
    whole = pd.read_parquet(tmp_path / "other" / "findings.parquet")
    pd.testing.assert_frame_equal(pd.read_parquet(run / "findings.parquet"), whole)


def test_an_interruption_before_the_commands_are_there_shows_no_traceback():
    program = (
        "import sys\n"
        "class Interrupts:\n"
        "    def find_spec(self, name, *_):\n"
        "        if name == 'memaudit.cli.app': raise KeyboardInterrupt\n"
        "sys.meta_path.insert(0, Interrupts())\n"
        "from memaudit.cli import main\n"
        "main(['--help'])\n"
    )
    words = [sys.executable, "-c", program]
    done = subprocess.run(words, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (130, "", "")
