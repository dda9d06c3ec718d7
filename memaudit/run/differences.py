"""How what is asked of a run directory differs from what it holds, in the words of its options."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

from memaudit.config import ScanConfig
from memaudit.config.fields import Option, places

type Place = tuple[str, ...]

DIGEST = re.compile(r"[0-9a-f]{64}")  # says nothing to people
NAMES = {
    "fingerprint": "the data",
    "clusters": "the clusters",
    "copies": "the noisy copies",
    "boxes": "the boxes",
    "embedder_digest": "the embedder's weights",
}


def differences(earlier: Any, now: Any) -> Iterator[str]:
    """Name each thing that was asked otherwise, by its option where it has one."""
    return _differences(earlier, now, (), dict(places(ScanConfig)))


def _differences(earlier: Any, now: Any, at: Place, options: dict[Place, Option]) -> Iterator[str]:
    if isinstance(earlier, dict) and isinstance(now, dict):
        for key in sorted(earlier.keys() | now.keys()):
            if earlier.get(key) != now.get(key):
                yield from _differences(earlier.get(key), now.get(key), (*at, key), options)
    elif at in options:
        yield _told(options[at], earlier, now)
    elif DIGEST.fullmatch(str(now)):
        yield f"{NAMES.get(at[-1], at[-1])} changed"
    else:
        yield f"{at[-1]} was {_value(earlier)}, now {_value(now)}"


def _told(option: Option, earlier: Any, now: Any) -> str:
    """How an option was given, and how it is given now."""
    no = option.about.opposite
    if no:
        was, is_ = ((f"--{no}", option.flag)[bool(value)] for value in (earlier, now))
        return f"the scan was {was}, now {is_}"
    if option.about.hidden:
        name = option.name
    else:
        name = option.name.upper() if option.required else option.flag
    return f"{name} was {_value(earlier)}, now {_value(now)}"


def _value(value: Any) -> str:
    """A value as people type it."""
    if value is None or value == []:
        return "not given"
    return ",".join(map(str, value)) if isinstance(value, list) else str(value)
