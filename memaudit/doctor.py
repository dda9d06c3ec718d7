"""What this machine has: versions, devices, weights, rival distributions."""

from __future__ import annotations

import shutil
from dataclasses import dataclass
from importlib import metadata

import faiss
import torch

import memaudit
from memaudit.audit.cache import cache_directory
from memaudit.errors import MemauditError
from memaudit.similarity.embed import load_embedder

PACKAGES = ("torch", "torchvision", "diffusers", "open_clip_torch", "onnxruntime", "scikit-image")
LOW_DISK = 2 << 30


@dataclass(frozen=True)
class Check:
    """One thing looked at: what was found, and what to do if it is not well."""

    name: str
    ok: bool
    found: str
    advice: str = ""


def examine() -> list[Check]:
    """Look at everything a scan stands on."""
    return [
        Check("memaudit", True, memaudit.__version__),
        *(_package(name) for name in PACKAGES),
        _faiss(),
        _device(),
        *(_embedder(name) for name in ("sscd", "sscd-distilled", "pixels")),
        _cache(),
    ]


def _package(name: str) -> Check:
    try:
        return Check(name, True, metadata.version(name))
    except metadata.PackageNotFoundError:
        return Check(name, False, "not installed", f"pip install {name}")


def _faiss() -> Check:
    owners = sorted(set(metadata.packages_distributions().get("faiss", [])))
    gpus = faiss.get_num_gpus() if hasattr(faiss, "get_num_gpus") else 0
    found = f"{faiss.__version__} from {', '.join(owners) or 'no distribution'}, {gpus} GPUs"
    if len(owners) == 1:
        return Check("faiss", True, found)
    return Check(
        "faiss",
        False,
        found,
        "all FAISS wheels own the same files: uninstall every one of them, then install one",
    )


def _device() -> Check:
    if torch.cuda.is_available():
        return Check("device", True, f"cuda: {torch.cuda.get_device_name()}")
    return Check("device", True, f"cpu, {torch.get_num_threads()} threads")


def _embedder(name: str) -> Check:
    try:
        return Check(name, True, f"weights found, {load_embedder(name).dim} dimensions")
    except MemauditError as error:
        return Check(name, False, "cannot be loaded", str(error))


def _cache() -> Check:
    folder = cache_directory()
    used = sum(f.stat().st_size for f in folder.rglob("*") if f.is_file()) if folder.is_dir() else 0
    existing = next(path for path in (folder, *folder.parents) if path.is_dir())
    free = shutil.disk_usage(existing).free
    found = f"{folder}: {used / 1e6:.0f} MB of indexes, {free / 1e9:.1f} GB free"
    return Check("cache", free > LOW_DISK, found, "" if free > LOW_DISK else "free some space")
