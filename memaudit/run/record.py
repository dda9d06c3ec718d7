"""What run.json, prepared.json and scan.json hold: one set of types and one way to read them."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cache
from typing import Any, cast

from pydantic import TypeAdapter, ValidationError

from memaudit.config import PromptPolicy, ScanConfig, digest
from memaudit.errors import ConfigError, RunDirectoryError
from memaudit.files import to_json
from memaudit.models.provenance import Provenance
from memaudit.models.self_check import SelfCheck
from memaudit.records import Column, Primary
from memaudit.similarity.quality import Quality
from memaudit.statistics.conduct import ReferenceUse
from memaudit.statistics.summary import Summary
from memaudit.statistics.verdict import Verdict

FORMAT = 2  # of run directories; another one is refused


@dataclass(frozen=True)
class Question:
    """What a run was asked, in plain values; `digest` is theirs."""

    format: int
    digest: str
    asked: dict[str, Any]


@dataclass(frozen=True)
class DataRecord:
    """The data: `read` of `entries` could be read, at `resolution`; where their index stands.

    `captions` of those that were read have a caption, of `lost` one is there that cannot be read;
    `changed` counts those with pixels that have no place in RGB of 8 bits, by what they are.
    """

    fingerprint: str
    entries: int
    read: int
    failed: int
    resolution: str
    index: str
    index_reused: bool
    captions: int = 0
    lost: int = 0
    changed: dict[str, int] = field(default_factory=dict)


@dataclass(frozen=True)
class EmbedderRecord:
    """What measured similarity, and from which similarity it calls two images copies."""

    name: str
    digest: str
    copy_threshold: float | None
    duplicate_threshold: float


@dataclass(frozen=True)
class Levels:
    """The sigmas of a scan, ascending; those outside the model's range are skipped and named."""

    sigmas: tuple[float, ...]
    skipped: tuple[float, ...]
    identification_limit: float | None  # None where there are too few images to tell
    without_copies: tuple[float, ...] = ()  # too low for noisy copies, where those are asked for
    weak: tuple[float, ...] = ()  # of attacks that work with weak noise, where there are such
    # Of each attack that hides a part of the image, the shares that it hides, ascending.
    hidden: dict[str, tuple[float, ...]] = field(default_factory=dict)

    def of(self, primary: Primary) -> tuple[float, ...]:
        """Those at which the attack of a claim on reproduction works."""
        return self.hidden[primary.attack] if primary.hides else self.sigmas


@dataclass(frozen=True)
class CaptionsRecord:
    """What a text-to-image model was told, and of how many images."""

    policy: PromptPolicy
    images: int


@dataclass(frozen=True)
class BoxesRecord:
    """The boxes around objects that were hidden.

    Of so many `images` that are scanned `named` are in the files, and `boxed` have a box of a size
    that is asked for; of the others a box anywhere is hidden, of `share`, the median. The rest
    counts boxes that were left out.
    """

    files: tuple[str, ...]
    digest: str
    images: int
    named: int
    boxed: int
    too_large: int
    too_small: int
    outside: int
    share: float


@dataclass(frozen=True)
class CopiesRecord:
    """The noisy copies that were asked for.

    `by_law`: the members' are of the noise that `memaudit train` draws, image by image. `doubt`
    says why no verdict rests on them, empty if it does.
    """

    folder: str
    images: int
    digest: str
    by_law: bool = False
    doubt: str = ""


@dataclass(frozen=True)
class ReferenceRecord:
    """The reference model, what it saw of either side, and how it was read."""

    model: Provenance
    use: ReferenceUse
    self_check: SelfCheck | None


@dataclass(frozen=True)
class Prepared:
    """What is settled before the first score: enough to score and to calibrate from.

    `model` is what its family says of where it comes from. `primary` is the score that the claim of
    reproduction rests on, `membership` that of membership, None where it is not asked for;
    `columns` are those that a finding sums up, `others` the scores of further attacks; `shard_size`
    counts the images of a part.
    """

    format: int
    question: str  # digest of what was asked
    data: DataRecord
    model: Provenance
    embedder: EmbedderRecord
    levels: Levels
    primary: Primary
    columns: tuple[Column, ...]
    others: tuple[Primary, ...]
    shard_size: int
    device: str
    captions: CaptionsRecord | None = None
    copies: CopiesRecord | None = None
    reference: ReferenceRecord | None = None
    self_check: SelfCheck | None = None
    membership: Primary | None = None
    boxes: BoxesRecord | None = None

    @property
    def claims(self) -> tuple[Primary, ...]:
        """The scores that claims rest on, that of reproduction first."""
        return (self.primary,) if self.membership is None else (self.primary, self.membership)


