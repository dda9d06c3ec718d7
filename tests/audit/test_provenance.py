"""What a result says of the code and the machine that it comes from."""

import json
import subprocess
import sys
from dataclasses import asdict
from datetime import UTC, datetime
from importlib import metadata

import pytest

import memaudit
from memaudit.audit import provenance
from memaudit.audit.provenance import PACKAGES, environment
from memaudit.run.record import Commit


def git(folder, *words):
    who = ("-c", "user.name=a", "-c", "user.email=a@b.c")
    run = ["git", "-C", str(folder), *who, *words]
    return subprocess.run(run, capture_output=True, text=True, check=True).stdout.strip()


@pytest.fixture
def checkout(tmp_path, monkeypatch):
    """A folder from which the package says that it runs."""
    monkeypatch.setattr(provenance, "ROOT", tmp_path)
    return tmp_path


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


@pytest.mark.usefixtures("checkout")
def test_an_installed_copy_has_no_commit():
    assert environment().commit is None


def test_a_checkout_names_its_commit_and_whether_it_was_changed(checkout):
    (checkout / "code.py").write_text("")
    git(checkout, "init", "--quiet")
    git(checkout, "add", ".")
    git(checkout, "commit", "--quiet", "--message", "first")
    sha = git(checkout, "rev-parse", "HEAD")
    assert len(sha) == 40
    assert environment().commit == Commit(sha, dirty=False)
    (checkout / "new.txt").write_text("new")
    assert environment().commit == Commit(sha, dirty=True)


def test_a_checkout_that_git_cannot_read_has_no_commit(checkout):
    (checkout / ".git").write_text("no repository")
    assert environment().commit is None
