"""The tokenizers of a pipeline: what splits captions for its text encoders."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

from torch import nn

from memaudit.errors import ModelError
from memaudit.models.limits import naming
from memaudit.models.locate import read_json
from memaudit.models.weights import sha256_file

VOCABULARIES = (  # the files of which a tokenizer needs one set; transformers makes a blank without
    ("tokenizer.json",),
    ("vocab.json", "merges.txt"),
    ("spiece.model",),
    ("tokenizer.model",),
)
LEAST = 0.9  # of what a text encoder knows; the rest of its rows is padding
CODE = "auto_map"  # names classes that come with a model, or lie in another one
ADVICE = "copy the model again, with all files of that folder"


def load_tokenizer(kind: Any, folder: Path, encoder: nn.Module) -> Any:
    """Load what splits captions for an encoder; raises ModelError if it is missing or another's.

    A caption split by a blank or foreign vocabulary says nothing, and no error tells of it.
    """
    if not any(all((folder / name).is_file() for name in names) for names in VOCABULARIES):
        expected = "; or ".join(" and ".join(names) for names in VOCABULARIES)
        raise ModelError(f"{folder} holds no vocabulary, expected {expected}; {ADVICE}")
    _refuse_code(folder)
    with naming(f"the {kind.__name__} in {folder}", ADVICE):
        tokenizer = kind.from_pretrained(folder, local_files_only=True, trust_remote_code=False)
        known = len(getattr(tokenizer, "tokenizer", tokenizer))
        embeddings: Any = encoder.get_input_embeddings()  # type: ignore[operator]
        rows = int(embeddings.num_embeddings)
    if not LEAST * rows <= known <= rows:
        raise ModelError(
            f"the tokenizer in {folder} knows {known} tokens, and its text encoder {rows}: they "
            "are not of one model; take both from one"
        )
    return tokenizer


def tokenizer_files(folder: Path, names: Iterable[str]) -> dict[str, str]:
    """The sha256 of all files of the tokenizers of a pipeline that are there, by their names.

    A template of a chat among them decides what a text encoder hears, as a vocabulary does.
    """
    files = (path for name in names for path in sorted((folder / name).glob("*")))
    return {
        f"{path.parent.name}/{path.name}": sha256_file(path) for path in files if path.is_file()
    }


def _refuse_code(folder: Path) -> None:
    """Refuse a tokenizer that brings code: transformers would ask whether to run it."""
    for path in sorted(folder.glob("*config.json")):
        if CODE in read_json(path):
            raise ModelError(
                f"{path} names code of its own ({CODE}), and no code of a model is run; remove "
                "that entry if the class is one of transformers"
            )
