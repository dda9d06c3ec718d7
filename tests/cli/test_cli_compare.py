"""memaudit compare."""

import json
import subprocess
import sys

import pytest


@pytest.fixture
def two(scan, members, controls, tmp_path):
    """A run of the perfect memorizer of the members, and one with another seed."""
    outs = [tmp_path / "one", tmp_path / "two"]
    for seed, out in enumerate(outs):
        common = ("--controls", controls, "--no-power", "--sigma", "1", "--seed", seed)
        assert scan(members, *common, "--out", out).code in (0, 4)
    return outs


def test_compare_prints_a_table_and_writes_when_asked(memaudit_command, two, tmp_path):
    run = memaudit_command("compare", two[0], two[0])
    assert run.code == 0
    assert "bring all 6 members back alike" in run.out
    assert "ode" in run.out
    assert sorted(path.name for path in tmp_path.iterdir() if path.name == "out") == []
    run = memaudit_command("compare", two[0], two[0], "--out", tmp_path / "out", "--json")
    assert run.code == 0
    assert json.loads(run.out)["differences"][0]["ties"] == 6
    assert json.loads((tmp_path / "out" / "comparison.json").read_text()) == json.loads(run.out)


def test_runs_that_differ_end_in_2_with_the_difference_named(memaudit_command, two):
    run = memaudit_command("compare", *two)
    assert (run.code, run.out) == (2, "")
    assert "seed is 1, expected 0" in run.err


def test_usage_errors_end_in_2(memaudit_command, two, tmp_path):
    assert memaudit_command("compare").code == 2
    run = memaudit_command("compare", two[0])
    assert run.code == 2
    assert "expected two or more" in run.err
    run = memaudit_command("compare", two[0], tmp_path / "nowhere")
    assert run.code == 2
    assert "is no run directory" in run.err


def test_help_of_compare_imports_neither_torch_nor_matplotlib():
    program = (
        "import sys\nfrom memaudit.cli import main\n"
        "try:\n    main(['compare', '--help'])\nfinally:\n"
        "    print(sorted({'torch', 'matplotlib', 'numpy', 'pandas'} & set(sys.modules)))"
    )
    command = [sys.executable, "-c", program]
    left = subprocess.run(command, capture_output=True, text=True, check=True)
    assert left.stdout.endswith("\n[]\n")
