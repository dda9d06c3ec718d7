"""The report at the end of a scan, and `memaudit report` of finished ones."""

import pytest


@pytest.fixture
def run(scan, members, controls, tmp_path):
    """A finished scan."""
    assert scan(members, "--controls", controls).code == 0
    return tmp_path / "run"


def test_a_scan_leaves_a_report_and_ends_with_its_path(scan, members, controls, tmp_path):
    finished = scan(members, "--controls", controls)
    report = tmp_path / "run" / "report.html"
    *_, said, digest = finished.out.splitlines()
    assert said == f"Report: {report}"
    assert digest.startswith("Digest: ")
    text = report.read_text(encoding="utf-8")
    assert "Evidence of reproduction" in text
    assert text.count("<img ") == 6


def test_a_scan_leaves_none_where_none_is_wanted(scan, members, controls, run):
    finished = scan(members, "--controls", controls, "--no-report")
    assert "Report:" not in finished.out
    assert not (run / "report.html").exists()


def test_a_new_calibration_makes_the_report_anew(memaudit_command, run):
    before = (run / "report.html").read_text(encoding="utf-8")
    assert memaudit_command("calibrate", run, "--q", 0.001).code == 0
    after = (run / "report.html").read_text(encoding="utf-8")
    assert "<img " in before
    assert "<img " not in after


def test_a_report_of_a_run_says_the_same_as_its_own(memaudit_command, run, tmp_path):
    made = memaudit_command("report", run, "--out", tmp_path / "new" / "report")
    path = tmp_path / "new" / "report" / "report.html"
    assert made.code == 0
    assert made.out == f"Report: {path}\n"
    own = (run / "report.html").read_text(encoding="utf-8").replace(str(run), "run")
    assert path.read_text(encoding="utf-8").replace(str(run), "run") == own


def test_several_runs_are_compared(memaudit_command, scan, members, controls, run, tmp_path):
    other = tmp_path / "other"
    words = ("--controls", controls, "--out", other)
    assert scan(members, *words).code == 0
    made = memaudit_command("report", run, other, "--out", tmp_path / "both")
    assert made.code == 0
    text = (tmp_path / "both" / "report.html").read_text(encoding="utf-8")
    assert "The comparison" in text
    assert "Compared, the first is the base" in text
    assert text.count("Evidence of reproduction</h2>") == 2


def test_runs_that_are_unlike_are_reported_with_the_reason(
    memaudit_command, scan, members, controls, run, tmp_path
):
    other = tmp_path / "other"
    assert scan(members, "--controls", controls, "--out", other, "--seed", 1).code == 0
    made = memaudit_command("report", run, other, "--out", tmp_path / "both")
    assert made.code == 0
    text = (tmp_path / "both" / "report.html").read_text(encoding="utf-8")
    assert "The runs are not compared." in text
    assert "seed" in text.partition("The runs are not compared.")[2][:300]


def test_a_section_for_a_model_card_shows_names_as_they_are(
    memaudit_command, scan, write_folder, tiles, controls, tmp_path
):
    folder = write_folder("a_b*[x](y)", tiles[:6])
    assert scan(folder, "--controls", controls).code == 0
    out = tmp_path / "card"
    made = memaudit_command("report", tmp_path / "run", "--out", out, "--format", "md")
    assert made.code == 0
    text = (out / "report.md").read_text(encoding="utf-8")
    assert text.startswith("## Memorization\n")
    assert r"a\_b\*\[x\](y)" in text
    assert "| Generated without the image | not tested |" in text


def test_an_unfinished_run_is_refused_and_nothing_is_written(memaudit_command, run, tmp_path):
    (run / "scan.json").unlink()
    made = memaudit_command("report", run, "--out", tmp_path / "report")
    assert made.code == 2
    assert "holds a scan that is not finished" in made.err
    assert not (tmp_path / "report").exists()


def test_a_report_is_not_written_into_a_run(memaudit_command, run):
    made = memaudit_command("report", run, "--out", run)
    assert made.code == 2
    assert "give a place elsewhere" in made.err


def test_a_redacted_report_of_two_runs_names_neither(
    memaudit_command, scan, members, controls, run, tmp_path
):
    other = tmp_path / "other"
    assert scan(members, "--controls", controls, "--out", other).code == 0
    out = tmp_path / "both"
    made = memaudit_command("report", run, other, "--out", out, "--redact")
    assert made.code == 0
    text = (out / "report.html").read_text(encoding="utf-8")
    assert "run 1" in text
    assert str(tmp_path) not in text
    assert ".png" not in text


def test_a_key_without_redaction_is_refused(memaudit_command, run, tmp_path):
    made = memaudit_command("report", run, "--out", tmp_path / "r", "--redact-key", "key")
    assert made.code == 2
    assert "--redact-key is given without --redact" in made.err


def test_all_formats_are_written_and_named(memaudit_command, run, tmp_path):
    out = tmp_path / "all"
    made = memaudit_command("report", run, "--out", out, "--format", "html,md,csv,json", "--bom")
    assert made.code == 0
    names = ["report.html", "report.md", "findings.csv", "findings-short.csv", "report.json"]
    assert made.out == "".join(f"Report: {out / name}\n" for name in names)
    own = (run / "findings.csv").read_bytes()
    assert (out / "findings.csv").read_bytes() == b"\xef\xbb\xbf" + own


def test_a_mark_without_a_table_is_refused(memaudit_command, run, tmp_path):
    made = memaudit_command("report", run, "--out", tmp_path / "r", "--bom")
    assert made.code == 2
    assert "give --format csv with it" in made.err


def test_the_columns_are_explained_without_a_run(memaudit_command, run):
    made = memaudit_command("report", "--columns")
    assert made.code == 0
    header = (run / "findings.csv").read_text(encoding="utf-8").splitlines()[0]
    lines = [line.split(maxsplit=1) for line in made.out.splitlines()]
    assert [name for name, _ in lines] == header.split(",")
    assert all(meaning for _, meaning in lines)
    assert sum(meaning.startswith("short ") for _, meaning in lines) == 10
