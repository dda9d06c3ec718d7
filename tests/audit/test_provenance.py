"""What a result says of the code and the machine that it comes from."""

import json
import shutil
import subprocess
import sys
from dataclasses import asdict
from datetime import UTC, datetime
from importlib import metadata
from pathlib import Path

import pytest

import memaudit
from memaudit.audit.provenance import PACKAGES, environment

PACKAGE = Path(memaudit.__file__).parent
PROGRAM = """
import json, sys
from dataclasses import asdict
import memaudit
from memaudit.audit.provenance import environment
json.dump([memaudit.__file__, asdict(environment())["commit"]], sys.stdout)
"""


def git(folder, *words):
    who = ("-c", "user.name=a", "-c", "user.email=a@b.c")
    run = ["git", "-C", str(folder), *who, *words]
    return subprocess.run(run, capture_output=True, text=True, check=True).stdout.strip()


@pytest.fixture
def checkout(tmp_path):
    """A copy of the package in a folder of its own."""
    folder = tmp_path / "checkout"
    left_out = shutil.ignore_patterns("__pycache__", "*.safetensors")
    shutil.copytree(PACKAGE, folder / "memaudit", ignore=left_out)
    return folder


@pytest.fixture
def commit_told(checkout, monkeypatch):
    """What the code of that folder says of its commit."""
    monkeypatch.setenv("PYTHONPATH", str(checkout))
    monkeypatch.setenv("PYTHONDONTWRITEBYTECODE", "1")

    def ask():
        run = [sys.executable, "-c", PROGRAM]
        done = subprocess.run(run, capture_output=True, text=True, check=True, cwd=checkout)
        where, told = json.loads(done.stdout)
        assert Path(where).is_relative_to(checkout)
        return told

    return ask


def test_versions_and_the_command_are_those_of_this_process():
    before = datetime.now(UTC).replace(microsecond=0)
    told = asdict(environment())
    assert told["memaudit"] == memaudit.__version__
    assert told["python"] == ".".join(map(str, sys.version_info[:3]))
    assert list(told["command"]) == sys.argv
    assert set(told["packages"]) == set(PACKAGES)
    for name in ("torch", "diffusers", "numpy", "torch-fidelity"):
        assert told["packages"][name] == metadata.version(name)
    assert before <= datetime.fromisoformat(told["finished"]) <= datetime.now(UTC)
    assert json.loads(json.dumps(told))["platform"] == told["platform"]


def test_an_installed_copy_has_no_commit(commit_told):
    assert commit_told() is None


def test_a_checkout_names_its_commit_and_whether_it_was_changed(checkout, commit_told):
    git(checkout, "init", "--quiet")
    git(checkout, "add", ".")
    git(checkout, "commit", "--quiet", "--message", "first")
    sha = git(checkout, "rev-parse", "HEAD")
    assert len(sha) == 40
    assert commit_told() == {"sha": sha, "dirty": False}
    (checkout / "new.txt").write_text("new")
    assert commit_told() == {"sha": sha, "dirty": True}


def test_a_checkout_that_git_cannot_read_has_no_commit(checkout, commit_told):
    (checkout / ".git").write_text("no repository")
    assert commit_told() is None
