"""Find a model on this machine or on the hub, and read its JSON files."""

from __future__ import annotations

import errno
from functools import partial
from pathlib import Path
from typing import Any

from huggingface_hub import constants, snapshot_download
from huggingface_hub.errors import HfHubHTTPError, HFValidationError, LocalEntryNotFoundError

from memaudit import foreign
from memaudit.errors import DependencyError, ModelError
from memaudit.foreign import refusing
from memaudit.models.limits import check_config
from memaudit.models.loaded import ModelOptions

RENAMED = {  # classes that folders of old name
    "Lumina2Text2ImgPipeline": "Lumina2Pipeline",
    "Transformer2DModel": "PixArtTransformer2DModel",
}
DOWNLOADED = [  # of a model on the hub, beside its weights
    *("*.json", "*/merges.txt"),
    *("*/spiece.model", "*/tokenizer.model", "*/*.jinja"),  # of tokenizers
]
UNREAD = ["safety_checker/*", "feature_extractor/*", "image_encoder/*"]
INDEX = "model_index.json"  # which names the parts of a pipeline


def locate(spec: str, options: ModelOptions) -> tuple[Path, str | None]:
    """Find a model: its folder or file, and the commit if it comes from the hub."""
    path = Path(spec)
    if path.is_dir():
        return path, None
    if path.is_file():
        return path, None
    try:
        local = _downloaded(spec, options)
    except HFValidationError as error:
        raise ModelError(
            f"{spec} is neither a folder on this machine nor a hub id (owner/name)"
        ) from error
    except (LocalEntryNotFoundError, HfHubHTTPError, OSError) as error:
        if getattr(error, "errno", None) == errno.ENOSPC:
            raise DependencyError(
                f"the disk of {constants.HF_HUB_CACHE} is full, where models from the hub are "
                "kept; free some space, then run the same command again"
            ) from error
        raise DependencyError(
            f"no folder {spec} on this machine, and the hub did not serve a model of that name "
            f"({type(error).__name__}); give a local folder, or check the id and the network"
        ) from error
    return Path(local), Path(local).name


def _downloaded(spec: str, options: ModelOptions) -> str:
    """Fetch what is read of a model on the hub.

    Beside a pipeline often lie the same weights in one file, which are large and not read.
    """
    fetch = partial(
        snapshot_download,
        spec,
        revision=options.revision,
        local_files_only=options.local_files_only,
    )
    pipeline = (Path(fetch(allow_patterns=[INDEX])) / INDEX).is_file()
    weights = "*/*.safetensors" if pipeline else "*.safetensors"
    return fetch(allow_patterns=[weights, *DOWNLOADED], ignore_patterns=UNREAD)


def class_name(folder: Path) -> str | None:
    """The class of pipeline that a folder says it is; None if it says none."""
    if not (folder / INDEX).is_file():
        return None
    name = read_json(folder / INDEX).get("_class_name")
    return RENAMED.get(name, name) if isinstance(name, str) else None


def read_json(path: Path, *, lenient: bool = False) -> dict[str, Any]:
    """Read a JSON object of a model's folder; raises ModelError if there is none.

    `lenient` reads numbers that are not finite as None.
    """
    if not path.exists():
        raise ModelError(f"the model lacks {path}; is the download complete?")
    advice = "check its permissions, or copy the model again"
    with refusing(lambda why: ModelError(f"{why}; {advice}"), f"{path} cannot be read as JSON"):
        content = foreign.read_json(path, lenient=lenient)
    if not isinstance(content, dict):
        raise ModelError(f"{path} holds a {type(content).__name__}, expected a JSON object")
    return content


def read_config(path: Path, *, lenient: bool = False) -> dict[str, Any]:
    """Read the configuration of a network or a scheduler, and hold it to the stated bounds."""
    config = read_json(path, lenient=lenient)
    check_config(config, path)
    return config
