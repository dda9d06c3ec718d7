"""What is said of the set of images as a whole."""

from dataclasses import replace

import pytest
from recorded import evidence, inference, none

from memaudit.records import COPY, SCREEN
from memaudit.report.inference import inference as figure
from memaudit.report.inference import inference_said
from memaudit.report.words import describe
from memaudit.run.record import Record
from memaudit.statistics.inference import Combination, Feature

SEEN = {"p_value": 1e-4, "equal": Combination(0.9, 0.75, 1e-4), "enough": 20}


def with_inference(**changes: object) -> Record:
    record = none()
    return replace(record, summary=replace(record.summary, inference=inference(**changes)))


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({}, "No sign of it: as a set, members show no difference from controls (p 0.5)"),
        (SEEN, "(p 0.0001, AUC 0.750); in 4 of 5 draws 20 of them are enough"),
        ({**SEEN, "enough": 60}, "that takes more than half of the 60"),
        ({**SEEN, "pictures_p": 0.01}, "No statement: by their pictures alone"),
        (
            {"p_value": 0.002, "learned": Combination(0.8, 0.7, 0.001), "suspicious": 0.1},
            "No sign of it: members differ from controls (p 0.002), but not to the side",
        ),
        (
            {"p_value": 0.002, "learned": Combination(0.8, 0.7, 0.001), "suspicious": 0.9},
            "to the side where training puts them (p 0.002, AUC 0.700)",
        ),
    ],
)
def test_the_set_is_spoken_of_and_no_image(changes: dict[str, object], said: str) -> None:
    record = with_inference(**changes)
    first, second = inference_said(record.summary)
    assert first.startswith("was this set of images used in training? ")
    assert said in first
    assert "exploratory, no part of the verdict" in second
    [drawn] = figure(record)
    assert said in drawn.said
    assert f"inference       {first}" in describe(record)


def test_nothing_is_said_where_it_was_not_asked_or_the_sides_differ() -> None:
    assert evidence().summary.exchangeability.alarm
    [first, _] = inference_said(evidence().summary)
    assert "No statement" in first
    split = replace(none().summary.counts, split_clusters=2)
    seen = with_inference(**SEEN).summary
    assert "clusters have images on both sides" in inference_said(replace(seen, counts=split))[0]
    silent = replace(none(), summary=replace(none().summary, inference=None))
    assert inference_said(silent.summary) == []
    assert [*figure(silent)] == []


def test_bars_name_features_and_their_direction() -> None:
    of_copies = Feature("reconstruction-ode", COPY, SCREEN, "copy_correlation", 2.0, -1.5)
    [drawn] = figure(with_inference(strongest=(of_copies,)))
    [bar] = drawn.bars.bars
    assert bar.label == "reconstruction-ode of copies, first pass: copy_correlation at level 2"
    assert (bar.length, bar.said, bar.kind) == (1.0, "-1.50", "control")
