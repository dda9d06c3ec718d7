"""What is said of the scale of adapters beside them: by peft, in its configuration or the file."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from safetensors import safe_open

from memaudit.errors import ModelError
from memaudit.foreign import parse_json, refusing
from memaudit.models.limits import short
from memaudit.models.locate import read_json
from memaudit.models.lora.adapter import RANK
from memaudit.models.names import bare
from memaudit.text import shown

OF_PEFT = "adapter_config.json"  # what peft writes beside the adapters
METADATA = "lora_adapter_metadata"  # what diffusers writes into the file: the same, by network
FACTOR = 1e4  # the largest scale of an adapter
READ = ("LORA", "LOKR")  # kinds of adapters of peft
CHANGED = ("pissa", "olora", "corda", "loftq", "lora_ga")  # beginnings that change the base, too
ALTERING = (  # fields that make another model of the base, or another formula of the adapters
    "layer_replication",
    "target_parameters",
    "modules_to_save",
    "trainable_token_indices",
    "alora_invocation_tokens",
    "arrow_config",
    "kasa_config",
    "use_bdlora",
    "use_qalora",
)
PLAIN = re.compile(r"[A-Za-z0-9_.-]+")


@dataclass(frozen=True)
class Said:
    """What a file, or what lies beside it, says of the scale; fields of peft alone are of all."""

    path: Path
    fields: Mapping[str, Any] = field(default_factory=dict)

    def of(self, layer: str, rank: int, kind: str) -> float:
        """What the second half of an adapter is multiplied by: alpha over the rank, or its root."""
        network = layer.partition(".")[0]

        def get(name: str) -> Any:
            return self.fields.get(f"{network}.{name}", self.fields.get(name))

        def of_layer(name: str, otherwise: Any) -> Any:
            own = self._patterns(name, get(name))
            return next((value for end, value in own if f".{layer}".endswith(f".{end}")), otherwise)

        of_lokr = kind == "LoKr"  # whose tensors do not always show its rank
        alpha = of_layer("alpha_pattern", get("alpha" if of_lokr else "lora_alpha"))
        if alpha is None:
            return 1.0
        rank = of_layer("rank_pattern", get("r")) if of_lokr else rank
        return checked(alpha, rank, layer, self.path) * (
            math.sqrt(rank) if get("use_rslora") is True else 1.0
        )

    def _patterns(self, name: str, patterns: Any) -> list[tuple[str, Any]]:
        """Names of layers with a number of their own; peft takes them for expressions."""
        found = []
        for pattern, own in (patterns if isinstance(patterns, dict) else {}).items():
            plain = bare(pattern.removeprefix("^").removesuffix("$").replace(r"\.", "."))
            if PLAIN.fullmatch(plain) is None:
                raise ModelError(
                    f"{self.path} gives {name} for {shown(short(pattern))}, expected plain names "
                    "of layers: name them one by one, or merge the adapters into their model"
                )
            found.append((plain, own))
        return found

    def check(self, kinds: set[str]) -> None:
        """Refuse what would make another model of the base than the adapters' tensors do."""
        for name, value in self.fields.items():
            last = name.rpartition(".")[2]
            if last == "peft_type" and value not in READ:
                raise self._refused(name, value, "expected LORA or LOKR")
            if last == "init_lora_weights" and str(value).lower().startswith(CHANGED):
                raise self._refused(name, value, "which changed the weights of the base as well")
            if last in ALTERING and value:
                raise self._refused(
                    name, value, "which more than the adapters' tensors is needed for"
                )
            if last == "use_dora" and value is True and "DoRA" not in kinds:
                raise self._refused(
                    name, value, "and no magnitude (lora_magnitude_vector) is there"
                )

    def _refused(self, name: str, value: Any, why: str) -> ModelError:
        return ModelError(
            f"{self.path} says {shown(name)} {shown(short(value))}, {why}; merge the adapters into "
            "their model where they were trained, and give the folder of that"
        )


def checked(alpha: Any, rank: Any, layer: str, path: Path) -> float:
    """Alpha over the rank; raises ModelError for numbers that make no sense."""
    known = all(isinstance(one, int | float) and not isinstance(one, bool) for one in (alpha, rank))
    if not known or not 0 < rank <= RANK or not 0 < alpha <= FACTOR * rank:
        raise ModelError(
            f"{path} gives the adapter of {shown(layer)} rank {rank} and lora_alpha "
            f"{short(alpha)}, expected a rank up to {RANK} and a number above 0 up to {FACTOR:g} "
            "times that: with a scale of 0 they change nothing; copy them again, or correct it"
        )
    return float(alpha) / float(rank)


def said_of(path: Path) -> Said:
    """What the metadata of a file say, else what lies beside it; raises ModelError."""
    with safe_open(path, framework="pt") as file:
        metadata = file.metadata() or {}
    if METADATA in metadata:
        with refusing(ModelError, f"the metadata of {path} cannot be read"):
            said = parse_json(metadata[METADATA].encode())
        if not isinstance(said, dict):
            raise ModelError(f"the metadata of {path} hold no object; copy it again")
        return Said(path, said)
    beside = path.with_name(OF_PEFT)
    return Said(beside, read_json(beside)) if beside.is_file() else Said(path)
