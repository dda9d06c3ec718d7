"""Where a result comes from: versions, code, data, model."""

from __future__ import annotations

import platform
import subprocess
import sys
from datetime import UTC, datetime
from importlib import metadata
from pathlib import Path

import torch

import memaudit
from memaudit.run.record import Commit, Environment

PACKAGES = (
    "torch",
    "diffusers",
    "faiss-cpu",
    "onnxruntime",
    "open_clip_torch",
    "numpy",
    "pandas",
    "pillow",
    "scikit-image",
    "torch-fidelity",
)


def environment() -> Environment:
    """Versions of memaudit and what it stands on, the commit it runs from, the command line."""
    return Environment(
        memaudit=memaudit.__version__,
        commit=_commit(),
        python=platform.python_version(),
        platform=platform.platform(),
        packages={name: _version(name) for name in PACKAGES},
        command=tuple(sys.argv),
        threads=torch.get_num_threads(),
        finished=datetime.now(UTC).isoformat(timespec="seconds"),
    )


def _version(package: str) -> str | None:
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return None


def _commit() -> Commit | None:
    """The commit of a source checkout, and whether it has changes; None for an installed copy."""
    folder = Path(memaudit.__file__).parents[1]
    if not (folder / ".git").exists():
        return None
    try:
        head = _git(folder, "rev-parse", "HEAD")
        return Commit(head, bool(_git(folder, "status", "--porcelain")))
    except (OSError, subprocess.SubprocessError):
        return None


def _git(folder: Path, *arguments: str) -> str:
    command = ["git", "-C", str(folder), *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()
