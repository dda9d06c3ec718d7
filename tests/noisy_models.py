"""Models of noisy copies whose answers are known, as a scan opens them."""

from pathlib import Path

import numpy as np
import torch
from safetensors.torch import save_file

from memaudit.corruption.noise import frozen_noise
from memaudit.data import image_id
from memaudit.models.ambient import Ambient
from memaudit.models.closed_form import AmbientClosedForm, ClosedForm
from memaudit.models.codec import encode_pixels
from memaudit.models.loaded import Loaded
from memaudit.models.provenance import Provenance

SIGMA_N = 0.5
TRAINING = Ambient("ambient", SIGMA_N, 0)


def clean(images):
    """[N, 3, H, W] in [-1, 1]."""
    return encode_pixels(torch.from_numpy(np.stack(images)).permute(0, 3, 1, 2), 3)


def noisy(images, training=TRAINING):
    """The noisy copies that a training makes of images."""
    x0, ids = clean(images), [image_id(image) for image in images]
    return x0 + training.sigma_n * frozen_noise(ids, x0.shape[1:], training.sigma_n, training.seed)


def write(folder: Path, images, copies=None, parts=2) -> Path:
    """Write the noisy copies of images as a training does, into noisy/ of a model's folder."""
    copies = noisy(images) if copies is None else copies
    (folder / "noisy").mkdir(parents=True)
    rows = dict(zip((image_id(image) for image in images), copies, strict=True))
    for k in range(parts):
        part = {name: rows[name].contiguous().clone() for name in list(rows)[k::parts]}
        save_file(part, folder / "noisy" / f"part-{k:05d}.safetensors")
    return folder


def memorizer(images, folder: Path | None = None, training=TRAINING) -> Loaded:
    """The perfect memorizer of the noisy copies of images, opened from a folder."""
    below = ClosedForm(clean(images)) if training.lowest is None else None
    model = AmbientClosedForm(noisy(images, training), training=training, below=below)
    return Loaded(model, Provenance(model="memorizer of copies"), training, folder)


def unaware(images, folder: Path | None = None) -> Loaded:
    """A model of other images that says it is a model of noisy data."""
    return Loaded(ClosedForm(clean(images)), Provenance(model="of other images"), TRAINING, folder)
