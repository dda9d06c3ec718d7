"""A reference model: it reconstructs the same corrupted images, and the score is the difference.

A reference that saw the controls but not the members makes any model look guilty, and one that saw
the members hides what the model memorized. So what it was trained on is asked, and compared.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass, replace
from os.path import realpath
from typing import Any

from memaudit.audit.copies import Copies, frozen_in, open_copies
from memaudit.audit.models import open_model
from memaudit.audit.pool import Pool, smallest_ids, stack
from memaudit.audit.shards import encode
from memaudit.config import CLOSED_FORM, NO_COPIES, UNRELATED, DataOptions, ScanConfig
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
from memaudit.models.self_check import SelfCheck, self_check
from memaudit.progress import Progress
from memaudit.records import Split
from memaudit.run.identity import weights_digest
from memaudit.statistics import ReferenceUse

CHECKED = 32  # images of the self-check
UNEQUAL = 0.02  # largest difference of the shares of members and of controls that it saw


@dataclass(frozen=True, eq=False)
class Twin:
    """A reference model that may be used: its check, and what it saw of either side."""

    loaded: Loaded
    use: ReferenceUse
    check: SelfCheck | None

    def provenance(self) -> dict[str, Any]:
        """What scan.json holds of it."""
        check = None if self.check is None else asdict(self.check)
        return {**self.loaded.provenance, "saw": asdict(self.use), "self_check": check}


def open_reference(config: ScanConfig, loaded: Loaded) -> Loaded | None:
    """Load the reference model, if one is asked for.

    Raises ConfigError if it was trained on the controls by its path or is the model under audit,
    ModelError if it cannot be opened or makes images of another size.
    """
    if config.reference is None:
        return None
    _refuse_controls(config)
    closed = config.reference.startswith(CLOSED_FORM)
    options = replace(
        config,
        model=config.reference,
        revision=None,
        variant=None,
        base_model=None,
        data=DataOptions(
            resize=config.data.resize,
            image_column=config.data.image_column,
            caption_column=config.data.caption_column,
        ),
        resolution=loaded.denoiser.resolution[0] if closed else config.resolution,
    )
    try:
        reference = open_model(options)
    except ModelError as error:
        raise type(error)(f"--reference {config.reference}: {error}") from error
    _refuse_itself(config, loaded, reference)
    if reference.denoiser.shape != loaded.denoiser.shape:
        raise ModelError(
            f"the reference {config.reference} makes images of {_size(reference.denoiser)}, the "
            f"model under audit of {_size(loaded.denoiser)}; both must be of one size"
        )
    return reference


def _refuse_itself(config: ScanConfig, loaded: Loaded, reference: Loaded) -> None:
    weights = weights_digest(reference.provenance)
    if weights and weights == weights_digest(loaded.provenance):
        raise ConfigError(
            f"the reference {config.reference} is the model under audit itself, and every "
            "difference would be 0; give another model"
        )


def _refuse_controls(config: ScanConfig) -> None:
    for path in _trained_on(config):
        if config.controls is not None and realpath(path) == realpath(config.controls):
            raise ConfigError(
                f"the reference {config.reference} was trained on the controls ({path}), so it "
                "brings them back better than the members and makes any model look guilty; give "
                "a reference that saw neither, or other controls"
            )


def check_reference(
    config: ScanConfig, reference: Loaded | None, pool: Pool, progress: Progress
) -> Twin | None:
    """Compare what it saw with both sides, and check how it is read, as the model under audit is.

    Raises ConfigError or MisreadModelError if it is no reference for this scan.
    """
    if reference is None:
        return None
    return Twin(reference, _training(config, pool, progress), _reading(config, reference, pool))


def _reading(config: ScanConfig, reference: Loaded, pool: Pool) -> SelfCheck | None:
    denoiser = reference.denoiser
    if not config.self_check or not any(True for _ in denoiser.misreadings()):
        return None
    examples = smallest_ids(pool, CHECKED)
    x0 = encode(denoiser, stack(examples))
    try:
        frozen = frozen_in(reference, _copies(config, reference), [one.id for one in examples])
        return self_check(denoiser, x0, config.seed, frozen, config.batch_size)
    except (MisreadModelError, DataError) as error:
        raise type(error)(f"the reference {config.reference}: {error}") from error


def _copies(config: ScanConfig, reference: Loaded) -> Copies | None:
    """The noisy copies beside a reference that was trained to find them."""
    ambient = reference.ambient
    if config.noisy_copies == NO_COPIES or ambient is None or ambient.loss not in DOUBLE_TWEEDIE:
        return None
    return open_copies(replace(config, noisy_copies=None), reference)


def _training(config: ScanConfig, pool: Pool, progress: Progress) -> ReferenceUse:
    """Refuse a reference unless it saw the same share of either side, within `UNEQUAL`."""
    ids = {name for path in _trained_on(config) for name in _ids(config, path, progress)}
    shares = {side: _share(pool, side, ids) for side in ("member", "control")}
    (members, of_members), (controls, of_controls) = shares.values()
    use = ReferenceUse(
        model=str(config.reference),
        trained_on=str(config.reference_trained_on),
        images=len(ids),
        members=members,
        controls=controls,
    )
    if of_members and of_controls:
        difference = abs(members / of_members - controls / of_controls)
        if difference > UNEQUAL:
            raise ConfigError(
                f"the reference {config.reference} was trained on {members} of {of_members} "
                f"members and {controls} of {of_controls} controls: it brings back better what it "
                "saw, and the difference would be its own. Give a reference that saw neither side, "
                "or both alike"
            )
    return use


def _trained_on(config: ScanConfig) -> list[str]:
    """The paths of images that the reference is known to have seen."""
    reference, said = config.reference or "", config.reference_trained_on
    paths = [reference.removeprefix(CLOSED_FORM)] if reference.startswith(CLOSED_FORM) else []
    if said is not None and said not in (UNRELATED, *paths):
        paths.append(said)
    return paths


def _ids(config: ScanConfig, path: str, progress: Progress) -> set[str]:
    source = open_source(
        path,
        image_column=config.data.image_column,
        caption_column=config.data.caption_column,
        split=None,
    )
    entries, ids = source.entries(), set()
    for number, entry in enumerate(entries, start=1):
        try:
            ids.add(image_id(decode(source.read(entry)).image))
        except UnreadableImageError:
            continue
        finally:
            progress("reference", number, len(entries))
    return ids


def _share(pool: Pool, side: Split, ids: set[str]) -> tuple[int, int]:
    """Duplicate groups of a side with an image among the ids, and all that lie on one side."""
    rows = pool.table[(pool.table["split"] == side) & ~pool.table["spans"]]
    seen = rows.loc[rows["example_id"].isin(list(ids)), "group"].nunique()
    return int(seen), int(rows["group"].nunique())


def _size(denoiser: Denoiser) -> str:
    return "x".join(map(str, denoiser.shape))
