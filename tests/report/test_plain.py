"""Page one: its words for those who never heard of the tool."""

from dataclasses import replace

import pytest
from published import published
from recorded import evidence, inconclusive, none

from memaudit.report import plain
from memaudit.report.html import html
from memaudit.report.page import page


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
    explained = "often enough to explain it"
    assert explained in " ".join(plain.sure(none()))
    assert explained not in " ".join(plain.sure(evidence()))


def test_flags_are_told_with_what_gave_them_away_and_how_many_may_be_wrong():
    said = " ".join(plain.sure(evidence()))
    assert "Expect none or 1 of these 7 to be flagged wrongly" in said
    assert "Given away by their clean image: 4; by their noisy copy: 3." in said


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
