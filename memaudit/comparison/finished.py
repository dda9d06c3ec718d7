"""A finished run, read back from its directory; no model is loaded."""

from __future__ import annotations

from dataclasses import dataclass

import pandas as pd

from memaudit.attacks.reconstruction import PREFERRED
from memaudit.config import LossName
from memaudit.errors import RunDirectoryError
from memaudit.records import COPY, Primary
from memaudit.run.directory import RunDirectory
from memaudit.run.parts import Work
from memaudit.run.record import Record
from memaudit.statistics.copies import InputResult, NoisyTraining
from memaudit.statistics.doubts import HALF_LEVEL
from memaudit.statistics.effects import Excess
from memaudit.statistics.probes import Probe, first_pass, probes_in

FULL: tuple[Work, ...] = ("screen", "scores")  # where rows of the full passes stand
FILLS_IN: LossName = "ambient-mask"  # a network of this loss is asked through a mask
THROUGH_A_MASK = "was asked through one mask that hides a part of every image"
IN_DOUBT = "has noisy copies that carry no verdict"
UNASKED = "was not asked for the noisy copies that it was trained on"
OF_MASKED_COPIES = "was trained on noisy copies with masks, for which it cannot be asked"


@dataclass(frozen=True)
class Training:
    """The loss of a model of noisy data, and the noise at which its sampling stops."""

    loss: str
    lowest: float | None


@dataclass(frozen=True, eq=False)
class FinishedRun:
    """A complete scan: `findings` as it wrote them, `scores` of full passes.

    These are of reconstructions, and of the attack that membership rests on. `name` is what it is
    called beside others, at first its path.
    """

    name: str
    path: str
    record: Record
    findings: pd.DataFrame
    scores: pd.DataFrame

    @property
    def model(self) -> str:
        """The model under audit, as it was given."""
        return self.record.config.target.spec

    @property
    def primaries(self) -> dict[str, Primary]:
        """What is pooled of each attack, by its name."""
        prepared = self.record.prepared
        return {one.attack: one for one in (*prepared.claims, *prepared.others)}

    @property
    def probes(self) -> list[Probe]:
        """What the model was asked, clean images first."""
        return clean_first(self.scores)

    @property
    def reconstructions(self) -> pd.DataFrame:
        """The scores of reconstructions."""
        return self.scores[self.scores["attack"].isin(PREFERRED)]

    @property
    def attacks(self) -> set[str]:
        """The attacks whose scores it holds."""
        return set(self.scores["attack"])

    def levels_of(self, attack: str) -> list[float]:
        """The levels at which an attack asked, ascending; none if it did not."""
        found = self.scores.loc[self.scores["attack"] == attack, "level"]
        return sorted(float(level) for level in found.unique())

    @property
    def screened(self) -> bool:
        """Whether only part of the images were scanned in full."""
        return self.record.summary.conduct.adaptive

    @property
    def excess(self) -> Excess | None:
        """Excess above controls, as the scan tells it."""
        dataset = self.record.summary.dataset
        return None if dataset is None else dataset.excess

    @property
    def noisy(self) -> NoisyTraining | None:
        """How a model of noisy data was audited; None for a model of clean data."""
        return self.record.summary.conduct.noisy

    @property
    def of_copies(self) -> InputResult | None:
        """What noisy copies showed; None where they were not asked for, or carry no verdict."""
        return None if self.noisy is None else self.noisy.of_copies

    @property
    def copies(self) -> str | None:
        """Digest of the noisy copies that a verdict rests on; None where none does."""
        return None if self.noisy is None or self.of_copies is None else self.noisy.digest

    @property
    def training(self) -> Training:
        """How the model was trained, as far as two models of noisy copies differ in it."""
        if self.noisy is None:
            return Training("clean", None)
        return Training(self.noisy.loss, self.noisy.lowest)

    @property
    def untold(self) -> str:
        """Why its clean images do not tell that it memorizes less; empty if they do."""
        noisy = self.noisy
        if noisy is None or (noisy.masked and self.record.prepared.primary.hides):
            return ""
        if noisy.masked:
            return THROUGH_A_MASK if noisy.loss == FILLS_IN else OF_MASKED_COPIES
        if noisy.of_copies is None:
            return IN_DOUBT if noisy.digest else UNASKED
        if self._memorized(noisy, noisy.of_copies):
            return "memorized its noisy copies"
        if noisy.correlation is not None and noisy.correlation.returned:
            return "returns the frozen noise of its noisy copies"
        return ""

    def _memorized(self, noisy: NoisyTraining, copies: InputResult) -> bool:
        """Whether they would be evidence by themselves; scores share the level."""
        q = self.findings.loc[self.findings["input"] == COPY, "q_value"].min()
        p = copies.test.p_value if copies.test else 1.0
        return bool(q <= HALF_LEVEL) or p <= HALF_LEVEL / len(noisy.by_input)


def clean_first(scores: pd.DataFrame) -> list[Probe]:
    """What scores are of: by attack, all of clean images before those of noisy copies."""
    return sorted(probes_in(scores), key=lambda probe: (probe.input == COPY, probe.attack))


def read_run(path: str) -> FinishedRun:
    """Read a run; raises RunDirectoryError if it is none, not finished, or cannot be read."""
    directory = RunDirectory.at(path)
    record, findings = directory.record(), directory.findings()
    compared = {*PREFERRED, *(claim.attack for claim in record.prepared.claims)}
    scores = _scores(directory, findings)
    kept = scores[scores["attack"].isin(compared)].reset_index(drop=True)
    return FinishedRun(path, path, record, findings, kept)


def _scores(directory: RunDirectory, findings: pd.DataFrame) -> pd.DataFrame:
    """Rows of the full passes, of images that were scored."""
    tables = [directory.parts(work).read_all().table for work in FULL]
    tables = [table[~first_pass(table)] for table in tables if len(table)]
    if not tables:
        place = f"{directory.place}/{FULL[-1]}"
        raise RunDirectoryError(
            f"{directory.place} has no scores: expected parts in {place}; run its scan again"
        )
    scored = findings.loc[findings["score"].notna() & findings["representative"]]
    scores = pd.concat(tables, ignore_index=True)
    in_full = scored.loc[scored["stage"] == "full", "example_id"]
    lost = in_full[~in_full.isin(scores["example_id"])]
    if len(lost):
        raise RunDirectoryError(
            f"{directory.place} has lost the scores of {len(lost)} of {len(in_full)} images: parts "
            "are missing; run its scan again, it makes them anew"
        )
    return scores[scores["example_id"].isin(scored["example_id"])]
