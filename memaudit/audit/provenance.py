"""Where a result comes from: versions, code, data, model."""

from __future__ import annotations

import platform
import subprocess
import sys
from datetime import UTC, datetime
from importlib import metadata
from pathlib import Path

import torch

from memaudit.run.record import Commit, Environment
from memaudit.version import __version__

ROOT = Path(__file__).parents[2]  # of a source checkout
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
    "scikit-learn",
    "torch-fidelity",
)


def environment() -> Environment:
    """Versions of memaudit and what it stands on, the commit it runs from, the command line."""
    return Environment(
        memaudit=__version__,
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
    try:
        if not (ROOT / ".git").exists():
            return None
        head = _git("rev-parse", "HEAD")
        return Commit(head, bool(_git("status", "--porcelain")))
    except (OSError, subprocess.SubprocessError):
        return None


def _git(*arguments: str) -> str:
    command = ["git", "-C", str(ROOT), *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()
