import json
import shutil
from pathlib import Path

import pytest
from runs import ask, cut, photographed, save
from skimage import data as photographs

from memaudit.audit import scan
from memaudit.config import Noise
from memaudit.statistics.verdict import Outcome


@pytest.fixture(scope="module")
def mixed():
    """80 different tiles of three photographs, in a random order."""
    return photographed()[:80]


@pytest.fixture
def scan_of(tmp_path):
    """Scan the perfect memorizer of the members, which gives evidence where nothing forbids it."""

    def run(members, controls, **changes):
        noise = Noise(sigmas=(0.3,), draws=1)
        quick = {"noise": noise, "steps": 2, "power": False, **changes}
        return scan(ask(members, tmp_path / "run", controls=controls, **quick))

    return run


def assert_shift(result):
    """Require an alarm that ends in an open verdict, however small the p-values."""
    summary = result.summary
    assert summary.exchangeability.alarm
    assert summary.dataset.raw.p_value < 0.025
    assert summary.verdict.outcome is Outcome.INCONCLUSIVE
    assert result.exit_code == 4
    assert [reason.split(":")[0] for reason in summary.verdict.reasons] == ["shift detected"]


def test_a_random_split_raises_no_alarm(scan_of, mixed, tmp_path):
    members, controls = save(tmp_path / "a", mixed[:40]), save(tmp_path / "b", mixed[40:])
    result = scan_of(members, controls)
    found = result.summary.exchangeability
    assert (found.members, found.controls) == (40, 40)
    assert not found.alarm
    assert result.summary.verdict.outcome is Outcome.EVIDENCE


def test_where_the_kind_of_file_tells_who_is_a_member_memorization_cannot_be_told_from_it(
    scan_of, mixed, tmp_path
):
    members = save(tmp_path / "a", mixed[:40])
    result = scan_of(members, save(tmp_path / "b", mixed[40:], "jpg", quality=90))
    assert_shift(result)
    strongest = result.summary.exchangeability.separates[0]
    assert (strongest.what, strongest.members, strongest.controls) == ("file format", "PNG", "JPEG")
    assert strongest.auc == 1
    (reason,) = result.summary.verdict.reasons
    assert "what differs: file format (PNG against JPEG, AUC 1.00)" in reason
    assert reason.endswith("give controls from the same source, prepared the same way")
    run = Path(result.config.execution.out)
    assert "the two sides differ: shift" in (run / "summary.txt").read_text()
    assert json.loads((run / "scan.json").read_text())["verdict"]["reasons"] == [reason]


def test_a_difference_that_tells_nothing_of_the_score_is_named_and_stops_nothing(
    scan_of, mixed, tmp_path
):
    """Nothing is memorized, and what the format tells of the score is nothing."""
    members = save(tmp_path / "a", mixed[:25], "bmp")
    controls = save(tmp_path / "b", mixed[25:70])
    others = save(tmp_path / "c", mixed[70:])
    result = scan_of(members, controls, model=f"closed-form:{others}", seed=1)
    found = result.summary.exchangeability
    assert not found.alarm
    assert "file format" in [one.what for one in found.separates]
    assert (
        "tells nothing of the score: file format (BMP against PNG)"
        in (Path(result.config.execution.out) / "summary.txt").read_text()
    )
    assert "shift" not in result.summary.verdict.sentence


def test_controls_of_another_photograph_are_a_shift_and_what_differs_is_named(scan_of, tmp_path):
    members = save(tmp_path / "a", cut(photographs.chelsea(), side=48)[:40])
    controls = save(tmp_path / "b", cut(photographs.astronaut(), side=48)[:40])
    result = scan_of(members, controls)
    assert_shift(result)
    separates = result.summary.exchangeability.separates
    assert 0 < len(separates) <= 5
    (reason,) = result.summary.verdict.reasons
    for one in separates[:3]:
        assert f"{one.what} ({one.members} against {one.controls}, AUC {one.auc:.2f})" in reason


def test_a_small_side_is_compared_too(scan_of, tmp_path):
    members = save(tmp_path / "a", cut(photographs.chelsea(), side=48)[:12])
    controls = save(tmp_path / "b", cut(photographs.astronaut(), side=48)[:60])
    result = scan_of(members, controls)
    found = result.summary.exchangeability
    assert (found.members, found.controls) == (12, 60)
    assert found.p_value is not None


def test_a_side_too_small_for_any_test_is_no_comparison(scan_of, mixed, tmp_path):
    members = save(tmp_path / "a", mixed[:1])
    result = scan_of(members, save(tmp_path / "b", mixed[1:61]))
    assert result.summary.exchangeability.p_value is None
    assert "cannot be tested at level 0.01" in result.summary.verdict.sentence


def test_copies_of_one_image_count_once(scan_of, mixed, tmp_path):
    members = save(tmp_path / "a", mixed[:20])
    for k in range(30):
        shutil.copy(members / "000.png", members / f"copy-{k:02d}.png")
    result = scan_of(members, save(tmp_path / "b", mixed[20:65]))
    assert result.summary.counts.members == 50
    assert result.summary.exchangeability.members == 20
    assert not result.summary.exchangeability.alarm


def test_images_on_both_sides_count_once(scan_of, mixed, tmp_path):
    members = save(tmp_path / "a", mixed[:30])
    result = scan_of(members, save(tmp_path / "b", mixed[25:70]))
    found = result.summary.exchangeability
    assert result.summary.counts.spanning_groups == 5
    assert found.members + found.controls == 70
    assert 25 <= found.members <= 30
