"""The records that cross module borders."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

Split = Literal["member", "control"]
Image = NDArray[np.uint8]  # HWC RGB
Images = NDArray[np.uint8]  # NHWC RGB
Vectors = NDArray[np.float32]  # [N, D], unit length


@dataclass(frozen=True)
class Example:
    """One decoded image.

    `id` is the sha256 (hex) of mode, size and decoded pixels before any resize: two files with
    the same pixels share it. `source` is the path inside its data set, as shown to people.
    """

    id: str
    image: Image
    split: Split
    source: str


@dataclass(frozen=True)
class Matches:
    """What the index says of a batch of B queries, each the reconstruction of a known source.

    Similarities are cosines in [-1, 1]. Everything but `own*` leaves the source's whole
    duplicate group out.
    """

    own: NDArray[np.float32]  # [B] similarity to the source
    own_flipped: NDArray[np.float32]  # [B] similarity to the source's mirror image
    own_rank: NDArray[np.int64]  # [B] 1 = the source is nearest among members + controls
    neighbour_ids: list[list[str]]  # [B][k] nearest others, most similar first
    neighbours: NDArray[np.float32]  # [B, k] their similarities


@dataclass(frozen=True)
class Plan:
    """What a scan would cost on this machine, before it is run."""

    members: int
    controls: int
    levels: int
    queries: int
    evaluations: int  # of the network; of an adaptive scan, about so many
    in_full: int  # evaluations without --adaptive
    embeddings: int
    network_ms: float  # an evaluation, in a batch
    embedder_ms: float  # an image, in a batch
    seconds: float
    disk_mb: float
    device: str
    reach: int | None  # fewest memorized images that can be flagged together
    controls_for: dict[int, int]  # how many controls it takes to flag so few
