"""Open the folder of a diffusers pipeline by its recipe: parts, tokenizers, scheduler, reading."""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from types import MappingProxyType
from typing import Any, cast

from diffusers import schedulers
from torch import nn

from memaudit.errors import ModelError
from memaudit.models.ambient import read_ambient
from memaudit.models.chosen import recorded
from memaudit.models.codec import LatentCodec
from memaudit.models.families.registry import Family
from memaudit.models.latent import Backbone, LatentDenoiser
from memaudit.models.latent_parts import load_part, part_weights, quiet, stem_of
from memaudit.models.limits import SIDE, naming
from memaudit.models.loaded import Loaded, ModelOptions
from memaudit.models.locate import INDEX, class_name, read_config, read_json
from memaudit.models.parts import parts_of
from memaudit.models.provenance import Provenance
from memaudit.models.recipe import Recipe
from memaudit.models.tokenizing import load_tokenizer, tokenizer_files
from memaudit.models.weights import has_weights

SCHEDULER = "scheduler_config.json"
NOTHING: Mapping[str, Any] = MappingProxyType({})


def family_of(*recipes: Recipe) -> Family:
    """The family that opens the pipelines of these recipes."""
    by_class = {recipe.pipeline.__name__: recipe for recipe in recipes}

    def owns(folder: Path) -> bool:
        return class_name(folder) in by_class

    def load(folder: Path, options: ModelOptions) -> Loaded:
        return open_pipeline(folder, by_class, options)

    return Family(load, owns, recipes=by_class)


def open_pipeline(folder: Path, recipes: Mapping[str, Recipe], options: ModelOptions) -> Loaded:
    """Open a pipeline that is to be audited as it is; raises ModelError for what cannot be."""
    name = class_name(folder)
    if name is None or name not in recipes:
        raise ModelError(
            f"{folder} is {f'a {name}' if name else 'no pipeline folder: it holds no ' + INDEX}; "
            f"expected a {' or '.join(recipes)}"
        )
    recipe = recipes[name]
    denoiser = assemble(folder, recipe, options)
    return with_ambient(denoiser, folder, _provenance(denoiser, folder, recipe, options))


def with_ambient(denoiser: LatentDenoiser, folder: Path, provenance: Provenance) -> Loaded:
    """Heed what a model says of the noise in its training images."""
    ambient = read_ambient(folder)
    if ambient is not None and ambient.mask is not None:
        raise ModelError(
            f"{folder} says that it was trained on masked images ({ambient.loss}), and latents are "
            "never masked; remove its ambient.json if that is wrong"
        )
    if ambient is not None:
        denoiser = replace(denoiser, lowest=ambient.lowest)
        provenance = replace(provenance, ambient=ambient)
    return Loaded(denoiser, provenance, ambient, folder)


def assemble(folder: Path, recipe: Recipe, options: ModelOptions) -> LatentDenoiser:
    """Load what a recipe names, only safetensors weights, and read it as a denoiser.

    The VAE stays in fp32 whatever the dtype of the rest.
    """
    index = read_json(folder / INDEX)
    there = {
        part: kinds for part, kinds in recipe.parts.items() if not left_out(part, recipe, index)
    }
    _require_variant(folder, there, options)
    parts = {
        part: load_part(kinds, folder / part, index.get(part), options)
        for part, kinds in there.items()
    }
    return put_together(folder, recipe, parts, options)


def _require_variant(
    folder: Path, parts: Mapping[str, tuple[Any, ...]], options: ModelOptions
) -> None:
    """Refuse a variant that no part has; parts that lack it are taken plain."""
    variant = options.variant
    if variant is None or any(
        has_weights(folder / part, variant, stem_of(kinds[0])) for part, kinds in parts.items()
    ):
        return
    raise ModelError(
        f"no part of {folder} has weights of the variant {variant}; leave out --variant, or name "
        "one that is there"
    )


def put_together(
    folder: Path,
    recipe: Recipe,
    parts: Mapping[str, nn.Module],
    options: ModelOptions,
    said: Mapping[str, Any] = NOTHING,
) -> LatentDenoiser:
    """Read loaded parts as a denoiser, with the tokenizers and the scheduler of a folder.

    `said` is what is known of the scheduler's configuration and does not stand in the folder.
    """
    pipeline = _pipeline(folder, recipe, parts)
    pipeline.scheduler.register_to_config(**said)
    recipe.require(pipeline, folder)
    return recipe.denoiser(
        codec=LatentCodec(recipe.vae(pipeline), _resolution(pipeline, recipe, options, folder)),
        parameterization=recipe.reading(pipeline),
        estimate="sample" if recipe.draws(pipeline) else "mean",
        backbone=_guided(recipe.backbone(pipeline.to(options.device)), options),
    )


