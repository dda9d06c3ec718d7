"""What lies in a model's folder and is read by no audit."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from dataclasses import dataclass
from fnmatch import fnmatch
from itertools import islice
from pathlib import Path

from memaudit.models.ambient import NOISY, RECORD
from memaudit.models.loaded import Loaded
from memaudit.models.weights import OF_DIFFUSERS, OF_TRANSFORMERS, PICKLED

COUNTED = 10_000  # files of a folder, at most
READ = frozenset(["model_index.json", "config.json", "scheduler_config.json", RECORD])  # at the top
READ_OF_ADAPTERS = frozenset(["lora.json", "adapter_config.json"])
WEIGHTS = re.compile(r"(?P<stem>\w+?)(\.(?P<variant>[\w-]+?))?(?P<shard>-\d+-of-\d+)?\.safetensors")
PICKLE = "a pickle, which can run any code and is never loaded"
LINK = "a link that leads to another folder"
FOLDERS = {
    "safety_checker": "it judges finished images; an audit asks the network",
    "feature_extractor": "it prepares finished images for the safety checker",
    "image_encoder": "it is for images as prompts; an audit gives none",
    "noisy": "noisy copies; no ambient.json says that the model was trained on them",
    "masks": "what the training saw of each image",
    "checkpoints": "states of the training before its end",
    "samples": "images that the training drew",
    ".git": "of version control",
    ".cache": "of the download",
}
FILES = {  # patterns of names, the first that fits
    **dict.fromkeys(PICKLED, PICKLE),
    "*.bin.index*.json": "it lists pickles, which are never loaded",
    "*.safetensors.index*.json": "it lists weights that are not read",
    **dict.fromkeys(
        ("*.msgpack", "*.h5", "*.onnx", "*.onnx_data", "*.pb", "*.gguf", "openvino_*"),
        "for another library",
    ),
    "*.py": "code that comes with a model is never run",
    "training.json": "the record of the training",
    "loss.*": "the losses of the training",
    ".git*": "of version control",
    **dict.fromkeys(
        ("*.md", "*.txt", "*.png", "*.jpg", "*.jpeg", "*.webp", "*.pdf", "LICENSE*"), "for people"
    ),
}


@dataclass(frozen=True)
class Ignored:
    """A file, or a folder of so many (its name ends in /), and why it is not read, where known."""

    name: str
    files: int
    bytes: int
    reason: str | None


def ignored(loaded: Loaded) -> tuple[Ignored, ...] | None:
    """List what no audit reads in a model's folder; a folder of which nothing is read is one entry.

    None where there is no folder, where the model is one file, or where its family does not say
    which parts it read.
    """
    said, folder = loaded.provenance, loaded.folder
    if folder is None or not said.parts or Path(said.model).is_file():
        return None
    return tuple(_unread(_Read.of(loaded, folder), ""))


@dataclass(frozen=True)
class _Read:
    """What was read in `folder`: files by their paths, folders as a whole, variants of weights."""

    folder: Path
    files: frozenset[str]
    folders: frozenset[str]

    @classmethod
    def of(cls, loaded: Loaded, folder: Path) -> _Read:
        parts, noisy = loaded.provenance.parts, loaded.ambient
        weights = {_place(folder, name, key) for name, part in parts.items() for key in part.bytes}
        beside = {one for path in weights for one in (_beside(path, "config.json"), *_lists(path))}
        adapters = any(part.role == "adapters" for part in parts.values())
        return cls(
            folder=folder,
            files=frozenset(READ | weights | beside | (READ_OF_ADAPTERS if adapters else set())),
            # What a scheduler or a tokenizer takes from its folder is its own matter.
            folders=frozenset(
                [name for name, part in parts.items() if not part.bytes]
                + [NOISY] * (noisy is not None and noisy.mask is None)
            ),
        )

    def lead_through(self, path: str) -> bool:
        """Whether some file that was read lies in a folder."""
        return any(file.startswith(f"{path}/") for file in self.files)


def _place(folder: Path, part: str, key: str) -> str:
    """Where a weight file lies: in the folder of its part, or at the top."""
    name = key.rpartition("/")[2]
    return f"{part}/{name}" if (folder / part / name).is_file() else name


def _beside(path: str, name: str) -> str:
    return f"{path.rpartition('/')[0]}/{name}".lstrip("/")


def _lists(path: str) -> Iterator[str]:
    """The indexes that can name a file of weights, where it is one of several."""
    found = WEIGHTS.fullmatch(path.rpartition("/")[2])
    if found is None or not found["shard"]:
        return
    stem, variant = found["stem"], found["variant"]
    if variant is None:
        yield _beside(path, f"{stem}.safetensors.index.json")
        return
    yield _beside(path, f"{stem}.{variant}.safetensors.index.json")
    yield _beside(path, f"{stem}.safetensors.index.{variant}.json")


def _unread(read: _Read, below: str) -> Iterator[Ignored]:
    for entry in sorted(os.scandir(read.folder / below), key=lambda one: one.name):
        path = f"{below}{entry.name}"
        if Path(entry.path).is_dir():  # an entry's own raises for a link to itself
            if path in read.folders:
                continue
            if read.lead_through(path):
                yield from _unread(read, f"{path}/")
            else:
                yield _folder(entry, path)
        elif path not in read.files:
            yield Ignored(path, 1, _size(Path(entry.path)), _reason(entry.name, below, read))


def _folder(entry: os.DirEntry[str], path: str) -> Ignored:
    if entry.is_symlink():  # it may lead anywhere
        return Ignored(f"{path}/", 0, 0, FOLDERS.get(entry.name, LINK))
    sizes = [_size(one) for one in islice(_files(Path(entry.path)), COUNTED)]
    return Ignored(f"{path}/", len(sizes), sum(sizes), FOLDERS.get(entry.name))


def _files(folder: Path) -> Iterator[Path]:
    for root, _, names in folder.walk():
        yield from (root / name for name in names)


def _size(path: Path) -> int:
    """Bytes of a file; 0 for a link that leads nowhere."""
    try:
        return path.stat().st_size
    except OSError:
        return 0


def _reason(name: str, below: str, read: _Read) -> str | None:
    if name.endswith(".safetensors"):
        return _reason_of_weights(name, below, read)
    return next((why for pattern, why in FILES.items() if fnmatch(name, pattern)), None)


def _reason_of_weights(name: str, below: str, read: _Read) -> str:
    found = WEIGHTS.fullmatch(name)
    variant = found and found["stem"] in (OF_DIFFUSERS, OF_TRANSFORMERS) and found["variant"]
    if variant:
        return f"the variant {variant}; --variant {variant} reads it"
    taken = (WEIGHTS.fullmatch(file.removeprefix(below)) for file in read.files)
    if found and any(one and one["variant"] and one["stem"] == found["stem"] for one in taken):
        return "the plain weights; without --variant they are read"
    return "not among the weights that are read"
