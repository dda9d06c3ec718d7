"""The tokenizer of CLIP, made of the vocabulary that open_clip ships."""

from __future__ import annotations

import gzip
import json
from importlib.util import find_spec
from pathlib import Path

from transformers.convert_slow_tokenizer import bytes_to_unicode

from memaudit.errors import DependencyError

VOCABULARY = "bpe_simple_vocab_16e6.txt.gz"
WORDS = 49408
LENGTH = 77  # tokens of a caption
START, END = "<|startoftext|>", "<|endoftext|>"
OF_CLIP, OF_OPEN_CLIP = END, "!"  # what fills a caption up; the second is token 0


def write_clip_tokenizer(folder: Path, pad: str = OF_CLIP) -> None:
    """Write the files of a CLIPTokenizer; raises DependencyError without open_clip's vocabulary."""
    merges = _merges()
    letters = list(bytes_to_unicode().values())
    words = [*letters, *(letter + "</w>" for letter in letters)]
    words += ["".join(merge.split()) for merge in merges]
    words += [START, END]
    said = {"tokenizer_class": "CLIPTokenizer", "model_max_length": LENGTH, "pad_token": pad}
    folder.mkdir(parents=True, exist_ok=True)
    _write(folder / "vocab.json", json.dumps({word: k for k, word in enumerate(words)}))
    _write(folder / "merges.txt", "\n".join(["#version: 0.2", *merges]))
    _write(folder / "tokenizer_config.json", json.dumps(said))


def _write(path: Path, text: str) -> None:
    path.write_text(text, encoding="utf-8")


def _merges() -> list[str]:
    """The pairs of letters that CLIP joins, in order; the file has more than it uses."""
    spec = find_spec("open_clip")
    source = Path(spec.origin or "").parent / VOCABULARY if spec else Path(VOCABULARY)
    if not source.is_file():
        raise DependencyError(
            f"open_clip's {VOCABULARY} is missing, of which the tokenizer of CLIP is made; install "
            "open_clip_torch again, or name a folder that holds a tokenizer with --base-model"
        )
    with gzip.open(source, "rt", encoding="utf-8") as file:
        return file.read().split("\n")[1 : WORDS - 2 * 256 - 2 + 1]
