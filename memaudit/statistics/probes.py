"""Rows of scores by what was asked: an attack, on an input, in a phase."""

from __future__ import annotations

from dataclasses import dataclass

import pandas as pd

from memaudit.records import CLEAN, COPY, FULL, SCREEN, Input, Phase

INPUTS: tuple[Input, ...] = (CLEAN, COPY)


@dataclass(frozen=True, order=True)
class Probe:
    """One way in which a model was asked about each image."""

    attack: str
    input: Input = CLEAN
    phase: Phase = FULL

    def rows(self, scores: pd.DataFrame) -> pd.DataFrame:
        """Its rows among all scores."""
        return scores[self.among(scores)]

    def among(self, scores: pd.DataFrame) -> pd.Series[bool]:
        """Which rows are its own."""
        return (
            (scores["attack"] == self.attack)
            & (scores["input"] == self.input)
            & (scores["phase"] == self.phase)
        )

    @property
    def label(self) -> str:
        """What people read: the attack, and what is special about it."""
        copies = " of copies" if self.input == COPY else ""
        return self.attack + copies + (", first pass" if self.phase == SCREEN else "")


def probes_in(scores: pd.DataFrame) -> list[Probe]:
    """Those that the scores hold: by attack, clean images first, first passes last."""
    found = scores[["attack", "input", "phase"]].drop_duplicates()
    probes = [Probe(*row) for row in found.itertuples(index=False)]
    return sorted(probes, key=lambda one: (one.phase == SCREEN, one.attack, one.input == COPY))


def inputs_in(scores: pd.DataFrame, attack: str) -> list[Input]:
    """Which inputs an attack was asked about."""
    there = set(scores.loc[scores["attack"] == attack, "input"].unique())
    return [one for one in INPUTS if one in there]


def probes_of(by_probe: pd.DataFrame) -> list[Probe]:
    """The columns of a table of pooled scores, [example, Probe]."""
    return [one for one in by_probe.columns if isinstance(one, Probe)]


def scores_by(by_probe: pd.DataFrame, attack: str) -> pd.DataFrame:
    """Those of an attack, [example, Probe]."""
    return by_probe[[one for one in probes_of(by_probe) if one.attack == attack]]


def first_pass(scores: pd.DataFrame) -> pd.Series[bool]:
    """Which rows are of the first pass of an adaptive scan."""
    return scores["phase"] == SCREEN
