"""The noisy copies that a model was trained on: found beside it, and drawn for other images."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor

from memaudit.config import BESIDE, NO_COPIES, digest
from memaudit.corruption.noise import frozen_noise
from memaudit.errors import ConfigError, DataError
from memaudit.models.ambient import DOUBLE_TWEEDIE, NOISY, PARTS, Ambient
from memaudit.models.denoiser import Denoiser
from memaudit.models.loaded import Loaded
from memaudit.models.self_check import Frozen
from memaudit.models.weights import sha256_file

ABOVE = 1.001  # times sigma_n: at sigma_n itself the scan's noise may be the frozen noise


@dataclass(frozen=True, eq=False)
class Copies:
    """Noisy copies x0 + sigma_n z, [C, H, W] in model space, of the images with an id in `places`.

    Those are what the model was trained on. Other images get copies by the same law: z is the
    function of (seed, image) by which `memaudit train` drew it. `by_law`: the copies that are there
    were found to be of that law, too; all are then drawn on the scan's own pixels, so that not even
    rounding, or another device, tells the copies of members from those of controls.
    """

    training: Ambient
    folder: Path
    places: dict[str, Path]
    digest: str
    by_law: bool = False

    def of(self, ids: list[str], x0: Tensor) -> Tensor:
        """The copies of images with these ids, clean in x0 [N, C, H, W]; raises DataError."""
        drawn = x0 + self.training.sigma_n * self.frozen(ids, x0)
        if self.by_law:
            return drawn
        kept = [self.stored(name).to(x0) if name in self.places else None for name in ids]
        return torch.stack([d if k is None else k for k, d in zip(kept, drawn, strict=True)])

    def frozen(self, ids: list[str], x0: Tensor) -> Tensor:
        """The noise z that `memaudit train` draws for images with these ids, [N, C, H, W]."""
        training = self.training
        return frozen_noise(ids, tuple(x0.shape[1:]), training.sigma_n, training.seed).to(x0)

    def of_others(self, ids: list[str]) -> Tensor | None:
        """As many copies as there are ids, of other images, [K, C, H, W]; None without; DataError.

        Fewer if there are fewer; those with the smallest ids.
        """
        others = sorted(self.places.keys() - set(ids))[: len(ids)]
        return torch.stack([self.stored(name) for name in others]) if others else None

    def fresh(self, ids: list[str], x0: Tensor) -> Tensor:
        """Noise of the same law that no model was trained on, [N, C, H, W]."""
        shape, training = tuple(x0.shape[1:]), self.training
        return frozen_noise(ids, shape, training.sigma_n, training.seed, draw=1).to(x0)

    @property
    def lowest(self) -> float:
        """Noise above which a copy can be corrupted further."""
        return ABOVE * self.training.sigma_n

    def stored(self, name: str) -> Tensor:
        """The copy of an image in `places` as it is kept, [C, H, W]; raises DataError."""
        path = self.places[name]
        try:
            with safe_open(path, framework="pt") as file:
                copy: Tensor = file.get_tensor(name)
        except (SafetensorError, OSError) as error:
            raise _damaged(path, error) from error
        if not bool(copy.isfinite().all()):
            raise DataError(
                f"the noisy copy of {name[:12]} in {path} is not finite; copy the file again"
            )
        return copy


def frozen_in(loaded: Loaded, copies: Copies | None, ids: list[str]) -> Frozen | None:
    """The noise in which a model of noisy copies saw images, or would have seen them."""
    training = loaded.ambient
    if training is None or training.loss not in DOUBLE_TWEEDIE:
        return None
    z = frozen_noise(ids, loaded.denoiser.shape, training.sigma_n, training.seed)
    seen = None if copies is None else copies.of_others(ids)
    return Frozen(training.sigma_n, z, seen, clean_below=training.loss == "ambient-mixed")


def open_copies(asked: str | None, loaded: Loaded) -> Copies | None:
    """Find the noisy copies that are asked for (a folder), or that stand beside the model.

    Raises ConfigError for a model of clean or masked data, DataError for copies that are not there,
    damaged or of another size.
    """
    model, ambient = loaded.provenance.model or "the model", loaded.ambient
    if asked == NO_COPIES:
        return None
    if ambient is None or ambient.mask is not None:
        if asked is None:
            return None
        raise ConfigError(_no_use(model, masked=ambient is not None))
    folder = Path(asked) if asked not in (None, BESIDE) else _beside(model, loaded)
    parts = sorted(folder.glob(PARTS))
    if not parts and asked is None:
        return None
    if not parts:
        raise DataError(
            f"{folder} holds no noisy copies; expected {PARTS} as memaudit train writes them into "
            f"{NOISY}/ of a model. Give that folder, or --noisy-copies {NO_COPIES}"
        )
    places = {name: path for path in parts for name in _names(path, loaded.denoiser)}
    return Copies(ambient, folder, places, digest([sha256_file(path) for path in parts]))


def _no_use(model: str, *, masked: bool) -> str:
    if masked:
        return (
            f"{model} was trained on masked images, and a copy that is 0 where it was "
            f"hidden is no noisy copy; leave out --noisy-copies, or say {NO_COPIES}"
        )
    return (
        f"--noisy-copies is for models that were trained on noisy data, and {model} has "
        "no ambient.json that says so; leave it out"
    )


def _beside(model: str, loaded: Loaded) -> Path:
    if loaded.folder is None:
        raise DataError(
            f"{model} is no folder, so no noisy copies stand beside it; name theirs with "
            "--noisy-copies DIR"
        )
    return loaded.folder / NOISY


def _names(path: Path, denoiser: Denoiser) -> list[str]:
    """Ids in a file of copies; raises DataError if it is damaged or of another size."""
    try:
        with safe_open(path, framework="pt") as file:
            shapes = {name: tuple(file.get_slice(name).get_shape()) for name in file.keys()}  # noqa: SIM118
    except (SafetensorError, OSError) as error:
        raise _damaged(path, error) from error
    for shape in shapes.values():
        if shape != denoiser.shape:
            raise DataError(
                f"the noisy copies in {path} are {'x'.join(map(str, shape))}, expected "
                f"{'x'.join(map(str, denoiser.shape))} as the model makes images; give the copies "
                "that it was trained on"
            )
    return list(shapes)


def _damaged(path: Path, error: Exception) -> DataError:
    return DataError(
        f"{path} is not a whole .safetensors file of noisy copies ({error}); copy it again, or "
        "train again: the same command writes the same copies"
    )
