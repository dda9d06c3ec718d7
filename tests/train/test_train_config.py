from dataclasses import replace
from typing import Any

import pytest

from memaudit.config import DataOptions, TrainConfig
from memaudit.errors import ConfigError

CONFIG = TrainConfig(dataset="images", out="model")


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"loss": "dirty"}, "--loss must be one of clean, ambient"),
        ({"loss": "ambient"}, "--loss ambient takes --sigma-n above 0, found None"),
        ({"loss": "ambient-mixed", "sigma_n": 0.0}, "takes --sigma-n above 0, found 0.0"),
        ({"sigma_n": 0.5}, "leave it out, or give --loss ambient"),
        ({"steps": 0}, "--steps must be 1 or more, found 0"),
        ({"batch_size": 0}, "--batch-size must be 1 or more"),
        ({"save_every": 0}, "--save-every must be 1 or more"),
        ({"layers": 0}, "--layers must be 1 or more"),
        ({"resolution": 30}, "--resolution 30 must be a multiple of 4"),
        ({"channels": ()}, "--channels"),
        ({"channels": (32, 60)}, "multiples of 8"),
        ({"ema": 1.0}, r"--ema must lie in \[0, 1\), found 1.0"),
    ],
)
def test_wrong_values_are_named(change: dict[str, Any], words: str) -> None:
    with pytest.raises(ConfigError, match=words):
        replace(CONFIG, **change)


@pytest.mark.parametrize("change", [{"out": "elsewhere"}, {"save_every": 7}])
def test_digest_ignores_what_does_not_change_the_weights(change: dict[str, Any]) -> None:
    assert replace(CONFIG, **change).digest == CONFIG.digest


@pytest.mark.parametrize(
    "change",
    [{"seed": 1}, {"lr": 2e-3}, {"steps": 5}, {"flip": True}, {"data": DataOptions(sample=3)}],
)
def test_digest_changes_with_what_changes_the_weights(change: dict[str, Any]) -> None:
    assert replace(CONFIG, **change).digest != CONFIG.digest
