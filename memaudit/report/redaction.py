"""A report without pictures, captions, names and paths; images go by keyed names."""

from __future__ import annotations

import hashlib
import hmac
import json
import re
import secrets
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from memaudit.config.scan import WORDS
from memaudit.errors import ConfigError
from memaudit.report.finished import Reported
from memaudit.run.directory import PREFIX
from memaudit.run.record import Record, content, read_record

LEFT_OUT = "(left out)"
SHORTEST = 16  # bytes of a key
PATH = r"(?<![\w.])(?:[A-Za-z]:\\|~?/)[^\s;,\"')]+"  # from the root or a home
# Keys of the record whose texts are names that people gave: of models, data, folders, columns.
GIVEN = {
    *("spec", "model", "base", "base_model", "revision", "variant"),
    *("dataset", "controls", "split", "controls_split"),
    *("image_column", "caption_column", "cluster_column"),
    *("noisy_copies", "folder", "reference", "reference_trained_on", "trained_on"),
    *("out", "index", "boxes", "controls_boxes", "files"),
}
DIGESTS = {"fingerprint", "question", "digest"}  # of images and of names
OF_FILES = {"weights", "adapters", "bytes"}  # digests and sizes by the names of files
NAMES = {"example_id": "source", "nearest_other": "nearest_other_source"}


def redact(run: Reported, key: bytes, name: str) -> Reported:
    """Leave out of a run what tells of people, places and images; it is called `name`."""
    whole = content(run.record)
    told = _Redaction(key, _named(run.record)).of(whole)
    told["environment"] |= {
        "command": [],
        "platform": run.record.environment.platform.split("-")[0],
    }
    told["prepared"]["embedder"]["digest"] = run.record.prepared.embedder.digest
    record: Record = read_record(json.dumps(told).encode(), "the redacted record")
    findings = _findings(run.findings, key)
    return Reported(name, record, findings, redacted=True, digest=run.digest)


def read_key(path: str | None) -> bytes:
    """The content of a key file; without one a random key, which nobody keeps."""
    if path is None:
        return secrets.token_bytes(32)
    key = Path(path).read_bytes()
    if len(key) < SHORTEST:
        raise ConfigError(
            f"--redact-key {path} holds {len(key)} bytes, expected at least {SHORTEST}, because "
            f"short keys are guessed; make one with: head -c 32 /dev/urandom > {path}"
        )
    return key


def keyed(name: str, key: bytes) -> str:
    """A name that only those tell who have the key: HMAC-SHA256, hex."""
    return hmac.new(key, name.encode(), hashlib.sha256).hexdigest()


def _findings(table: pd.DataFrame, key: bytes) -> pd.DataFrame:
    """The findings with keyed names, and groups numbered as they come, not by their files."""
    made = table.assign(prompt="", cluster="", group=pd.factorize(table["group"])[0])
    for name, source in NAMES.items():
        if name in made:
            made[name] = [one and keyed(one, key) for one in table[name]]
            made[source] = [one and f"image {one[:PREFIX]}" for one in made[name]]
    return made


def _named(record: Record) -> re.Pattern[str]:
    """Names that stand in the middle of texts: folders, and what has a place in a folder."""
    data, target, attack = record.config.data, record.config.target, record.config.attack
    given = (
        *(data.dataset, data.controls, data.boxes, data.controls_boxes, target.spec),
        *(attack.noisy_copies, attack.reference),
    )
    copies = record.prepared.copies
    names = {one for one in given if one and "/" in one}
    names |= set() if copies is None else {copies.folder}
    longest = sorted(names, key=len, reverse=True)
    return re.compile("|".join([*(rf"(?<!\w){re.escape(one)}(?!\w)" for one in longest), PATH]))


@dataclass(frozen=True)
class _Redaction:
    key: bytes
    names: re.Pattern[str]

    def of(self, value: Any, name: str = "") -> Any:
        """A value of the record under a key of it."""
        if isinstance(value, dict) and name in OF_FILES:
            return {f"file {k}": one for k, one in enumerate(value.values(), start=1)}
        if isinstance(value, dict):
            return {} if name == "details" else {k: self.of(one, k) for k, one in value.items()}
        if isinstance(value, list):
            return [self.of(one, name) for one in value]
        return self._text(value, name) if isinstance(value, str) else value

    def _text(self, text: str, name: str) -> str:
        if name in DIGESTS:
            return text and keyed(text, self.key)
        if name in GIVEN and text not in WORDS:
            return text and LEFT_OUT
        if name in ("embedder", "name"):  # kind:folder
            return text.partition(":")[0]
        return self.names.sub(LEFT_OUT, text)
