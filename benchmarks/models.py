"""Models whose memorized images are known: members repeated 1 to 64 times, others never seen.

    make benchmark-models        (that is: python benchmarks/models.py)

Two kinds of images, two models each: choices are made on the first, results reported on the
second, and on others of the same images that were stopped early (`photos-report-1000`). Nothing is
chosen on the third kind, `clothes`. A training interrupted is continued. Budget: 4,000 steps of
batch 16 a model, about 35 to 40 minutes each on one core; early ones a quarter and half of it.
"""

from __future__ import annotations

import sys
from dataclasses import dataclass
from pathlib import Path

from kinds import DATA, images, write

from memaudit.cli.progress import bars
from memaudit.config import TrainConfig
from memaudit.records import Image
from memaudit.train.loop import train

MODELS = Path(__file__).parent / "models"
KINDS = ("photos", "icons")
ROLES = ("choice", "report")  # "report-1000": stopped after 1,000 steps
REPEATS = {1: 24, 2: 16, 4: 12, 8: 8, 16: 8, 64: 6}  # how often: how many images
MEMBERS = sum(REPEATS.values())
STEPS = 4000


@dataclass(frozen=True)
class Truth:
    """What a model was trained on: members by number of repeats, and images it never saw."""

    members: dict[int, list[Image]]
    never: list[Image]


def truth(kind: str, role: str) -> Truth:
    """Split the images of a kind for one of its models; the members of both are disjoint."""
    everything = list(images(kind))
    start = ROLES.index(role.partition("-")[0]) * MEMBERS
    members, taken = {}, start
    for repeats, count in REPEATS.items():
        members[repeats] = everything[taken : taken + count]
        taken += count
    return Truth(members, everything[:start] + everything[taken:])


def train_one(kind: str, role: str) -> Path:
    """Train a model, or find it trained."""
    purpose, _, steps = role.partition("-")
    folder = DATA / "training" / f"{kind}-{purpose}"
    for repeats, pictures in truth(kind, role).members.items():
        write(folder, pictures, repeats)
    out = MODELS / f"{kind}-{role}"
    if not (out / "model_index.json").is_file():
        with bars() as progress:
            config = TrainConfig(dataset=str(folder), out=str(out), steps=int(steps or STEPS))
            train(config, progress)
    return out


def main() -> int:
    wanted = sys.argv[1:] or [f"{kind}-{role}" for role in ROLES for kind in KINDS]
    for name in wanted:
        kind, role = name.split("-", 1)
        print(train_one(kind, role))
    return 0


if __name__ == "__main__":
    sys.exit(main())
