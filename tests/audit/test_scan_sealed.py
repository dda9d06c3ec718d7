"""What a finished run holds is believed as it was sealed, by all that read it or go on with it."""

import json
import shutil
from dataclasses import replace
from pathlib import Path

import pytest
from runs import ask, save

from memaudit.audit import scan
from memaudit.audit.calibration import recalibrate
from memaudit.audit.replay import replay
from memaudit.config import CalibrationConfig, ReplayConfig
from memaudit.errors import RunDirectoryError
from memaudit.report.finished import read_reported
from memaudit.run.directory import RunDirectory

CHANGED = r"{} was changed after its scan had written it.*run its scan again"


@pytest.fixture(scope="module")
def config(tiles, tmp_path_factory):
    """A finished scan in which members are flagged."""
    folder = tmp_path_factory.mktemp("sealed")
    members = save(folder / "members", tiles[:15])
    asked = ask(
        members,
        folder / "run",
        model=f"closed-form:{members}",
        controls=save(folder / "controls", tiles[15:55]),
        images=2,
        shard_size=20,
        power=False,
    )
    scan(asked)
    return asked


@pytest.fixture
def run(config, tmp_path) -> Path:
    """A copy of it."""
    return Path(shutil.copytree(config.execution.out, tmp_path / "run"))


def change(path: Path, **fields: object) -> None:
    path.write_text(json.dumps(json.loads(path.read_text()) | fields))


def change_question(run: Path) -> str:
    change(run / "run.json", note="signed off")
    return "run.json"


def change_prepared(run: Path) -> str:
    change(run / "prepared.json", device="cuda")
    return "prepared.json"


def swap_pictures(run: Path) -> str:
    one, other = sorted((run / "images").iterdir())
    shutil.copy(other, one)
    return one.name


def add_a_picture(run: Path) -> str:
    one, other = sorted((run / "images").iterdir())
    added = one.with_name(f"9999-{one.name.partition('-')[2]}")
    shutil.copy(other, added)
    return added.name


CHANGES = [change_question, change_prepared, swap_pictures, add_a_picture]


@pytest.mark.parametrize("damage", CHANGES)
def test_a_calibration_seals_nothing_that_was_changed(run, damage):
    name, sealed = damage(run), (run / "manifest.json").read_bytes()
    with pytest.raises(RunDirectoryError, match=CHANGED.format(name)):
        recalibrate(str(run), CalibrationConfig(q=0.01))
    assert (run / "manifest.json").read_bytes() == sealed


def test_a_calibration_makes_anew_what_it_writes(run):
    for name in ("findings.csv", "errors.csv", "summary.txt", "report.html"):
        (run / name).write_text("changed")
    recalibrate(str(run), CalibrationConfig())
    assert "changed" not in (run / "summary.txt").read_text()
    assert len((run / "findings.csv").read_text()) > 100


@pytest.mark.parametrize("damage", [swap_pictures, add_a_picture])
def test_a_report_shows_no_picture_that_was_changed(run, damage):
    name = damage(run)
    with pytest.raises(RunDirectoryError, match=CHANGED.format(name)):
        read_reported(str(run))


def test_findings_are_repeated_of_what_was_sealed_alone(config, run):
    name = change_prepared(run)
    places = {"model": config.target.spec, "dataset": config.data.dataset}
    asked = ReplayConfig(replay=1, controls=config.data.controls, **places)
    with pytest.raises(RunDirectoryError, match=CHANGED.format(name)):
        replay(str(run), asked)


@pytest.mark.parametrize("damage", CHANGES)
def test_a_scan_that_goes_on_writes_anew_what_was_changed(config, run, damage):
    before = {path.name: path.read_bytes() for path in run.rglob("*.*") if path.is_file()}
    damage(run)
    scan(replace(config, out=str(run)))
    RunDirectory.at(run).record()
    for name in ("run.json", "findings.csv", *(path.name for path in (run / "images").iterdir())):
        assert next(run.rglob(name)).read_bytes() == before[name]
    assert RunDirectory.at(run).prepared().device == "cpu"


def test_a_changed_record_of_what_was_settled_is_said_and_settled_anew(config, run, caplog):
    found = RunDirectory.at(run).findings()
    change(run / "prepared.json", shard_size=10)
    scan(replace(config, out=str(run)))
    assert "prepared.json was changed after its scan had written it" in caplog.text
    assert RunDirectory.at(run).prepared().shard_size == 20
    assert RunDirectory.at(run).findings().equals(found)


@pytest.mark.parametrize("shard_size", [10, 30])
def test_parts_of_another_size_are_no_scores_of_an_image_twice(config, run, shard_size):
    scores = RunDirectory.at(run).parts("scores")
    scores.write(0, scores.read(0))  # the run is not finished any more
    change(run / "prepared.json", shard_size=shard_size)
    with pytest.raises(RunDirectoryError, match=r"scores in .* are of other images"):
        scan(replace(config, out=str(run)))
