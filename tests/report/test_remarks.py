"""What people should know at once, and what is said of noisy data and of a reference."""

from dataclasses import replace

import pytest
from recorded import evidence, none

from memaudit.attacks.reconstruction import ODE
from memaudit.records import COPY
from memaudit.report.remarks import captions_told, noisy_rows, reference_rows, remarks
from memaudit.run.record import CaptionsRecord, Levels, Record
from memaudit.statistics.conduct import ReferenceUse
from memaudit.statistics.copies import InputResult, NoisyTraining

UNASKED = NoisyTraining("ambient", 0.5, 0.5, "no copies stand beside it; give --noisy-copies")


def with_noisy(record: Record, noisy: NoisyTraining) -> Record:
    conduct = replace(record.summary.conduct, noisy=noisy)
    return replace(record, summary=replace(record.summary, conduct=conduct))


def test_a_plain_scan_needs_no_remark() -> None:
    assert list(remarks(none())) == []


def test_levels_that_were_left_out_are_named() -> None:
    levels = Levels((1.0,), (0.001, 90.0), None)
    record = replace(none(), prepared=replace(none().prepared, levels=levels))
    assert list(remarks(record)) == [
        "sigma 0.001 is outside the model's range: skipped",
        "sigma 90 is outside the model's range: skipped",
    ]


def test_all_that_is_wrong_is_said_in_order() -> None:
    assert list(remarks(evidence())) == [
        "sigma 90 is outside the range of model or reference: skipped",
        "sigma 0.5 is not above the noise of the noisy copies: skipped for them",
        "the model is told captions and no image has one: it was told nothing",
    ]


@pytest.mark.parametrize("captions", [CaptionsRecord("own", 1), CaptionsRecord("empty", 0), None])
def test_captions_that_were_told_or_not_wanted_need_no_remark(captions) -> None:
    record = replace(none(), prepared=replace(none().prepared, captions=captions))
    assert list(remarks(record)) == []


def with_data(record: Record, **data: object) -> Record:
    prepared = record.prepared
    return replace(record, prepared=replace(prepared, data=replace(prepared.data, **data)))


def test_what_was_made_of_pixels_and_captions_is_said() -> None:
    changed = {"transparent": 40, "grey of 12 bits reduced to 8": 3}
    grey, alpha, lost = remarks(with_data(none(), changed=changed, lost=2))
    assert grey == "3 of 128 images: grey of 12 bits reduced to 8"
    assert alpha.startswith("40 of 128 images are transparent in part: composited on white")
    assert alpha.endswith("give what the training did, --alpha black or --alpha drop")
    assert lost == "captions of 2 images cannot be read: errors.csv says why"


def test_how_many_captions_there_are_and_how_many_are_told_is_said() -> None:
    record = with_data(none(), captions=100)
    assert captions_told(record) == "100 of 128 images have one; the model is told none"
    told = replace(record.prepared, captions=CaptionsRecord("own", 90))
    said = captions_told(replace(record, prepared=told))
    assert "the model is told 90, one a group" in said
    assert said.endswith("(--prompt own)")
    assert list(remarks(replace(record, prepared=told))) == [
        "28 of 128 images have no caption to be told"
    ]


def test_an_audit_against_clean_images_only_is_remarked_with_its_advice() -> None:
    [said] = remarks(with_noisy(none(), UNASKED))
    assert said.startswith("the model was trained on noisy data and audited against clean images")
    assert said.endswith(UNASKED.advice)


def test_noisy_data_is_told_with_what_was_audited() -> None:
    assert noisy_rows(None) == []
    start = "ambient, noise 0.5 in the training images; audited against clean images"
    assert noisy_rows(UNASKED) == [("noisy data", f"{start} only: {UNASKED.advice}")]
    assert noisy_rows(replace(UNASKED, advice="")) == [("noisy data", f"{start} and noisy copies")]


def test_each_input_is_told_by_itself() -> None:
    alone = InputResult(ODE, COPY, ("copy_correlation",), 3, None, None)
    rows = noisy_rows(replace(UNASKED, advice="", by_input=(alone,)))
    assert rows[1:] == [("by noisy copy", "reconstruction-ode: 3 of the flags rest on it")]


def test_the_frozen_noise_is_told_of_the_level_that_shows_it_best() -> None:
    noisy = evidence().summary.conduct.noisy
    assert noisy is not None
    assert noisy.correlation is not None
    [level] = noisy.correlation.levels
    weak = replace(level, sigma=9.0, p_value=0.5, frozen=0.01)
    both = replace(noisy.correlation, levels=(weak, level), p_value=2e-11)
    name, said = noisy_rows(replace(noisy, correlation=both))[-1]
    assert name == "frozen noise"
    assert said.startswith(
        "the model returns the frozen noise of its training copies: p < 0.0001, "
    )
    assert "0.210 with it and -0.004 with fresh noise at sigma 2 " in said
    quiet = replace(noisy.correlation, p_value=0.06)
    assert noisy_rows(replace(noisy, correlation=quiet))[-1][1].startswith("no sign that the model")


def test_a_reference_is_told_with_what_it_saw() -> None:
    assert reference_rows(None) == []
    [first, second] = reference_rows(ReferenceUse("twin", "other", 500, 0, 3))
    assert first == (
        "reference",
        "twin, trained on other: it saw 0 members and 3 controls, left out, of 500 images read",
    )
    assert second == (
        "",
        "own similarity minus that of the reference is a part of the score",
    )
    [(_, said), _] = reference_rows(ReferenceUse("twin", "unrelated", 0, 0, 0))
    assert said == "twin, trained on unrelated: not checked: none of its images are at hand"
