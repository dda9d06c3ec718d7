"""The weights of a model folder: whole, finite, safetensors and nothing else."""

from __future__ import annotations

import hashlib
import json
import math
import os
import shlex
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

from safetensors import SafetensorError, safe_open
from torch import nn

from memaudit.errors import ModelError
from memaudit.foreign import open_regular, refusing
from memaudit.models.locate import read_json
from memaudit.models.names import bare_names, show

OF_DIFFUSERS = "diffusion_pytorch_model"  # how diffusers begins the names of weight files
OF_TRANSFORMERS = "model"  # and transformers
LFS = b"version https://git-lfs"  # begins what stands for a file in a clone without LFS
SNAPSHOTS = "snapshots"  # a folder of the hub's cache
PICKLED = ("*.bin", "*.pt", "*.pth", "*.ckpt", "*.pkl")


def weight_files(folder: Path, variant: str | None, stem: str = OF_DIFFUSERS) -> list[Path]:
    """Resolve the .safetensors files of a network: exactly those are to be hashed and loaded.

    The shards that an index names, or the one file. Where both are there, those that the library
    itself takes: diffusers goes by the index, transformers by the file. Raises ModelError for names
    in an index that are not plain .safetensors names, for files that are missing or not whole.
    """
    single = folder / f"{_with(stem, variant)}.safetensors"
    index = next(filter(Path.is_file, _indexes(folder, variant, stem)), None)
    if index is not None and (stem == OF_DIFFUSERS or not single.is_file()):
        files = shards(index)
    elif single.is_file():
        files = [single]
    else:
        raise _no_weights(folder, single.name)
    for path in files:
        tensors_in(path)
    return files


def has_weights(folder: Path, variant: str | None, stem: str) -> bool:
    """Whether a folder holds weights of a variant, whole or not."""
    single = folder / f"{_with(stem, variant)}.safetensors"
    return any(path.is_file() for path in (single, *_indexes(folder, variant, stem)))


@contextmanager
def staged(folder: Path, files: Sequence[Path], stem: str = OF_DIFFUSERS) -> Iterator[Path]:
    """Show a library these weights and the folder's config.json, and nothing else that lies there.

    Yields a temporary folder of links under the library's own names, with an index of our own where
    there are several files: what an index of the model says is never followed. A file with wrappers
    in the names of its tensors is copied without them.
    """
    names = bare_names({path: tensors_in(path) for path in files})
    with TemporaryDirectory(prefix="memaudit-") as made:
        stage = Path(made)
        (stage / "config.json").symlink_to((folder / "config.json").resolve())
        if len(files) == 1:
            show(files[0], names[files[0]], stage / f"{stem}.safetensors")
            yield stage
            return
        places: dict[str, str] = {}
        for number, path in enumerate(files, start=1):
            name = f"{stem}-{number:05d}-of-{len(files):05d}.safetensors"
            show(path, names[path], stage / name)
            places |= dict.fromkeys(names[path].values(), name)
        index = {"metadata": {"total_size": 0}, "weight_map": places}
        (stage / f"{stem}.safetensors.index.json").write_text(json.dumps(index), encoding="utf-8")
        yield stage


def _with(stem: str, variant: str | None) -> str:
    return stem if variant is None else f"{stem}.{variant}"


def _indexes(folder: Path, variant: str | None, stem: str) -> list[Path]:
    """Where an index of shards can stand: two places for a variant, one of them of old."""
    if variant is None:
        return [folder / f"{stem}.safetensors.index.json"]
    return [
        folder / f"{stem}.safetensors.index.{variant}.json",
        folder / f"{stem}.{variant}.safetensors.index.json",
    ]


