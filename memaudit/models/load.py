"""Open whatever folder or hub id names a model, and refuse what cannot be read safely."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from memaudit.errors import ConfigError
from memaudit.models.load_pixel import load_pixel
from memaudit.models.loaded import Loaded, ModelOptions
from memaudit.models.locate import locate, read_json
from memaudit.models.lora import is_lora


def load_model(spec: str, options: ModelOptions) -> Loaded:
    """Load a model: a folder, or a hub id.

    An unconditional pixel model (a pipeline or a bare UNet2DModel), a Stable Diffusion pipeline
    (1.x, 2.x, XL), or LoRA adapters for one. Raises ModelError for other families, pickled weights,
    NaN weights and folders that are not models. Nothing is ever unpickled and no code of the model
    is run.
    """
    folder, revision = locate(spec, options)
    loaded = _load(folder, options)
    return replace(loaded, provenance={"model": spec, "revision": revision, **loaded.provenance})


def _load(folder: Path, options: ModelOptions) -> Loaded:
    adapters = is_lora(folder)
    if options.base is not None and not adapters:
        raise ConfigError(
            f"--base-model is the pipeline of LoRA adapters, and {folder} holds none; leave it out"
        )
    index = folder / "model_index.json"
    if not adapters and not (index.is_file() and "vae" in read_json(index)):
        return load_pixel(folder, options)
    from memaudit.models.load_latent import load_pipeline  # transformers is slow to import
    from memaudit.models.load_lora import load_lora

    return load_lora(folder, options) if adapters else load_pipeline(folder, options)
