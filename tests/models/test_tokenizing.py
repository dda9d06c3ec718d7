"""What splits captions: a blank or foreign vocabulary is refused, old files are read."""

import json
from pathlib import Path

import pytest
import sentencepiece
import torch
from tiny_families import WORDS, write_flux2, write_flux2_klein, write_pixart
from torch import nn
from transformers import CLIPTokenizer, GemmaTokenizerFast, Qwen2Tokenizer, T5TokenizerFast

from memaudit.errors import ModelError
from memaudit.models.load import load_model
from memaudit.models.loaded import ModelOptions
from memaudit.models.tokenizing import load_tokenizer


class Encoder(nn.Module):
    """Of so many tokens."""

    def __init__(self, tokens: int) -> None:
        super().__init__()
        self.table = nn.Embedding(tokens, 2)

    def get_input_embeddings(self) -> nn.Embedding:
        return self.table


@pytest.mark.parametrize(
    "kind", [CLIPTokenizer, T5TokenizerFast, GemmaTokenizerFast, Qwen2Tokenizer]
)
def test_a_folder_without_a_vocabulary_is_refused(kind: type, tmp_path: Path) -> None:
    (tmp_path / "tokenizer_config.json").write_text("{}")
    with pytest.raises(
        ModelError, match=r"holds no vocabulary, expected tokenizer\.json; or vocab"
    ):
        load_tokenizer(kind, tmp_path, Encoder(100))


def test_a_pipeline_whose_tokenizer_was_not_copied_is_refused(tmp_path: Path) -> None:
    folder = write_flux2_klein(tmp_path / "model")
    for path in (folder / "tokenizer").iterdir():
        path.unlink()
    with pytest.raises(ModelError, match="tokenizer holds no vocabulary"):
        load_model(str(folder), ModelOptions(resolution=32))


def test_a_tokenizer_of_another_model_is_refused(tmp_path: Path) -> None:
    folder = write_flux2_klein(tmp_path / "model")
    path = folder / "tokenizer" / "tokenizer.json"
    content = json.loads(path.read_text())
    vocabulary = content["model"]["vocab"]
    content["model"]["vocab"] = vocabulary | {f"word{k}": 300 + k for k in range(100)}
    path.write_text(json.dumps(content))
    with pytest.raises(ModelError, match="knows 399 tokens, and its text encoder 310"):
        load_model(str(folder), ModelOptions(resolution=32))


def write_spiece(folder: Path) -> None:
    """The vocabulary of a few words, as T5's is."""
    words = folder / "words.txt"
    words.write_text("\n".join(WORDS))
    special = {"pad_id": 0, "eos_id": 1, "unk_id": 2, "bos_id": -1}
    sentencepiece.SentencePieceTrainer.train(
        input=str(words),
        model_prefix=str(folder / "spiece"),
        vocab_size=32,
        minloglevel=2,
        **special,
    )


def test_a_vocabulary_of_sentencepiece_splits_as_sentencepiece_does(tmp_path: Path) -> None:
    write_spiece(tmp_path)
    theirs = sentencepiece.SentencePieceProcessor(model_file=str(tmp_path / "spiece.model"))
    ours = load_tokenizer(T5TokenizerFast, tmp_path, Encoder(134))  # 100 more of its own
    for caption in WORDS[:4]:
        assert ours(caption).input_ids == [*theirs.encode(caption), 1]


def test_a_pipeline_with_an_old_vocabulary_is_opened(tmp_path: Path) -> None:
    """As PixArt is published: spiece.model and no tokenizer.json."""
    torch.manual_seed(0)
    folder = write_pixart(tmp_path / "model")
    asked = ModelOptions(resolution=32)
    before = load_model(str(folder), asked).denoiser
    (folder / "tokenizer" / "tokenizer.json").unlink()
    with pytest.raises(ModelError, match="holds no vocabulary"):
        load_model(str(folder), asked)
    write_spiece(folder / "tokenizer")
    after = load_model(str(folder), asked).denoiser
    assert after.shape == before.shape


def test_a_tokenizer_that_brings_code_is_refused(tmp_path: Path) -> None:
    folder = write_flux2(tmp_path / "model")
    path = folder / "tokenizer" / "processor_config.json"
    config = json.loads(path.read_text()) if path.is_file() else {}
    path.write_text(json.dumps({**config, "auto_map": {"AutoImageProcessor": "evil.Evil"}}))
    (folder / "tokenizer" / "evil.py").write_text("raise SystemExit('it was run')")
    with pytest.raises(ModelError, match="no code of a model is run"):
        load_model(str(folder), ModelOptions(resolution=32))