def shards(index: Path) -> list[Path]:
    """The files that an index names; they lie beside it, whatever it says."""
    places = read_json(index).get("weight_map")
    if not isinstance(places, dict) or not places:
        raise ModelError(
            f"{index} has no weight_map, expected one that says which file holds each tensor; copy "
            "the model again"
        )
    names = sorted({str(name) for name in places.values()})
    for name in names:
        if not name.endswith(".safetensors") or set(name) & set("/\\\0"):
            raise ModelError(
                f"{index} names {name!r}, expected plain names of .safetensors files beside it: a "
                "pickle can run any code and is never loaded, and a model does not reach outside "
                "its folder. Convert each of its files with memaudit convert, and name what that "
                "wrote in the index"
            )
        if not (index.parent / name).is_file():
            raise ModelError(
                f"{index} names {name}, which is not there; copy or download the model again"
            )
    return [index.parent / name for name in names]


def tensors_in(path: Path) -> list[str]:
    """Names of the tensors in a file of weights; raises ModelError if it is not whole."""
    closed = refusing(lambda why: ModelError(f"{why}; check its permissions"), str(path))
    with closed, open_regular(path) as file:  # safe_open would say that it is not there
        if file.read(len(LFS)) == LFS:
            raise ModelError(
                f"{path} is the pointer of a file that Git LFS keeps, expected the file itself; "
                "fetch it with git lfs pull, or download the model again"
            )
    try:
        with safe_open(path, framework="pt") as file:
            return list(file.keys())
    except (SafetensorError, OSError) as error:
        raise ModelError(
            f"{path} ({path.stat().st_size} bytes) is not a whole .safetensors file: {error}; "
            "copy or download it again"
        ) from error


def names_in(files: Iterable[Path]) -> list[str]:
    """Names of the tensors in several files."""
    return [name for path in files for name in tensors_in(path)]


def numbers_in(files: Sequence[Path]) -> int:
    """How many numbers weight files hold, by their headers."""
    total = 0
    for path in files:
        with safe_open(path, framework="pt") as file:
            total += sum(math.prod(file.get_slice(name).get_shape()) for name in file.keys())  # noqa: SIM118
    return total


def _no_weights(folder: Path, expected: str) -> ModelError:
    if os.path.lexists(folder / expected):
        broken = (folder / expected).is_symlink()
        return ModelError(
            f"{folder / expected} is {'a link that leads nowhere' if broken else 'no regular file'}"
            ", expected weights; copy or download the model again"
        )
    pickled = sorted(path for pattern in PICKLED for path in folder.glob(pattern))
    twins = [path for path in pickled if f"{path.stem}.safetensors" == expected]
    others = sorted(path.name for path in folder.glob("*.safetensors"))
    if others and not twins:
        return ModelError(
            f"{folder} holds {', '.join(others)}, expected {expected}; name another variant with "
            "--variant, or none, or rename the file"
        )
    if pickled:
        names = ", ".join(path.name for path in twins or pickled)
        paths = (str((twins or pickled)[0]), str(folder / expected))
        return ModelError(
            f"{folder} holds pickled weights only ({names}), expected {expected}; a pickle can "
            "run any code, so it is never loaded. Convert it: "
            f"{shlex.join(('memaudit', 'convert', *paths))}"
        )
    hub = " (pickled weights on the hub are not fetched: download them, and use memaudit convert)"
    return ModelError(
        f"{folder} holds no weights, expected {expected}; copy or download the model again"
        f"{hub if SNAPSHOTS in folder.parts else ''}"
    )


def sha256_file(path: Path) -> str:
    """The hex digest of a file, read in pieces."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def require_fitting(strays: Sequence[str], folder: Path) -> None:
    """Refuse weights of which tensors were missing, left over or of another shape."""
    if strays:
        raise ModelError(
            f"the weights in {folder} do not fit its config.json: {len(strays)} tensors are "
            f"missing, left over or of another shape, {strays[0]} first; take both from one model"
        )


def freeze(network: nn.Module, folder: Path) -> None:
    """Let no gradient reach a network and no dropout change it; refuse what is not finite."""
    network.requires_grad_(False).eval()
    for name, tensor in (*network.named_parameters(), *network.named_buffers()):
        bad = ~tensor.isfinite() if isinstance(tensor, nn.Parameter) else tensor.isnan()
        if bool(bad.any()):
            raise ModelError(
                f"the weights in {folder} hold NaN or infinity ({name}); the training diverged or "
                "the file is damaged: take an earlier checkpoint, or copy it again"
            )
