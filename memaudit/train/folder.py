"""The folder of a training: whose it is, said before the first step."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path

from memaudit.config import TrainConfig, digest
from memaudit.data import TRANSPARENT
from memaudit.errors import RunDirectoryError
from memaudit.files import write_json
from memaudit.foreign import read_json, refusing
from memaudit.models import ambient
from memaudit.run.store import RUN
from memaudit.train.corrupted import MASKS
from memaudit.train.images import TrainingImages

RECORD = "training.json"
CHECKPOINTS = "checkpoints"
SIGNS = (ambient.RECORD, CHECKPOINTS, "model_index.json")  # that memaudit trained here


def key_of(config: TrainConfig, images: TrainingImages) -> str:
    """Digest of the arguments, the images and, where the network is told them, the captions."""
    told = images.prompts if config.base else []
    return digest([config.digest, images.ids, told])


def check(out: Path, key: str) -> bool:
    """Whether a training of this key was begun here before.

    Raises RunDirectoryError if another one was, or if evidence lies here that no training left.
    """
    path = out / RECORD
    if (out / RUN).is_file():
        raise RunDirectoryError(
            f"{out} holds the run of a scan, not a training; give another --out"
        )
    if not path.is_file():
        foreign = _evidence(out) if not any((out / name).exists() for name in SIGNS) else []
        if foreign:
            raise RunDirectoryError(
                f"{foreign[0].parent} holds noisy copies or masks of no training in {out}; give "
                "another --out"
            )
        return False
    what = f"{path} is no record of a training that can be read; give another --out. What is wrong"
    with refusing(RunDirectoryError, what):
        found = read_json(path)["digest"]
    if found != key:
        raise other_training(out)
    return True


def begin(out: Path, key: str, config: TrainConfig, images: TrainingImages) -> None:
    """Say whose the folder is, after what an earlier training left in it as evidence is gone."""
    for path in (*_evidence(out), out / ambient.RECORD):  # the sign of an earlier one goes last
        path.unlink(missing_ok=True)
    content = {
        "digest": key,
        "images": len(images),
        "captions": sum(prompt != "" for prompt in images.prompts),
        "changed": images.changed,
        "unreadable": [{"source": source, "error": said} for source, said in images.unreadable],
        "asked": asdict(config),
    }
    out.mkdir(parents=True, exist_ok=True)
    write_json(out / RECORD, content)


def _evidence(out: Path) -> list[Path]:
    return [
        path for name in (ambient.NOISY, MASKS) for path in sorted((out / name).glob(ambient.PARTS))
    ]


def seen(out: Path) -> str:
    """What a training saw, in words: images, those not read, captions, and what was changed."""
    content = read_json(out / RECORD)
    images, lost, captions = content["images"], content["unreadable"], content.get("captions", 0)
    said = [f"{images} images"]
    if lost:
        said.append(f"{len(lost)} could not be read, see {RECORD} there")
    if content["asked"]["base"]:
        said.append(f"captions of {captions}")
        if captions < images:
            said.append(f"{images - captions} were shown with an empty one")
    for what, count in content.get("changed", {}).items():
        how = f" (--alpha {content['asked']['data']['alpha']})" if what == TRANSPARENT else ""
        said.append(f"{count} images {what}{how}")
    return "; ".join(said)


def other_training(out: Path) -> RunDirectoryError:
    """That a folder belongs to something else."""
    return RunDirectoryError(
        f"{out} holds the training of other arguments or other images, or of another version of "
        "memaudit; give another --out, or what it was started with"
    )
