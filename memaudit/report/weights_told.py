"""What is said of a model that holds EMA weights beside raw ones."""

from __future__ import annotations

from collections.abc import Iterator

from memaudit.models.provenance import Choice, Kind, Provenance, Why
from memaudit.run.record import Record

NAMES: dict[Kind | None, str] = {
    "ema": "EMA weights",
    "raw": "raw weights",
    None: "weights of a kind that nothing says",
}
WHY: dict[Why, str] = {
    "asked": "as asked for",
    "default": "which models are sampled with",
    "named": "which MODEL or --variant names",
    "plain": "which a base for adapters is loaded with",
}
OTHER: dict[Kind | None, str] = {"ema": "--weights raw", "raw": "--weights ema"}


def weights_told(record: Record) -> list[str]:
    """Which weights were used of each part that has both, of the model and of its reference."""
    return [text for _, text in _told(record)]


def weights_remarks(record: Record) -> Iterator[str]:
    """The same as remarks, of those that were not asked for."""
    for choice, text in _told(record):
        if choice.why != "asked":
            other = OTHER.get(choice.used, "--weights ema or raw")
            yield f"{text}; {other} asks for the other weights"


def _told(record: Record) -> Iterator[tuple[Choice, str]]:
    reference = record.prepared.reference
    models: list[tuple[str, Provenance]] = [("", record.prepared.model)]
    if reference is not None:
        models.append(("of the reference: ", reference.model))
    for whose, provenance in models:
        for choice in provenance.choices:
            yield (
                choice,
                f"{whose}{NAMES[choice.used]} of the {choice.part} ({choice.place}), "
                f"{WHY[choice.why]}; beside them lie {', '.join(choice.beside)}",
            )
