"""What a family of pipelines is made of: which parts are loaded, and how they become a denoiser."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from memaudit.errors import ModelError
from memaudit.models.latent import Backbone, LatentDenoiser
from memaudit.models.parameterization import Parameterization
from memaudit.models.vae import Vae


def _never(_: Any) -> bool:
    """It answers with the posterior mean."""
    return False


@dataclass(frozen=True, kw_only=True)
class Recipe:
    """How the pipelines of one class of diffusers are opened and read.

    `parts` names the networks that decide its answer, each with the classes that it may be of, and
    `tokenizers` what splits captions; a part in `optional` may be missing, as model_index.json says
    it is. `network` is the part that answers. `cells` is a side of its latents where
    the user asks for no resolution, and `grain` what that must be a multiple of; where they are not
    given, the network's configuration says sample_size and patch_size. `extras` are further
    arguments of the pipeline's class. The network must see the channels of the latents, of `packed`
    cells in one token; `check` does that in its own way and raises ModelError. `flags` are what
    its class is told that model_index.json says is true or false; `draws` says of a pipeline that
    it was distilled into few steps, so that its answer is near a draw of x0.
    """

    family: str
    pipeline: Any
    network: str
    parts: Mapping[str, tuple[Any, ...]]
    tokenizers: Mapping[str, Any]
    backbone: Callable[[Any], Backbone]
    vae: Callable[[Any], Vae]
    reading: Callable[[Any], Parameterization]
    optional: frozenset[str] = frozenset()
    extras: Mapping[str, Any] = field(default_factory=dict)
    cells: Callable[[Any], Any] | None = None
    grain: Callable[[Any], int] | None = None
    packed: int = 1
    flags: tuple[str, ...] = ()
    draws: Callable[[Any], bool] = _never
    check: Callable[[Any, Path], None] | None = None
    denoiser: Callable[..., LatentDenoiser] = LatentDenoiser

    def require(self, pipeline: Any, folder: Path) -> None:
        """Raise ModelError for networks that see more, or less, than noisy latents."""
        if self.check is not None:
            self.check(pipeline, folder)
            return
        found = getattr(pipeline, self.network).config.in_channels
        latents = self.vae(pipeline).channels
        if found != self.packed * latents:
            raise ModelError(
                f"the {self.network} in {folder} takes {found} channels, expected "
                f"{self.packed * latents}, {self.packed} for each of the {latents} of its latents: "
                "models that see further images (for inpainting, control or editing) are not "
                "audited in this class of pipelines"
            )

    def cells_of(self, pipeline: Any) -> Any:
        """A side of its latents, or both, as it says; of any type, as another wrote it."""
        config = getattr(pipeline, self.network).config
        return self.cells(pipeline) if self.cells else config.sample_size

    def multiple(self, pipeline: Any) -> int:
        """What the sides of its images must be a multiple of, in pixels."""
        config = getattr(pipeline, self.network).config
        grain = self.grain(pipeline) if self.grain else int(config.patch_size)
        return grain * self.vae(pipeline).factor
