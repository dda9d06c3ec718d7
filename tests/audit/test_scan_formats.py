import io
import tarfile

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from runs import ask, assert_same_findings

from memaudit.audit import scan


def write_parquet(folder, target):
    """Write images as rows {bytes, path} in groups of seven."""
    files = sorted(folder.iterdir())
    cells = [{"bytes": path.read_bytes(), "path": path.name} for path in files]
    target.mkdir()
    pq.write_table(pa.table({"image": cells}), target / "train-0.parquet", row_group_size=7)


def write_archive(folder, target):
    """Write images as samples of a WebDataset archive."""
    target.mkdir()
    with tarfile.open(target / "shard-0.tar", "w") as archive:
        for path in sorted(folder.iterdir()):
            data = path.read_bytes()
            member = tarfile.TarInfo(path.name)
            member.size = len(data)
            archive.addfile(member, io.BytesIO(data))


@pytest.mark.parametrize("write", [write_parquet, write_archive])
def test_the_same_pixels_give_the_same_findings_in_any_container(write, sides, tmp_path):
    packed = {}
    for name in ("members", "controls"):
        packed[name] = tmp_path / f"packed-{name}"
        write(getattr(sides, name), packed[name])
    quick = {"images": 2, "power": False}
    expected = scan(ask(sides.members, tmp_path / "a", controls=sides.controls, **quick))
    found = scan(ask(packed["members"], tmp_path / "b", controls=packed["controls"], **quick))
    assert found.findings["source"].str.contains("#").all()
    assert_same_findings(found.findings, expected.findings, by=("split", "example_id"))
    for strip in (tmp_path / "a" / "images").iterdir():
        assert (tmp_path / "b" / "images" / strip.name).read_bytes() == strip.read_bytes()
