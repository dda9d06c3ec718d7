"""The summaries that people read, word for word: golden/ holds them."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from recorded import ALL, evidence, none

from memaudit.report import plain
from memaudit.report.asked import asked
from memaudit.report.words import COLUMNS, LIMITS, describe
from memaudit.run.record import Record
from memaudit.similarity.quality import Quality
from memaudit.statistics.effort import Effort
from memaudit.statistics.verdict import Outcome

GOLDEN = Path(__file__).parent / "golden"


@pytest.mark.parametrize("made", ALL, ids=lambda made: made.__name__)
def test_a_scan_is_described_in_these_words(made: Callable[[], Record]) -> None:
    golden = (GOLDEN / f"{made.__name__}.txt").read_text(encoding="utf-8")
    assert describe(made()) + "\n" == golden


def test_each_outcome_says_how_it_is_to_be_read() -> None:
    assert set(LIMITS) == set(Outcome)
    text = describe(none())
    assert "another attack, other levels" in " ".join(text.split())
    advice = text.partition("Read it so:")[2].splitlines()[:-1]
    assert all(len(line) <= COLUMNS for line in advice)


def test_reasons_stand_below_the_verdict_only_where_it_does_not_say_them() -> None:
    for made in ALL:
        [reason, *_] = made().verdict.reasons
        assert describe(made()).count(reason) == (0 if made is none else 1)


def test_an_adaptive_scan_that_missed_nothing_needs_no_larger_fraction() -> None:
    record = evidence()
    flagged = replace(record.summary.flagged, screened=0)
    record = replace(record, summary=replace(record.summary, flagged=flagged))
    assert "--fraction" not in describe(record)
    assert "--fraction" in describe(evidence())


def test_a_scan_that_was_not_asked_to_be_adaptive_does_not_speak_of_it() -> None:
    conduct = replace(evidence().summary.conduct, effort=Effort(10, 10))
    record = replace(evidence(), summary=replace(evidence().summary, conduct=conduct))
    assert "adaptive" not in describe(record)


def hidden(record: Record) -> Record:
    """The same, by what a mask hides."""
    way = replace(record.prepared.primary, attack="restoration-mask-half", hides=True)
    config = replace(record.config, corruption=("mask-half",))
    return replace(record, prepared=replace(record.prepared, primary=way), config=config)


def test_what_a_mask_hides_is_restored_and_not_reconstructed() -> None:
    text = describe(hidden(evidence()))
    assert "(0.410 .. 0.630), by restoration, as all below" in text
    assert "the model was asked to bring back the 12 images that rank highest" in text
    page = " ".join([*plain.untested(hidden(evidence())), *asked(hidden(evidence()))])
    assert "the model was asked to bring back only the 12 that rank highest" in page
    assert "every restoration here began with a part of the image" in page
    for said in (text, page):
        assert "reconstructed" not in said


def test_many_generated_images_are_not_called_few() -> None:
    many = Quality(600, 600, 512, 1.0, 0.0, 0.0, 300, 1.0, 1.0)
    text = describe(replace(none(), quality=many))
    assert "Frechet distance 1 of 600 generated images" in text
    assert "far too high" not in text
