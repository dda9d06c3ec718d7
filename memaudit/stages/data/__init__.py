"""Read an image data set: list it, read it, decode it, resize it."""

from memaudit.stages.data.decode import MAX_PIXELS, Decoded, decode, image_id
from memaudit.stages.data.open import open_source
from memaudit.stages.data.properties import PROPERTIES, Properties, properties
from memaudit.stages.data.resize import Policy, resize
from memaudit.stages.data.select import fingerprint, sample
from memaudit.stages.data.source import Damage, Entry, Source

__all__ = [
    "MAX_PIXELS",
    "PROPERTIES",
    "Damage",
    "Decoded",
    "Entry",
    "Policy",
    "Properties",
    "Source",
    "decode",
    "fingerprint",
    "image_id",
    "open_source",
    "properties",
    "resize",
    "sample",
]
