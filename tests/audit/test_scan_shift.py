import json
import shutil
from pathlib import Path

import pytest
from runs import ask, cut, save
from skimage import data as photographs

from memaudit.audit import scan
from memaudit.config import Corruption
from memaudit.statistics.verdict import Outcome


@pytest.fixture(scope="module")
def mixed():
    """80 different tiles of three photographs, in a random order."""
    return cut(photographs.astronaut(), photographs.coffee(), photographs.chelsea(), side=48)[:80]


@pytest.fixture
def scan_of(tmp_path):
    """Scan the perfect memorizer of the members, which gives evidence where nothing forbids it."""

    def run(members, controls, **changes):
        noise = Corruption(sigmas=(0.3,), draws=1)
        quick = {"corruption": noise, "steps": 2, "power": False, **changes}
        return scan(ask(members, tmp_path / "run", controls=controls, **quick))

    return run


def assert_shift(result):
    """Require an alarm that ends in an open verdict, however small the p-values."""
    summary = result.summary
    assert summary.conduct.exchangeability.alarm
    assert summary.flagged.groups > 0
    assert summary.dataset.test.p_value < 0.025
    assert summary.verdict.outcome is Outcome.INCONCLUSIVE
    assert result.exit_code == 4
    assert [reason.split(":")[0] for reason in summary.verdict.reasons] == ["shift detected"]


def test_a_random_split_raises_no_alarm(scan_of, mixed, tmp_path):
    members, controls = save(tmp_path / "a", mixed[:40]), save(tmp_path / "b", mixed[40:])
    result = scan_of(members, controls)
    found = result.summary.conduct.exchangeability
    assert (found.members, found.controls) == (40, 40)
    assert not found.alarm
    assert found.separates == ()
    assert result.summary.verdict.outcome is Outcome.EVIDENCE


def test_controls_saved_as_jpeg_are_a_shift_and_the_format_is_named(scan_of, mixed, tmp_path):
    members = save(tmp_path / "a", mixed[:40])
    result = scan_of(members, save(tmp_path / "b", mixed[40:], "jpg", quality=90))
    assert_shift(result)
    strongest = result.summary.conduct.exchangeability.separates[0]
    assert (strongest.what, strongest.members, strongest.controls) == ("file format", "PNG", "JPEG")
    assert strongest.auc == 1
    (reason,) = result.summary.verdict.reasons
    assert (
        f"p {result.summary.conduct.exchangeability.p_value:.3g}; what differs: file format "
        in reason
    )
    assert "(PNG against JPEG, AUC 1.00)" in reason
    assert reason.endswith("give controls from the same source, prepared the same way")
    run = Path(result.config.execution.out)
    assert "without the model the two sides can be told apart" in (run / "summary.txt").read_text()
    assert json.loads((run / "scan.json").read_text())["verdict"]["reasons"] == [reason]


def test_controls_of_another_photograph_are_a_shift_and_what_differs_is_named(scan_of, tmp_path):
    members = save(tmp_path / "a", cut(photographs.chelsea(), side=48)[:40])
    controls = save(tmp_path / "b", cut(photographs.astronaut(), side=48)[:40])
    result = scan_of(members, controls)
    assert_shift(result)
    separates = result.summary.conduct.exchangeability.separates
    assert 0 < len(separates) <= 5
    (reason,) = result.summary.verdict.reasons
    for one in separates[:3]:
        assert f"{one.what} ({one.members} against {one.controls}, AUC {one.auc:.2f})" in reason


def test_a_shift_keeps_a_scan_that_flags_nothing_open_too(scan_of, mixed, tmp_path):
    members = save(tmp_path / "a", mixed[:25])
    controls = save(tmp_path / "b", mixed[25:70], "jpg")
    others = save(tmp_path / "c", mixed[70:])
    result = scan_of(members, controls, model=f"closed-form:{others}")
    assert result.summary.flagged.groups == 0
    assert result.exit_code == 4
    assert "shift detected" in result.summary.verdict.sentence


@pytest.mark.parametrize("sizes", [(19, 45), (30, 19)])
def test_with_fewer_than_20_images_on_a_side_they_are_not_compared(scan_of, mixed, tmp_path, sizes):
    a, b = sizes
    members = save(tmp_path / "a", mixed[:a])
    result = scan_of(members, save(tmp_path / "b", mixed[a : a + b], "jpg"))
    assert result.summary.conduct.exchangeability is None
    assert "shift" not in result.summary.verdict.sentence


def test_copies_of_one_image_count_once(scan_of, mixed, tmp_path):
    members = save(tmp_path / "a", mixed[:20])
    for k in range(30):
        shutil.copy(members / "000.png", members / f"copy-{k:02d}.png")
    result = scan_of(members, save(tmp_path / "b", mixed[20:65]))
    assert result.summary.counts.members == 50
    assert result.summary.conduct.exchangeability.members == 20
    assert not result.summary.conduct.exchangeability.alarm


def test_copies_do_not_make_a_side_large_enough(scan_of, mixed, tmp_path):
    members = save(tmp_path / "a", mixed[:19])
    for k in range(30):
        shutil.copy(members / "000.png", members / f"copy-{k:02d}.png")
    assert (
        scan_of(members, save(tmp_path / "b", mixed[19:64])).summary.conduct.exchangeability is None
    )


def test_images_on_both_sides_are_left_out_of_the_comparison(scan_of, mixed, tmp_path):
    members = save(tmp_path / "a", mixed[:30])
    result = scan_of(members, save(tmp_path / "b", mixed[25:70]))
    found = result.summary.conduct.exchangeability
    assert result.summary.counts.spanning_groups == 5
    assert (found.members, found.controls) == (25, 40)
