"""Say of a pipeline that no family opens what it is, and what to do instead."""

from __future__ import annotations

from pathlib import Path

from memaudit.errors import ModelError
from memaudit.models.families.registry import PIPELINES
from memaudit.models.locate import INDEX, read_json
from memaudit.text import shown

# What a name of a class holds, what such pipelines are, and what to do. The first that fits counts.
KINDS = (
    (
        (
            *("Video", "AnimateDiff", "Allegro", "Latte", "Mochi", "LTX", "Wan", "Cosmos"),
            *("SkyReels", "Helios", "Kandinsky5T2V", "Kandinsky5I2V", "ConsisID", "EasyAnimate"),
            *("ChronoEdit", "TextToVideo", "I2VGen", "MotionDirector", "PIAPipeline"),
        ),
        "makes video, and memaudit audits models of single images",
        "if it also makes still images, audit the image model that it was made from",
    ),
    (
        ("Audio", "Music", "DanceDiffusion", "Spectrogram", "AceStep"),
        "makes sound, and memaudit audits models of images",
        "no part of it can be audited here",
    ),
    (
        ("VQDiffusion", "Amused", "LLaDA", "DiffusionGemma", "Muse"),
        "draws discrete tokens, and memaudit audits models that take noise out of images",
        "no part of it can be audited here",
    ),
    (
        ("ControlNet", "Adapter", "Control", "ReferenceNet", "Redux", "IPAdapter"),
        "is told a further image, which a training image has no record of",
        "audit the text-to-image pipeline that it was made from",
    ),
    (
        (
            *("Img2Img", "Edit", "Kontext", "Pix2Pix", "Upscale", "SuperResolution", "Depth"),
            *("Inpaint", "Fill", "Variation", "Layered", "Refiner", "PaintByExample", "Prior"),
        ),
        "changes an image that it is given",
        "audit the text-to-image pipeline of the same weights: save the model as one",
    ),
)


def refuse_pipeline(folder: Path) -> None:
    """Raise ModelError for the folder of a pipeline, unless it may be one over pixels."""
    if not (folder / INDEX).is_file():
        return
    parts = read_json(folder / INDEX)
    if "unet" in parts and not {"vae", "vqvae", "text_encoder"} & parts.keys():
        return  # over pixels, of which the family of such models can say more
    name = parts.get("_class_name")
    if not isinstance(name, str):
        raise ModelError(
            f"{folder / INDEX} names {shown(repr(name))}, a class that comes with the model, or "
            "none: no code of a model is run. Save it as a pipeline of diffusers itself, one of "
            f"{_known()}"
        )
    for words, what, instead in KINDS:
        if any(word in name for word in words):
            raise ModelError(f"{folder} is a {shown(name)}, which {what}; {instead}")
    raise ModelError(
        f"{folder} is a {shown(name)}, which this version does not read; it reads {_known()}, and "
        "unconditional UNets over pixels. A plug-in can open it: see docs/families.md"
    )


def _known() -> str:
    return ", ".join(PIPELINES)