def _guided(backbone: Backbone, options: ModelOptions) -> Backbone:
    """The network, told as much guidance as is asked for."""
    if options.distilled_guidance is None:
        return backbone
    return backbone.guided_by(options.distilled_guidance)


def left_out(part: str, recipe: Recipe, index: Mapping[str, Any]) -> bool:
    """Whether a pipeline says that it lacks a part, which its class can do without."""
    entry = index.get(part)
    return part in recipe.optional and (entry is None or entry == [None, None])


def _pipeline(folder: Path, recipe: Recipe, parts: Mapping[str, nn.Module]) -> Any:
    """Put a pipeline together with its tokenizers and its scheduler, and nothing else it names."""
    advice = f"it needs the parts that its {INDEX} names: copy it again"
    with quiet(), naming(f"the {recipe.pipeline.__name__} in {folder}", advice):
        tokenizers = {
            name: None if encoder is None else load_tokenizer(kind, folder / name, encoder)
            for name, kind in recipe.tokenizers.items()
            for encoder in [parts.get(name.replace("tokenizer", "text_encoder"))]
        }
        missing = dict.fromkeys(recipe.parts.keys() - parts.keys())
        return recipe.pipeline(
            **parts,
            **missing,
            **tokenizers,
            scheduler=_scheduler(folder / "scheduler"),
            **recipe.extras,
            **{name: read_json(folder / INDEX).get(name) is True for name in recipe.flags},
        )


def _scheduler(folder: Path) -> Any:
    """The scheduler, for its configuration; of the classes of diffusers and no other."""
    name = read_config(folder / SCHEDULER, lenient=True).get("_class_name")
    kind: Any = getattr(schedulers, str(name), None)
    if not inspect.isclass(kind) or not issubclass(kind, schedulers.SchedulerMixin):
        raise ModelError(
            f"{folder / SCHEDULER} names no scheduler of diffusers but {name!r}; "
            "expected one such as DDIMScheduler under _class_name. Copy the model again"
        )
    return cast(Any, kind).from_pretrained(folder, local_files_only=True)


def _resolution(
    pipeline: Any, recipe: Recipe, options: ModelOptions, folder: Path
) -> tuple[int, int]:
    """Height and width of the images, as the user or the network's config.json says."""
    sides = options.sides or _own_sides(pipeline, recipe, folder)
    factor = recipe.multiple(pipeline)
    if any(side % factor for side in sides):
        said = " x ".join(map(str, dict.fromkeys(sides)))
        raise ModelError(
            f"the resolution is {said}, expected a multiple of {factor}: the VAE and the "
            f"{recipe.network} make one cell of so many pixels a side; say it with --resolution"
        )
    return sides


def _own_sides(pipeline: Any, recipe: Recipe, folder: Path) -> tuple[int, int]:
    """Height and width of the images, by the latents that the network says it was trained on."""
    cells = recipe.cells_of(pipeline)
    each = cells if isinstance(cells, list | tuple) else (cells, cells)
    if len(each) != 2 or not all(isinstance(n, int) and n > 0 for n in each):
        raise ModelError(
            f"the {recipe.network}'s config.json in {folder} gives sample_size {cells!r}, expected "
            "a whole number; say the side of the images with --resolution"
        )
    height, width = (n * recipe.vae(pipeline).factor for n in each)
    if max(height, width) > SIDE:
        raise ModelError(
            f"the model in {folder} says that its images are {max(height, width)} px wide, "
            f"expected {SIDE} at most; say the side of the images with --resolution"
        )
    return height, width


def _provenance(
    denoiser: LatentDenoiser, folder: Path, recipe: Recipe, options: ModelOptions
) -> Provenance:
    """What is kept of where a denoiser came from."""
    pipeline = denoiser.pipeline
    chosen = [
        part_weights(kinds[0], folder / part, options)
        for part, kinds in recipe.parts.items()
        if getattr(pipeline, part) is not None
    ]
    said = said_of(denoiser, recipe, options)
    files = {"tokenizer_files": tokenizer_files(folder, recipe.tokenizers)}
    provenance = replace(
        said,
        parts=parts_of(pipeline.components, {one.part: one.named(folder) for one in chosen}),
        details=said.details | files,
    )
    return recorded(provenance, chosen, folder)


def said_of(denoiser: LatentDenoiser, recipe: Recipe, options: ModelOptions) -> Provenance:
    """What a provenance says of a pipeline, wherever its weights came from."""
    return Provenance(
        family=recipe.family,
        reading=denoiser.parameterization.described(),
        dtype=options.dtype,
        parameters=sum(p.numel() for p in denoiser.backbone.network.parameters()),
        details={
            "class": recipe.pipeline.__name__,
            **denoiser.backbone.details,
            "scheduler": dict(denoiser.pipeline.scheduler.config),
        },
    )
