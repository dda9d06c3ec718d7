"""How good are generated images? Distances between their embeddings and held-out images'."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from memaudit.records import Vectors

FEWEST = 20  # images on each side; of fewer, a number would say next to nothing
SUBSETS = 100  # random halves over which the kernel distance is averaged
LARGEST_SUBSET = 1000
NEIGHBOURHOOD = 3  # nearest neighbours that reach around an image


@dataclass(frozen=True)
class Quality:
    """Quality of `samples` generated images, as embedded, against held-out controls.

    `n` of each side are compared: the smaller side's count. `frechet` is the Frechet distance of
    Gaussians (Heusel et al. 2017, arXiv 1706.08500); it is biased upwards by an amount that depends
    on n, so only distances of one n may be compared, and with no more images than `dimensions` the
    bias is large. `kid` is the unbiased kernel distance (Binkowski et al. 2018, arXiv 1801.01401)
    with the kernel (cosine + 1)^3, mean and standard deviation over random subsets of `kid_subset`
    images. `precision` and `recall` are those of Kynkaanniemi et al. 2019 (arXiv 1904.06991).
    All are None, and `reason` says why, where they could not be computed.
    """

    samples: int
    n: int
    dimensions: int
    frechet: float | None = None
    kid: float | None = None
    kid_std: float | None = None
    kid_subset: int | None = None
    precision: float | None = None
    recall: float | None = None
    reason: str = ""
    sampler: str = ""
    steps: int = 0
    sigma_max: float | None = None  # the noise that sampling starts from
    sigma_min: float | None = None  # and the last one at which the model is asked


def measure_quality(generated: Vectors, controls: Vectors, seed: int = 0) -> Quality:
    """Compare the first n generated images with the first n controls; [N, D] and [M, D]."""
    n = min(len(generated), len(controls))
    quality = Quality(len(generated), n, generated.shape[1])
    if n < FEWEST:
        return replace(
            quality,
            reason=(
                f"found {len(generated)} generated images and {len(controls)} controls, expected "
                f"at least {FEWEST} of each; give a larger --generate, or more controls"
            ),
        )
    ours, theirs = _in_their_span(generated[:n], controls[:n])
    kid, deviation, subset = _kernel_distance(ours, theirs, seed)
    precision, recall = _precision_recall(ours, theirs)
    return replace(
        quality,
        frechet=frechet_distance(ours, theirs),
        kid=kid,
        kid_std=deviation,
        kid_subset=subset,
        precision=precision,
        recall=recall,
    )


def frechet_distance(one: Tensor, other: Tensor) -> float:
    """Squared Frechet distance of the Gaussians fitted to features [N, D] and [M, D], float64."""
    from torch_fidelity.metric_fid import (
        KEY_METRIC_FID,
        fid_features_to_statistics,
        fid_statistics_to_metric,
    )

    fitted = [fid_features_to_statistics(features) for features in (one, other)]
    distance = float(fid_statistics_to_metric(*fitted, verbose=False)[KEY_METRIC_FID])
    return max(0.0, distance)  # of equal samples, rounding leaves about -1e-14


def _kernel_distance(one: Tensor, other: Tensor, seed: int) -> tuple[float, float, int]:
    """-> mean and standard deviation over random subsets, and their size."""
    from torch_fidelity.metric_kid import (
        KEY_METRIC_KID_MEAN,
        KEY_METRIC_KID_STD,
        kid_features_to_metric,
    )

    size = min(LARGEST_SUBSET, len(one) // 2)
    found = kid_features_to_metric(
        one,
        other,
        kid_subsets=SUBSETS,
        kid_subset_size=size,
        kid_kernel_poly_gamma=1.0,  # vectors have unit length, not one a dimension
        rng_seed=seed,
        verbose=False,
    )
    return float(found[KEY_METRIC_KID_MEAN]), float(found[KEY_METRIC_KID_STD]), size


def _precision_recall(one: Tensor, other: Tensor) -> tuple[float, float]:
    from torch_fidelity.metric_prc import (
        KEY_METRIC_PRECISION,
        KEY_METRIC_RECALL,
        prc_features_to_metric,
    )

    found = prc_features_to_metric(one, other, prc_neighborhood=NEIGHBOURHOOD, verbose=False)
    return float(found[KEY_METRIC_PRECISION]), float(found[KEY_METRIC_RECALL])


def _in_their_span(one: Vectors, other: Vectors) -> tuple[Tensor, Tensor]:
    """Turn both into the space that they span together: no distance changes, and it is quicker."""
    both: NDArray[np.float64] = np.concatenate([one, other]).astype(np.float64)
    if len(both) < both.shape[1]:
        basis, _ = np.linalg.qr(both.T)
        both = both @ basis
    features = torch.from_numpy(both)
    return features[: len(one)], features[len(one) :]
