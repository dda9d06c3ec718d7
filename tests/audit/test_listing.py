from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from memaudit.audit.listing import list_data
from memaudit.audit.models import open_model
from memaudit.config import DataConfig, ScanConfig
from memaudit.errors import ConfigError


def test_members_and_controls_can_be_two_splits_of_one_data_set(tiles, write_folder, tmp_path):
    write_folder("data/train", tiles[:4])
    write_folder("data/test", tiles[4:9])
    data = str(tmp_path / "data")
    asked = DataConfig(dataset=data, controls=data, split="train", controls_split="test")
    listing = list_data(asked, seed=0)
    assert [row.split for row in listing.rows].count("member") == 4
    assert [row.split for row in listing.rows].count("control") == 5


@pytest.mark.parametrize("inner", ["members", "controls"])
def test_a_side_inside_the_other_is_refused(tiles, write_folder, tmp_path, inner):
    folder = str(write_folder("all/inner", tiles[:4]))
    outer = str(tmp_path / "all")
    dataset, controls = (folder, outer) if inner == "members" else (outer, folder)
    with pytest.raises(ConfigError, match="lies inside the other"):
        list_data(DataConfig(dataset=dataset, controls=controls), seed=0)


def test_another_image_column_is_other_data(tmp_path, write_folder, tiles):
    pictures = [p.read_bytes() for p in sorted(write_folder("x", tiles[:4]).iterdir())]
    table = pa.table({"image": pictures[:2], "cond": pictures[2:]})
    pq.write_table(table, tmp_path / "a.parquet")
    prints = {
        column: list_data(
            DataConfig(dataset=str(tmp_path / "a.parquet"), image_column=column), seed=0
        ).fingerprint
        for column in ("image", "cond")
    }
    assert prints["image"] != prints["cond"]


def test_half_precision_on_the_cpu_is_refused(unet: Path):
    config = ScanConfig(model=str(unet), dataset="d", out="o", dtype="float16", device="cpu")
    with pytest.raises(ConfigError, match="--dtype float16 is for a GPU"):
        open_model(config.target, config.data, config.execution)


def test_a_negative_seed_is_refused_before_anything_runs():
    with pytest.raises(ConfigError, match="--seed must be 0 or more, found -1"):
        ScanConfig(model="m", dataset="d", out="o", seed=-1)
