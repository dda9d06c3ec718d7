"""Names of tensors without what a training program's wrappers put into them."""

from __future__ import annotations

import shutil
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from safetensors import safe_open
from safetensors.torch import save_file

from memaudit.errors import DependencyError, ModelError
from memaudit.models.provenance import Provenance

WRAPPERS = ("_orig_mod", "module")  # of torch.compile; of DataParallel and its kin
DROPPED = "dropped_prefixes"  # in the details of a provenance

type Names = dict[str, str]  # of tensors: in a file, and without wrappers


def bare(name: str) -> str:
    """A name without the segments of wrappers; the last segment is the tensor's own."""
    *modules, own = name.split(".")
    return ".".join([*(one for one in modules if one not in WRAPPERS), own])


def bare_names(names: Mapping[Path, Sequence[str]]) -> dict[Path, Names]:
    """Find the bare names of the tensors in files; raises ModelError if two become one."""
    seen: Names = {}
    for path, there in names.items():
        for name in there:
            other = seen.setdefault(bare(name), name)
            if other != name:
                raise ModelError(
                    f"{path} holds {name} beside {other}, expected one of them: without what "
                    f"wrappers add ({' and '.join(WRAPPERS)}) both are {bare(name)}; leave one "
                    "out, and save the model again"
                )
    return {path: {name: bare(name) for name in there} for path, there in names.items()}


def show(path: Path, names: Names, at: Path) -> None:
    """Show a file of weights at another place under bare names: a link, or a copy of it.

    The copy is written from the file as it lies on the disk, not through memory. Raises
    DependencyError if there is no room for it.
    """
    if all(name == found for name, found in names.items()):
        at.symlink_to(path.resolve())
        return
    size, free = path.stat().st_size, shutil.disk_usage(at.parent).free
    if size > free:
        raise DependencyError(
            f"{path} must be copied to {at.parent}, because names in it are those of wrappers, and "
            f"that disk has room for {free} bytes of {size}; free some space, or set TMPDIR to a "
            "folder on another disk"
        )
    with safe_open(path, framework="pt") as file:
        tensors = {found: file.get_tensor(name) for name, found in names.items()}
        save_file(tensors, at, metadata={"format": "pt"})


def say_dropped(provenance: Provenance, parts: Mapping[str, Iterable[str]]) -> Provenance:
    """Keep in a provenance which wrappers stood in the names of tensors, part by part."""
    found = {
        part: [each for each in WRAPPERS if any(each in one.split(".")[:-1] for one in names)]
        for part, names in ((part, list(names)) for part, names in parts.items())
    }
    told = {part: wrappers for part, wrappers in found.items() if wrappers}
    if not told:
        return provenance
    earlier = provenance.details.get(DROPPED, {})
    return replace(provenance, details={**provenance.details, DROPPED: {**earlier, **told}})
