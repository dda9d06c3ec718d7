"""What a scan keeps of the clusters that images belong to."""

import pytest
from runs import ask

from memaudit.audit import scan
from memaudit.audit.bench import open_bench
from memaudit.audit.listing import list_data
from memaudit.audit.spec import BenchSpec
from memaudit.config import DataConfig
from memaudit.errors import DataError, RunDirectoryError
from memaudit.run.directory import RunDirectory

QUICK = {"power": False, "steps": 2}


@pytest.fixture
def clustered(sides):
    """The sides with metadata that tell a cluster of every two images."""
    for folder in (sides.members, sides.controls):
        write_clusters(folder)
    return sides


def write_clusters(folder, each=2, untold=""):
    names = sorted(path.name for path in folder.glob("*.png"))
    clusters = {name: f"{folder.name} {k // each}" for k, name in enumerate(names)}
    rows = [f"{name},{cluster}" for name, cluster in {**clusters, untold: ""}.items() if name]
    (folder / "metadata.csv").write_text("\n".join(["file_name,photograph", *rows]))


def config(sides, out, **changes):
    asked = {**QUICK, "cluster_column": "photograph", **changes}
    return ask(sides.members, out, controls=sides.controls, **asked)


def test_the_pool_has_the_cluster_of_every_image(clustered, tmp_path):
    (clustered.controls / "bad.png").write_bytes(b"no image")
    write_clusters(clustered.controls)
    asked = config(clustered, tmp_path / "run")
    scan(asked)
    pool = RunDirectory.at(tmp_path / "run").pool()
    read = pool[pool["error"] == ""]
    expected = [f"{row.split}s {int(row.source[:3]) // 2}" for row in read.itertuples()]
    assert read["cluster"].tolist() == expected
    assert pool.loc[pool["error"] != "", "cluster"].tolist() == [""]
    spec = BenchSpec(asked.data, asked.target, asked.attack, asked.execution)
    _, candidates = open_bench(spec)
    assert set(candidates.ids) == set(read["example_id"])


def test_without_the_option_no_image_has_a_cluster(clustered, tmp_path):
    scan(config(clustered, tmp_path / "run", cluster_column=None))
    assert set(RunDirectory.at(tmp_path / "run").pool()["cluster"]) == {""}


def test_other_clusters_are_another_question_and_the_same_index(clustered, tmp_path):
    asked = config(clustered, tmp_path / "run", index=tmp_path / "index")
    scan(asked)
    write_clusters(clustered.controls, each=4)
    with pytest.raises(RunDirectoryError, match="the clusters changed"):
        scan(asked)
    other = config(clustered, tmp_path / "other", index=tmp_path / "index", cluster_column=None)
    assert scan(other).record.prepared.data.index_reused


def test_images_that_tell_no_cluster_are_refused_before_anything_is_written(clustered, tmp_path):
    write_clusters(clustered.controls, untold="003.png")
    with pytest.raises(DataError, match=r"1 images of .*controls .* \(the first: 003\.png\)"):
        scan(config(clustered, tmp_path / "run"))
    assert not (tmp_path / "run/run.json").exists()


def test_a_folder_at_both_sides_is_one_cluster(tiles, write_folder, tmp_path):
    for k, side in enumerate(("members", "controls")):
        write_folder(f"{side}/p1", tiles[4 * k : 4 * k + 2])
        write_folder(f"{side}/{side}", tiles[4 * k + 2 : 4 * k + 4])
    data = DataConfig(
        dataset=str(tmp_path / "members"),
        controls=str(tmp_path / "controls"),
        cluster_column="folder",
    )
    found = [row.entry.cluster for row in list_data(data, 0).rows]
    assert found == ["members"] * 2 + ["p1"] * 2 + ["controls"] * 2 + ["p1"] * 2
