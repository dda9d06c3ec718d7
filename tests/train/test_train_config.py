from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from memaudit.config import Base, Consistency, DataOptions, Mask, TrainConfig
from memaudit.config.fields import build
from memaudit.errors import ConfigError

CONFIG = TrainConfig(dataset="images", out="model")
MASK, FURTHER = Mask("pixels"), Mask("pixels", further=0.2)
AMBIENT = {"loss": "ambient", "sigma_n": 0.5}


def of_options(**options: Any) -> TrainConfig:
    """Make a configuration of what the command line gives."""
    made = build(TrainConfig, {"dataset": "images", "out": "model", **options})
    assert isinstance(made, TrainConfig)
    return made


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"loss": "dirty"}, "--loss must be one of clean, ambient"),
        ({"loss": "ambient"}, "--loss ambient takes --sigma-n or --timestep-n"),
        ({"loss": "ambient-mixed", "sigma_n": 0.0}, "--sigma-n must be above 0, found 0.0"),
        ({"sigma_n": 0.5}, "leave it out, or give --loss ambient"),
        ({"loss": "ambient-mask"}, "takes --mask pixels or --mask boxes"),
        ({"loss": "ambient-mask", "mask": MASK, "sigma_n": 1.0}, "--sigma-n .* leave it out"),
        ({"mask": MASK}, "--mask hides .* leave it out, or give --loss ambient-mask"),
        ({"loss": "gsure", "sigma_n": 1.0, "mask": FURTHER}, "gsure hides nothing on top"),
        ({"loss": "sure", "sigma_n": 1.0, "mask": MASK}, "from ambient-mask and gsure"),
        ({"loss": "sure", "sigma_n": 1.0, "precision": "bfloat16"}, "leave out --precision"),
        ({"consistency": Consistency(1.0)}, "--loss clean has no use for it"),
        ({**AMBIENT, "consistency": Consistency(1.0, start=9000)}, "never reached in --steps 4000"),
        ({"precision": "int8"}, "--precision must be one of float32, bfloat16"),
        ({"sample_every": -1}, "--sample-every must be 0 or more"),
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


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda: Mask("circles"), "--mask must be one of pixels, boxes"),
        (lambda: Mask("pixels", share=1.0), "--mask-share must lie between 0 and 1"),
        (lambda: Mask("pixels", further=0.0), "--mask-further must lie between 0 and 1"),
        (lambda: Mask("boxes", share=0.3), "at most 0.25, found 0.3"),
        (lambda: Mask("boxes", further=0.1), "leave out --mask-further"),
        (
            lambda: of_options(mask_share=0.2),
            "^--mask-share and --mask-further belong to --mask; leave them out, or give --mask "
            "pixels or boxes$",
        ),
        (
            lambda: of_options(variant="fp16"),
            "^--rank, --revision and --variant belong to --base-model; leave them out, or give the "
            "pipeline to be fine-tuned$",
        ),
        (lambda: Consistency(-1.0), "--consistency-weight must be 0 or more"),
        (lambda: Consistency(float("inf")), "--consistency-weight must be finite"),
        (lambda: Consistency(1.0, samples=1), "--consistency-samples must be 2 or more"),
        (lambda: Consistency(start=5), "give --consistency-weight"),
    ],
)
def test_wrong_masks_and_terms_are_named(make: Callable[[], object], words: str) -> None:
    with pytest.raises(ConfigError, match=words):
        make()


def test_masks_and_bases_are_made_if_asked_for() -> None:
    assert of_options() == CONFIG
    assert of_options(mask=None, mask_share=None, base_model=None, rank=None) == CONFIG
    masked = of_options(loss="ambient-mask", mask="pixels", mask_further=None)
    assert masked.mask == Mask("pixels", 0.2)
    assert of_options(base_model="org/name", variant="fp16").base == Base(
        "org/name", 4, None, "fp16"
    )


def test_the_defaults_of_a_mask_are_filled_in() -> None:
    assert Mask("pixels").hidden_on_top == 0.1
    assert Mask("boxes", 0.15).hidden_on_top == 0.15


@pytest.mark.parametrize(
    "change",
    [
        {"out": "a"},
        {"save_every": 7},
        {"sample_every": 5},
        {"gradient_checkpointing": True},
        {"device": "cpu"},
    ],
)
def test_digest_ignores_what_does_not_change_the_weights(change: dict[str, Any]) -> None:
    assert replace(CONFIG, **change).digest == CONFIG.digest


@pytest.mark.parametrize(
    "change",
    [
        {"seed": 1},
        {"lr": 2e-3},
        {"steps": 5},
        {"flip": True},
        {"data": DataOptions(sample=3)},
        {"precision": "bfloat16"},
        {"loss": "ambient-mask", "mask": MASK},
    ],
)
def test_digest_changes_with_what_changes_the_weights(change: dict[str, Any]) -> None:
    assert replace(CONFIG, **change).digest != CONFIG.digest


@pytest.mark.parametrize(
    ("change", "digest"),
    [
        ({}, "5d137e8e8d359f88120d9585490433d3a8ddc727d026d4b3aed8e02054d5fa18"),
        (
            {
                "loss": "ambient-mask",
                "mask": Mask("boxes", 0.15),
                "channels": (32, 64),
                "data": DataOptions(sample=3, split="train"),
                "seed": 3,
                "flip": True,
            },
            "dd7852ea20f0ddecb644e5a4715fdab440c403e3f3f5827150086a18ee4ce7c4",
        ),
        (
            {
                "loss": "ambient",
                "timestep_n": 100,
                "base": Base("org/name", rank=8, variant="fp16"),
                "precision": "bfloat16",
                "steps": 50,
            },
            "aaa6123b6198514ec4d857d635eb5f37ebaa5164791f63412675c5f8c2c6b8e1",
        ),
        (
            {**AMBIENT, "consistency": Consistency(1.0, start=3), "resolution": 64},
            "700c9ab098fd4dec25d26df88b1d0294fb6511bf94026a020ff466073110b071",
        ),
    ],
)
def test_trainings_that_were_begun_are_found_by_their_digest(
    change: dict[str, Any], digest: str
) -> None:
    assert replace(CONFIG, **change).digest == digest
