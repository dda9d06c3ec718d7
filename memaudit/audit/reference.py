"""A reference model: it reconstructs the same corrupted images, and the score is the difference.

A reference that saw controls but not members makes any model look like a memorizer, and one that
saw members hides what the model memorized. So what it was trained on is asked, and left out of both
sides.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from os.path import realpath

from memaudit.attacks.copies import Copies, open_copies
from memaudit.audit.models import open_model
from memaudit.audit.pool import Pool
from memaudit.audit.reading import CHECKED, judge_reading
from memaudit.audit.spec import BenchSpec
from memaudit.config import (
    CLOSED_FORM,
    NO_COPIES,
    UNRELATED,
    AttackConfig,
    DataConfig,
    ModelConfig,
)
from memaudit.data import decode, image_id, open_source
from memaudit.errors import (
    ConfigError,
    DataError,
    MisreadModelError,
    ModelError,
    UnreadableImageError,
)
from memaudit.models.ambient import DOUBLE_TWEEDIE
from memaudit.models.denoiser import Denoiser
from memaudit.models.loaded import Loaded
from memaudit.models.self_check import SelfCheck
from memaudit.progress import Progress
from memaudit.records import Split
from memaudit.run.record import ReferenceRecord
from memaudit.statistics.conduct import ReferenceUse

SEEN = "the reference model saw its duplicate group"


def open_reference(spec: BenchSpec, loaded: Loaded) -> Loaded | None:
    """Load the reference model, if one is asked for.

    Raises ConfigError if it was trained on the controls by its path or is the model under audit,
    ModelError if it cannot be opened or makes images of another size.
    """
    name = spec.attack.reference
    if name is None:
        return None
    _refuse_controls(spec)
    exact = name.startswith(CLOSED_FORM)  # has no size of its own
    sides = loaded.denoiser.resolution if exact else spec.target.resolution
    target = ModelConfig(spec=name, resolution=sides, dtype=spec.target.dtype)
    try:
        reference = open_model(target, replace(spec.data, split=None), spec.execution)
    except ModelError as error:
        raise type(error)(f"--reference {name}: {error}") from error
    _refuse_itself(name, loaded, reference)
    if reference.denoiser.shape != loaded.denoiser.shape:
        raise ModelError(
            f"the reference {name} makes images of {_size(reference.denoiser)}, the "
            f"model under audit of {_size(loaded.denoiser)}; both must be of one size"
        )
    return reference


def _refuse_itself(name: str, loaded: Loaded, reference: Loaded) -> None:
    weights = reference.provenance.digest
    if weights and weights == loaded.provenance.digest:
        raise ConfigError(
            f"the reference {name} is the model under audit itself, and every "
            "difference would be 0; give another model"
        )


def _refuse_controls(spec: BenchSpec) -> None:
    controls = spec.data.controls
    for path in _trained_on(spec.attack):
        if controls is not None and realpath(path) == realpath(controls):
            raise ConfigError(
                f"the reference {spec.attack.reference} was trained on the controls ({path}), so "
                "it brings them back better than the members and makes any model look like a "
                "memorizer; give a reference that saw neither, or other controls"
            )


@dataclass(frozen=True, eq=False)
class Checked:
    """A reference, and the pool without what it saw."""

    record: ReferenceRecord
    pool: Pool


def check_reference(
    spec: BenchSpec, reference: Loaded | None, pool: Pool, progress: Progress
) -> Checked | None:
    """Leave out of both sides what it saw, and check how it is read, as the model under audit is.

    Raises ConfigError or MisreadModelError if it is no reference for this scan.
    """
    if reference is None:
        return None
    attack = spec.attack
    ids = {name for path in _trained_on(attack) for name in _ids(spec.data, path, progress)}
    use = _use(attack, pool, ids)
    record = ReferenceRecord(reference.provenance, use, _reading(spec, reference, pool))
    return Checked(record, pool.leaving_out(ids, SEEN))


def _reading(spec: BenchSpec, reference: Loaded, pool: Pool) -> SelfCheck | None:
    attack, execution = spec.attack, spec.execution
    if not execution.self_check:
        return None
    examples = pool.candidates.smallest_ids(CHECKED)
    try:
        copies = _copies(attack, reference)
        judged = judge_reading(reference, copies, examples, attack.seed, execution.batch_size)
        return None if judged is None else judged.passed
    except (MisreadModelError, DataError) as error:
        raise type(error)(f"the reference {spec.attack.reference}: {error}") from error


def _copies(attack: AttackConfig, reference: Loaded) -> Copies | None:
    """The noisy copies beside a reference that was trained to find them."""
    ambient = reference.ambient
    if attack.noisy_copies == NO_COPIES or ambient is None or ambient.loss not in DOUBLE_TWEEDIE:
        return None
    return open_copies(None, reference)


def _use(attack: AttackConfig, pool: Pool, ids: set[str]) -> ReferenceUse:
    """How much of either side the reference saw; refuse one that saw all of a side."""
    members, controls = (_share(pool, side, ids) for side in ("member", "control"))
    for side in (members, controls):
        if side.groups and side.seen == side.groups:
            raise ConfigError(
                f"the reference {attack.reference} was trained on {members.seen} of "
                f"{members.groups} members and {controls.seen} of {controls.groups} controls: it "
                "brings back better what it saw, so those are left out, and a side is then "
                "empty. Give a reference that saw neither side"
            )
    return ReferenceUse(
        model=str(attack.reference),
        trained_on=str(attack.reference_trained_on),
        images=len(ids),
        members=members.seen,
        controls=controls.seen,
    )


@dataclass(frozen=True)
class _Share:
    """Duplicate groups of a side that the reference saw an image of, and all."""

    seen: int
    groups: int


def _trained_on(config: AttackConfig) -> list[str]:
    """The paths of images that the reference is known to have seen."""
    reference, said = config.reference or "", config.reference_trained_on
    paths = [reference.removeprefix(CLOSED_FORM)] if reference.startswith(CLOSED_FORM) else []
    if said is not None and said not in (UNRELATED, *paths):
        paths.append(said)
    return paths


def _ids(data: DataConfig, path: str, progress: Progress) -> set[str]:
    source = open_source(
        path,
        image_column=data.image_column,
        caption_column=data.caption_column,
        split=None,
    )
    entries, ids = source.entries(), set()
    for number, entry in enumerate(entries, start=1):
        try:
            ids.add(image_id(decode(source.read(entry), data.alpha).image))
        except UnreadableImageError:
            continue
        finally:
            progress("reference", number, len(entries))
    return ids


def _share(pool: Pool, side: Split, ids: set[str]) -> _Share:
    table = pool.table
    seen = set(table.loc[table["example_id"].isin(list(ids)), "group"])
    groups = set(table.loc[table["representative"] & (table["split"] == side), "group"])
    return _Share(len(seen & groups), len(groups))


def _size(denoiser: Denoiser) -> str:
    return "x".join(map(str, denoiser.shape))