@dataclass(frozen=True)
class Commit:
    """The commit of a source checkout, and whether it has changes."""

    sha: str
    dirty: bool


@dataclass(frozen=True)
class Environment:
    """Versions of memaudit and what it stands on, the commit it runs from, the command line."""

    memaudit: str
    commit: Commit | None
    python: str
    platform: str
    packages: dict[str, str | None]
    command: tuple[str, ...]
    threads: int
    finished: str


@dataclass(frozen=True)
class Calibration:
    """One time that the scores were made into findings."""

    q: float
    flagged: int
    outcome: str
    finished: str


@dataclass(frozen=True)
class Record:
    """A finished scan: what was asked, prepared and found.

    `verdict` is that of the summary, first in the file for those who read no further.
    `calibrations` are all that were made of the scores, the present one last.
    """

    format: int
    verdict: Verdict
    config: ScanConfig
    prepared: Prepared
    summary: Summary
    quality: Quality | None
    environment: Environment
    calibrations: tuple[Calibration, ...] = ()


def write(record: Record | Prepared | Question) -> bytes:
    """The JSON of a record."""
    kind: Any = type(record)
    return to_json(_adapter(kind).dump_python(record, mode="json"))


def content(record: Record) -> dict[str, Any]:
    """What scan.json holds, as plain values."""
    return cast(dict[str, Any], _adapter(Record).dump_python(record, mode="json"))


def read_record(text: bytes, place: str) -> Record:
    """Read scan.json; raises RunDirectoryError if it is of another version or makes no sense."""
    return cast(Record, _read(Record, text, place))


def read_question(text: bytes, place: str) -> Question:
    """Read run.json; raises RunDirectoryError likewise, or if it was changed since."""
    question = cast(Question, _read(Question, text, place))
    if question.digest != digest(question.asked):
        raise RunDirectoryError(
            f"{place} cannot be read: its digest is not that of what it says was asked; run its "
            "scan again into another --out"
        )
    return question


def read_prepared(text: bytes, place: str) -> Prepared:
    """Read prepared.json; raises RunDirectoryError likewise."""
    return cast(Prepared, _read(Prepared, text, place))


def schema() -> dict[str, Any]:
    """The JSON Schema of scan.json; its $id holds the format of run directories."""
    made: dict[str, Any] = _adapter(Record).json_schema(mode="serialization")
    kind = "https://json-schema.org/draft/2020-12/schema"
    return {"$schema": kind, "$id": f"urn:memaudit:scan:{FORMAT}", **made}


def _read(kind: type, text: bytes, place: str) -> Record | Prepared | Question:
    found = expect_format(text, place)
    try:
        return cast("Record | Prepared | Question", _adapter(kind).validate_json(text))
    except (ValidationError, ConfigError) as error:
        raise RunDirectoryError(
            f"{place} cannot be read: {_wrong(error)}, expected what format {found} of "
            "memaudit's run directories holds; run its scan again into another --out"
        ) from error


def _wrong(error: ValidationError | ConfigError) -> str:
    """What is wrong first; an option out of its bounds names itself."""
    if isinstance(error, ConfigError):
        return str(error)
    first = error.errors()[0]
    return f"{'.'.join(map(str, first['loc']))}: {first['msg']}"


def expect_format(text: bytes, place: str) -> int:
    """Raise RunDirectoryError unless a file of a run directory has the present format."""
    try:
        found = TypeAdapter(dict[str, Any]).validate_json(text).get("format")
    except ValidationError as error:
        raise RunDirectoryError(
            f"{place} cannot be read: it holds no JSON object; run its scan again into another "
            "--out"
        ) from error
    if found != FORMAT:
        told = "an earlier version of memaudit" if found is None else f"format {found}"
        raise RunDirectoryError(
            f"{place} is of {told}, expected format {FORMAT}: run directories of other versions "
            "are not continued or read; run the scan again into another --out"
        )
    return FORMAT


@cache
def _adapter(kind: Any) -> TypeAdapter[Any]:
    return TypeAdapter(kind)
