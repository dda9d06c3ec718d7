"""Read an image data set: list it, read it, decode it, resize it."""

from memaudit.data.clusters import check_clusters
from memaudit.data.decode import MAX_PIXELS, TRANSPARENT, Decoded, decode, image_id
from memaudit.data.files import read_file
from memaudit.data.open import open_source
from memaudit.data.properties import PROPERTIES, Properties, properties
from memaudit.data.resize import Policy, resize
from memaudit.data.select import fingerprint, sample
from memaudit.data.source import Damage, Entry, Source, whole_of

__all__ = [
    "MAX_PIXELS",
    "PROPERTIES",
    "TRANSPARENT",
    "Damage",
    "Decoded",
    "Entry",
    "Policy",
    "Properties",
    "Source",
    "check_clusters",
    "decode",
    "fingerprint",
    "image_id",
    "open_source",
    "properties",
    "read_file",
    "resize",
    "sample",
    "whole_of",
]
