"""Page one: its words for those who never heard of the tool."""

from dataclasses import replace

import numpy as np
import pytest
from published import findings, published
from recorded import config, evidence, inconclusive, none

from memaudit.config import NOISE, RESTORATIONS
from memaudit.report import plain
from memaudit.report.asked import asked
from memaudit.report.beside import DONE, EXPLORATORY, beside
from memaudit.report.card import card
from memaudit.report.html import html
from memaudit.report.kinds import kinds
from memaudit.report.page import page
from memaudit.report.pictures import pictures
from memaudit.statistics.explored import Explored


@pytest.mark.parametrize(
    ("p_value", "said"),
    [
        (1.0, "about 100 of 100 scans"),
        (0.054, "about 6 of 100 scans"),
        (0.03, "about 3 of 100 scans"),
        (0.002, "about 2 of 1,000 scans"),
        (0.0002, "about 2 of 10,000 scans"),
        (1e-9, "about 1 of 10,000 scans"),
    ],
)
def test_a_probability_is_told_as_a_count_and_never_as_less(p_value, said):
    assert plain.often(p_value) == f"in {said}"


def test_luck_explains_a_large_p_and_no_small_one():
    explained = "no larger than chance makes"
    assert explained in " ".join(plain.sure(none()))
    said = " ".join(plain.sure(evidence()))
    assert explained not in said
    assert "badly chosen controls can bring it, too" in said


def test_flags_are_told_with_what_gave_them_away_and_how_many_may_be_wrong():
    said = " ".join(plain.sure(evidence()))
    assert "none or 1 of these 7 may be flagged wrongly, and nobody can say which" in said
    assert "4 were recognised by testing the clean image and 3 by testing the noisy version" in said


def test_evidence_of_membership_has_a_colour_of_its_own():
    member = evidence()
    member = replace(member, verdict=replace(member.verdict, claim="membership"))
    records = (evidence(), member, none(), inconclusive())
    tones = [page(published(record), "run").tone for record in records]
    assert tones == ["reproduction", "membership", "none", "inconclusive"]
    text = html([published(member)])
    assert 'class="verdict membership"' in text
    for tone in tones:
        assert f".verdict.{tone} {{ border-color:" in text


def test_a_kind_of_finding_that_was_not_found_is_not_told_as_a_finding():
    found = {kind.name: kind for kind in kinds(evidence())}
    assert found["Recovered from a noised copy"].meaning.startswith("This means: ")
    assert all(kind.meaning.startswith("It would mean: ") for kind in kinds(none())[:2])
    copies = evidence()
    alone = replace(copies.summary.flagged, memberships=0)
    copies = replace(copies, summary=replace(copies.summary, flagged=alone))
    [membership, *_] = kinds(copies)
    assert membership.count == "0"
    assert "The 4 in the next box are evidence of training as well" in membership.meaning
    assert {kind.count for kind in kinds(inconclusive())} == {"no statement", "not tested"}


def test_what_was_asked_says_that_the_lists_are_taken_as_they_were_said():
    for record in (evidence(), none()):
        said = " ".join(asked(record))
        assert "said to be trained on" in said
        assert "If either list is wrong" in said
        assert "upside down" in said
    assert "nothing to compare with" in " ".join(asked(inconclusive()))
    assert "upside down" not in " ".join(asked(inconclusive()))


def test_a_strip_says_what_it_does_not_show():
    told = evidence()
    weak = replace(told.summary.levels[0], attack="mirrored-residual", snr_db=20.0)
    told = replace(told, summary=replace(told.summary, levels=(*told.summary.levels, weak)))
    table = findings(30)
    table["attack"], table["input"] = "mirrored-residual", "clean image"
    table.loc[0, "recovered_from_snr_db"] = np.nan
    seen = list(pictures(replace(published(told), findings=table)))
    assert "stands out by mirrored-residual, under weak noise" in seen[0].said
    assert seen[0].said.startswith("Shown from 6.0 dB")  # of the noise in the strip, no weak one
    assert "not seen" not in seen[1].said
    table["attack"], table["input"] = "reconstruction-ode", "noisy copy"
    seen = list(pictures(replace(published(told), findings=table)))
    assert "gives back that copy's noise" in seen[0].said


def test_reproductions_are_shown_first_with_their_rank_among_all():
    table = findings(30)
    table.loc[[0, 1, 3, 4], "claim"] = "membership"
    seen = list(pictures(replace(published(evidence()), findings=table)))
    assert [(one.rank, one.finding) for one in seen][:2] == [
        (3, "recovered from a noised copy"),
        (1, "membership only"),
    ]


def test_a_part_that_came_back_below_a_copy_is_said_to_tell_by_itself():
    told = evidence()
    table = findings(30)
    table["attack"], table["recovered_from_snr_db"] = "mirrored-residual", np.nan
    table["reproduction_flagged"] = table.index == 0
    seen = list(pictures(replace(published(told), findings=table)))
    assert "nearer than chance explains, and below what counts as a copy" in seen[0].said
    assert "What tells is not seen here" in seen[1].said


HALVES, BLUR, ONE_STEP = "restoration-mask-half", "restoration-blur", "reconstruction-one-step"


def asked_beside(record, *corruptions):
    """The same, asked about several corruptions, with what the further ones show."""
    further = (HALVES, ONE_STEP, "secmi")
    explored = tuple(Explored(name, ("l2",), 0.9, 0.5, 0.734, 0.3, 12) for name in further)
    return replace(
        record,
        config=config(corruption=corruptions, reconstruct=("one-step",)),
        summary=replace(record.summary, explored=explored),
    )


def test_page_one_says_what_each_further_corruption_shows():
    record = asked_beside(none(), "noise", "mask-half", "blur:2", "blur:3")
    halves, blur = beside(record)
    assert halves == (
        f"{EXPLORATORY}: with a half of each image hidden ({HALVES}), what came back was nearer "
        "for the member in 73.4% of the pairs of a member and a control, where 50 % would be no "
        "difference, and 12 of 60 members stand out."
    )
    assert f"with each image blurred ({BLUR}), nothing can be told" in blur
    for text in (html([published(record)]), card([published(record)])):
        assert "a half of each image hidden" in text
        assert "12 of 60 members stand out" in text
    [noise] = beside(asked_beside(none(), "mask-half", "noise"))
    assert f"with each image covered with noise ({ONE_STEP}), what came back was nearer" in noise
    assert not list(beside(none()))


def test_each_way_to_corrupt_has_its_words():
    assert set(DONE) == {NOISE, *RESTORATIONS}


def test_a_scan_that_makes_no_statement_makes_none_by_a_further_corruption():
    [said] = beside(asked_beside(inconclusive(), "noise", "mask-half"))
    assert said.endswith("no statement, for the scan as a whole makes none.")
