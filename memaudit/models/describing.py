"""Say what a loaded model is, from what it is made of and what its family says of it."""

from __future__ import annotations

import math
from collections.abc import Mapping

from memaudit.errors import ConfigError
from memaudit.models.ambient import NOISY, PARTS
from memaudit.models.denoiser import Denoiser, Inpaints, in_pixels
from memaudit.models.inspection import (
    FORMAT,
    Adapters,
    Conditioned,
    Curve,
    Inspection,
    NoiseRange,
    NoisyTraining,
    PartRecord,
    Prediction,
    Space,
    WeightFile,
)
from memaudit.models.loaded import Loaded
from memaudit.models.provenance import Provenance

POINTS = 201  # of a schedule, at most


def describe(loaded: Loaded) -> Inspection:
    """Describe any model; what only its folder or its answers tell is not filled in."""
    denoiser, said = loaded.denoiser, loaded.provenance
    parts = _parts(said)
    class_name = said.details.get("class")
    return Inspection(
        format=FORMAT,
        model=said.model,
        revision=said.revision,
        family=said.family or None,
        class_name=None if class_name is None else str(class_name),
        reading=said.reading,
        prediction=_prediction(denoiser, said.reading),
        noise=_noise(denoiser, said),
        space=_space(denoiser),
        conditioning=_told(denoiser, said),
        parameters=said.parameters,
        dtype=said.dtype,
        device=str(denoiser.device),
        bytes=sum(part.bytes for part in parts) if parts else None,
        digest=said.digest or None,
        parts=parts,
        weights=_weights(said),
        adapters=_adapters(said),
        noisy_training=_training(loaded),
        memorized=said.memorized,
    )


def _prediction(denoiser: Denoiser, reading: Mapping[str, str]) -> Prediction:
    sign = _told_by_parameterization(denoiser, "sign")
    return Prediction(
        type=reading.get("prediction_type"),
        sign=None if sign is None else int(math.copysign(1, sign)),
        estimate=denoiser.estimate,
    )


def _told_by_parameterization(denoiser: Denoiser, name: str) -> float | None:
    """A number that what understands the network's answer may tell; None where it does not."""
    value = getattr(getattr(denoiser, "parameterization", None), name, None)
    return value if isinstance(value, int | float) else None


def _noise(denoiser: Denoiser, said: Provenance) -> NoiseRange:
    low, high = denoiser.sigma_min, denoiser.sigma_max
    steps = int(_told_by_parameterization(denoiser, "steps") or 0)
    ends_in_noise = bool(_told_by_parameterization(denoiser, "ends_in_noise"))
    scheduler = said.details.get("scheduler")
    first = int(_told_by_parameterization(denoiser, "first_step") or 0)
    curve = _curve(denoiser, steps, first) if steps > first else None
    return NoiseRange(
        schedule=said.reading.get("schedule"),
        assumed=isinstance(scheduler, Mapping) and bool(scheduler.get("assumed")),
        steps=None if curve is None else steps + ends_in_noise,
        ends_in_noise=ends_in_noise,
        sigma_min=low,
        sigma_max=high,
        log_snr_min=log_snr(high),
        log_snr_max=log_snr(low),
        curve=curve,
    )


def log_snr(sigma: float) -> float | None:
    """-2 ln sigma; None where it is not finite."""
    return -2 * math.log(sigma) if 0 < sigma < math.inf else None


def _curve(denoiser: Denoiser, steps: int, first: int) -> Curve | None:
    """The noise at steps from the first to the last; None if they are no steps of a training."""
    points = min(POINTS, steps - first)
    width = (steps - 1 - first) / max(1, points - 1)
    chosen = sorted({first + round(k * width) for k in range(points)})
    try:
        return Curve(tuple(chosen), tuple(map(denoiser.sigma_of_timestep, chosen)))
    except ConfigError:
        return None


def _space(denoiser: Denoiser) -> Space:
    codec = denoiser.codec
    return Space(
        kind="pixels" if in_pixels(denoiser) else "latents",
        shape=denoiser.shape,
        resolution=denoiser.resolution,
        scaling_factor=getattr(codec, "scaling_factor", None),
        shift_factor=getattr(codec, "shift_factor", None),
    )


def _told(denoiser: Denoiser, said: Provenance) -> Conditioned:
    encoders = (name for name, part in said.parts.items() if part.role == "text encoder")
    return Conditioned(
        kind=denoiser.conditioning,
        text_encoders=tuple(sorted(encoders)),
        inpainting=isinstance(denoiser, Inpaints),
        mask=said.mask,
    )


def _parts(said: Provenance) -> tuple[PartRecord, ...]:
    return tuple(
        PartRecord(
            name=name,
            role=part.role,
            class_name=part.class_name,
            parameters=part.parameters,
            dtype=part.dtype,
            bytes=sum(part.bytes.values()),
        )
        for name, part in said.parts.items()
    )


def _weights(said: Provenance) -> tuple[WeightFile, ...]:
    of_part = {file: name for name, part in said.parts.items() for file in part.bytes}
    sizes = {file: size for part in said.parts.values() for file, size in part.bytes.items()}
    return tuple(
        WeightFile(file, of_part.get(file), sizes.get(file), sha256)
        for file, sha256 in {**said.weights, **said.adapters}.items()
    )


def _adapters(said: Provenance) -> Adapters | None:
    return Adapters(said.base, tuple(said.adapters)) if said.adapters else None


def _training(loaded: Loaded) -> NoisyTraining | None:
    if loaded.ambient is None:
        return None
    beside = loaded.folder is not None and any((loaded.folder / NOISY).glob(PARTS))
    return NoisyTraining(**loaded.ambient.content(), copies=beside)
