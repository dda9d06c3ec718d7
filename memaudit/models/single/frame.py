"""What a single file does not say: configurations, tokenizers, a scheduler, parts that it lacks."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from memaudit.errors import ConfigError, DependencyError, ModelError
from memaudit.models.families.registry import FAMILIES, PIPELINES
from memaudit.models.loaded import ModelOptions
from memaudit.models.locate import INDEX, class_name, locate, read_json
from memaudit.models.pipelines import SCHEDULER, left_out
from memaudit.models.recipe import Recipe
from memaudit.models.single.checkpoint import Checkpoint
from memaudit.models.single.known import Known, known_of, predicting, written
from memaudit.models.single.layouts import Layout
from memaudit.models.single.prediction import prediction_of, prediction_wanted, said_of_scheduler
from memaudit.models.weights import sha256_file

OF_UNETS = "unet"  # the network of the models whose prediction type is not known by their family


@dataclass(frozen=True)
class Frame:
    """A folder as diffusers writes it, perhaps without weights, and how it is read.

    `base` is where the parts are taken from that the file lacks, None if nowhere. `name` says whose
    configuration it is, `said` what is known of the scheduler beside it, and `index` what its
    model_index.json says of the parts.
    """

    folder: Path
    recipe: Recipe
    layout: Layout
    name: str
    said: Mapping[str, Any]
    index: Mapping[str, Any]
    base: Path | None = None

    def lacking(self, parts: Mapping[str, Any]) -> list[str]:
        """The parts that are wanted beside these."""
        return [
            part
            for part in self.recipe.parts
            if part not in parts and not left_out(part, self.recipe, self.index)
        ]

    def expect_whole(self, checkpoint: Checkpoint, parts: Mapping[str, Any]) -> None:
        """Raise ModelError if a part is neither in the file nor in a base, or its tokenizer is."""
        if self.base is not None:
            return
        advice = "name a folder of the same model with --base-model, from which they are taken"
        lacking = self.lacking(parts)
        if lacking:
            raise ModelError(f"{checkpoint.place} holds no {' and no '.join(lacking)}; {advice}")
        more = [part for part in parts if not (self.folder / part).is_dir()]
        if more:
            tokenizer = more[0].replace("text_encoder", "tokenizer")
            raise ModelError(
                f"{checkpoint.place} holds a {more[0]}, whose {tokenizer} and configuration "
                f"memaudit has not; {advice}"
            )

    def digests(self) -> dict[str, str]:
        """sha256 of the files of the base that are no weights, by their place in it."""
        if self.base is None:
            return {}
        files = [self.folder / INDEX, self.folder / "scheduler" / SCHEDULER]
        files += [self.folder / part / "config.json" for part in self.recipe.parts]
        for name in self.recipe.tokenizers:
            files += sorted((self.folder / name).glob("*"))
        return {
            path.relative_to(self.folder).as_posix(): sha256_file(path)
            for path in files
            if path.is_file()
        }


@contextmanager
def framed(
    checkpoint: Checkpoint, layouts: Sequence[Layout], options: ModelOptions
) -> Iterator[Frame]:
    """The base model that was named, else what memaudit knows itself; raises ModelError."""
    prediction = None
    if layouts[0].network == OF_UNETS:
        prediction = prediction_of(checkpoint, options.prediction)
    elif options.prediction is not None:
        raise ConfigError(
            f"--prediction is for files of Stable Diffusion 1, 2 and XL, and {checkpoint.place} is "
            f"a {layouts[0].name}; leave it out"
        )
    said = said_of_scheduler(checkpoint, prediction)
    if options.base is not None:
        yield _of_base(checkpoint, layouts, options, said)
        return
    known = _known(checkpoint, layouts)
    if prediction is not None:
        known = predicting(known, prediction)
    if known.prediction is None:
        raise prediction_wanted(checkpoint)
    layout = _only(layouts, known.pipeline)
    with written(known) as folder:
        recipe, index = recipe_of(known.pipeline), read_json(folder / INDEX)
        yield Frame(folder, recipe, layout, f"memaudit: {known.name}", said, index)


def recipe_of(pipeline: str) -> Recipe:
    """How pipelines of a class are opened."""
    return FAMILIES.load(PIPELINES[pipeline]).recipes[pipeline]


def _of_base(
    checkpoint: Checkpoint,
    layouts: Sequence[Layout],
    options: ModelOptions,
    said: Mapping[str, Any],
) -> Frame:
    base = str(options.base)
    try:
        folder, _ = locate(base, options)
    except (DependencyError, ModelError) as error:
        raise type(error)(f"--base-model {base}, for {checkpoint.place}: {error}") from error
    pipeline = class_name(folder) if folder.is_dir() else None
    expected = [name for layout in layouts for name in layout.classes]
    if pipeline not in expected:
        raise ModelError(
            f"--base-model {base} is {f'a {pipeline}' if pipeline else 'no pipeline folder'}, and "
            f"{checkpoint.place} is a {' or a '.join(each.name for each in layouts)}: expected the "
            f"folder of a {' or '.join(expected)}"
        )
    layout = _only(layouts, pipeline)
    recipe, index = recipe_of(pipeline), read_json(folder / INDEX)
    return Frame(folder, recipe, layout, f"--base-model {base}", said, index, folder)


def _known(checkpoint: Checkpoint, layouts: Sequence[Layout]) -> Known:
    known = known_of(checkpoint.tensors)
    if known is not None:
        return known
    layout = layouts[0]
    recipe = recipe_of(layout.classes[0])
    raise ModelError(
        f"{checkpoint.place} is a {' or a '.join(each.name for each in layouts)}, and its "
        "configuration is none that memaudit knows by itself; name a folder of the same model with "
        f"--base-model: from it come the config.json of each part ({', '.join(recipe.parts)}), the "
        f"scheduler, {' and '.join(recipe.tokenizers)}, and the parts that the file lacks"
    )


def _only(layouts: Sequence[Layout], pipeline: str) -> Layout:
    [layout] = [each for each in layouts if pipeline in each.classes]
    return layout
