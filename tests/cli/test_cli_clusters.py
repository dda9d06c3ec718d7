"""--cluster-column on the command line and in files of options."""

import pandas as pd
import pytest


@pytest.fixture
def clustered(members, controls):
    """Both sides, with metadata that tell a cluster of every two images."""
    for folder in (members, controls):
        names = sorted(path.name for path in folder.glob("*.png"))
        rows = [f"{name},{folder.name} {k // 2}" for k, name in enumerate(names)]
        (folder / "metadata.csv").write_text("\n".join(["file_name,photograph", *rows]))
    return members, "--controls", controls


@pytest.mark.parametrize("by", ["flag", "file"])
def test_clusters_are_asked_for_by_a_flag_or_in_a_file(scan, clustered, tmp_path, by):
    file = tmp_path / "options.toml"
    file.write_text('[scan]\ncluster-column = "photograph"\n')
    words = ("--config", file) if by == "file" else ("--cluster-column", "photograph")
    run = scan(*clustered, "--no-power", *words)
    assert run.code in (0, 4)
    pool = pd.read_parquet(tmp_path / "run" / "pool.parquet")
    assert pool["cluster"].nunique() == 3 + 22


@pytest.mark.parametrize(
    ("column", "said"),
    [("nope", "no cluster column 'nope'"), ("folder", "lie in no folder of their own")],
)
def test_a_plan_and_a_scan_refuse_clusters_that_are_not_told(
    memaudit_command, scan, clustered, column, said
):
    members = clustered[0]
    words = (*clustered, "--cluster-column", column)
    plan = memaudit_command("plan", f"closed-form:{members}", *words, "--embedder", "pixels")
    for run in (plan, scan(*words)):
        assert (run.code, run.out) == (2, "")
        assert said in run.err
