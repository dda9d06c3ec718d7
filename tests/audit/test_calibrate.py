"""Findings made anew of the scores of a finished run."""

import shutil
from dataclasses import replace
from pathlib import Path

import pandas as pd
import pytest
from noisy_models import memorizer, write
from runs import ask, save, written_at

from memaudit.audit import scan
from memaudit.audit.calibration import recalibrate
from memaudit.config import CalibrationConfig, Noise
from memaudit.errors import RunDirectoryError
from memaudit.report.words import describe
from memaudit.run.directory import RunDirectory
from memaudit.run.store import hold

STRICT = CalibrationConfig(q=0.001)


def _plain(tiles, folder):
    (folder / "members" / "broken.png").write_bytes(b"no image")
    return {"controls": save(folder / "controls", tiles[15:55])}, None


def _adaptive(tiles, folder):
    controls = save(folder / "controls", tiles[15:])
    return {"controls": controls, "adaptive": True, "steps": 16, "shard_size": 20}, None


def _noisy(tiles, folder):
    options = {"noise": Noise(sigmas=(0.8, 3.0), draws=1), "model": "my own"}
    loaded = memorizer(tiles[:15], write(folder / "model", tiles[:15]))
    return {"controls": save(folder / "controls", tiles[15:55]), **options}, loaded


@pytest.fixture(params=[_plain, _adaptive, _noisy])
def asked(request, tiles, tmp_path):
    """A question, and the model where it is none that a scan opens itself."""
    members = save(tmp_path / "data" / "members", tiles[:15])
    options, loaded = request.param(tiles, tmp_path / "data")
    save(tmp_path / "data" / "memorized", tiles[:15])
    model = {"model": f"closed-form:{tmp_path / 'data' / 'memorized'}"}
    return ask(members, tmp_path / "run", **{"images": 50, **model, **options}), loaded


def test_another_q_gives_what_a_scan_asked_with_it_finds_without_model_or_data(asked, tmp_path):
    config, loaded = asked
    first = scan(config, loaded=loaded)
    assert bool(first.summary.conduct.effort.screen) == bool(config.attack.adaptive)
    fresh = scan(replace(config, q=0.001, out=str(tmp_path / "fresh")), loaded=loaded)
    shutil.rmtree(tmp_path / "data")
    run = Path(config.execution.out)
    works = ("scores", "screen", "power")
    before = {work: written_at(run / work) for work in works}
    result = recalibrate(str(run), STRICT)
    assert {work: written_at(run / work) for work in works} == before
    assert first.summary.flagged.groups > result.summary.flagged.groups
    assert result.findings.equals(fresh.findings)
    assert result.scores.equals(first.scores)
    assert result.errors.equals(fresh.errors)
    assert result.summary == fresh.summary
    assert result.exit_code == fresh.exit_code


def test_what_is_kept_is_what_was_found_last_and_every_calibration_is_recorded(asked):
    config, loaded = asked
    first, run = scan(config, loaded=loaded), RunDirectory.at(config.execution.out)
    strict = recalibrate(run.place, STRICT)
    assert run.findings().equals(strict.findings)
    assert run.record() == strict.record
    assert strict.config == replace(config, q=0.001).settled(55)
    assert (Path(run.place) / "summary.txt").read_text() == describe(strict.record) + "\n"
    again = recalibrate(run.place, config.calibration)
    pd.testing.assert_frame_equal(again.findings, first.findings)
    assert again.summary == first.summary
    flagged = first.summary.flagged.groups
    kept = [(one.q, one.flagged, one.outcome) for one in run.record().calibrations]
    assert kept == [
        (0.05, flagged, str(first.summary.verdict.outcome)),
        (0.001, strict.summary.flagged.groups, str(strict.summary.verdict.outcome)),
        (0.05, flagged, str(first.summary.verdict.outcome)),
    ]


def test_the_scan_that_was_recalibrated_can_be_asked_again(asked):
    config, loaded = asked
    first = scan(config, loaded=loaded)
    recalibrate(config.execution.out, STRICT)
    before = written_at(Path(config.execution.out) / "scores")
    again = scan(config, loaded=loaded)
    assert written_at(Path(config.execution.out) / "scores") == before
    assert again.findings.equals(first.findings)
    assert [one.q for one in again.record.calibrations] == [0.05, 0.001, 0.05]


@pytest.fixture
def config(sides, tmp_path):
    return ask(sides.members, tmp_path / "run", controls=sides.controls, images=50, shard_size=20)


def test_pictures_of_what_is_not_flagged_any_more_go(config, tmp_path):
    folder = tmp_path / "run" / "images"
    first = scan(config)
    assert len(list(folder.iterdir())) == first.summary.flagged.groups > 0
    recalibrate(config.execution.out, CalibrationConfig(q=0.9))
    assert len(list(folder.iterdir())) == first.summary.flagged.groups
    recalibrate(config.execution.out, STRICT)
    assert list(folder.iterdir()) == []


@pytest.mark.parametrize("moment", [("embed", 55), ("scan", 20), ("power", 20)])
def test_an_unfinished_run_is_refused(config, moment):
    def stop(stage, done, _):
        if (stage, done) == moment:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        scan(config, stop)
    with pytest.raises(RunDirectoryError, match="holds a scan that is not finished"):
        recalibrate(config.execution.out, STRICT)


def test_what_is_no_run_directory_is_refused_and_left_as_it_is(tmp_path):
    with pytest.raises(RunDirectoryError, match="is no run directory"):
        recalibrate(str(tmp_path / "nowhere"), STRICT)
    (tmp_path / "empty").mkdir()
    with pytest.raises(RunDirectoryError, match="is no run directory"):
        recalibrate(str(tmp_path / "empty"), STRICT)
    assert [path.name for path in tmp_path.iterdir()] == ["empty"]
    assert list((tmp_path / "empty").iterdir()) == []


def test_a_run_in_use_is_refused(config):
    scan(config)
    before = RunDirectory.at(config.execution.out).record()
    with (
        hold(Path(config.execution.out)),
        pytest.raises(RunDirectoryError, match="is in use by another scan"),
    ):
        recalibrate(config.execution.out, STRICT)
    assert RunDirectory.at(config.execution.out).record() == before
