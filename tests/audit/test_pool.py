import json

import pytest
from runs import ask

from memaudit.audit import scan
from memaudit.audit.bench import open_bench
from memaudit.audit.spec import BenchSpec
from memaudit.config import Noise
from memaudit.errors import ConfigError, DataError

ONE_LEVEL = Noise(sigmas=(1.0,), draws=1)


@pytest.mark.parametrize("copies", [1, 3])
def test_images_that_are_all_copies_of_one_are_refused(tiles, write_folder, tmp_path, copies):
    folder = write_folder("one", [tiles[0]] * copies)
    with pytest.raises(DataError, match=f"found {copies} readable images, all copies of one"):
        scan(ask(folder, tmp_path / "run", noise=ONE_LEVEL))


def test_two_different_images_are_enough_to_be_scanned(tiles, write_folder, tmp_path):
    result = scan(ask(write_folder("two", tiles[:2]), tmp_path / "run", noise=ONE_LEVEL))
    assert result.findings["score"].notna().all()
    assert result.exit_code == 4


def test_members_that_are_also_the_controls_are_refused(sides, tmp_path):
    link = tmp_path / "link"
    link.symlink_to(sides.members)
    for controls in (sides.members, f"{sides.members}/", link):
        with pytest.raises(ConfigError, match="members and controls are the same"):
            scan(ask(sides.members, tmp_path / "run", controls=controls))


def test_images_are_compared_at_the_size_of_the_model(tiles, write_folder, unet, tmp_path):
    folder = write_folder("large", [tile.repeat(3, 0).repeat(2, 1) for tile in tiles[:4]])
    config = ask(folder, tmp_path / "run", model=unet, self_check=False, index=tmp_path / "index")
    assert len(scan(config).findings) == 4
    sidecar = json.loads((tmp_path / "index" / "index.json").read_text())
    assert sidecar["meta"]["resolution"] == "16x16"


@pytest.mark.parametrize("few", [5, 20])
def test_no_batch_holds_one_side_only(tiles, write_folder, tmp_path, few):
    """What a batch does to its images must not tell the sides apart."""
    members = write_folder("members", tiles[:few])
    controls = write_folder("controls", tiles[few:60])
    config = ask(members, tmp_path / "run", controls=controls, noise=ONE_LEVEL, power=False)
    side = scan(config).findings.set_index("example_id")["split"]
    _, candidates = open_bench(
        BenchSpec(config.data, config.target, config.attack, config.execution)
    )
    assert sorted(candidates.ids) == sorted(side.index)
    for start in range(0, 60, 15):
        task = candidates.ids[start : start + 15]
        sides = [side[name] for name in task]
        assert abs(sides.count("member") - 15 * few / 60) <= 1
        ids = [example.id for example in candidates.read(task).examples]
        assert ids == sorted(task)
