"""A scan of a model whose family another package brings."""

import torch
from outside import IMAGES
from plugging import install
from runs import ask
from safetensors.torch import save_file

from memaudit.audit import scan
from memaudit.models.codec import encode_pixels
from memaudit.models.families.registry import GROUP


def test_a_memorizer_of_another_family_is_flagged_as_the_built_in_one_is(
    sides, tiles, tmp_path, monkeypatch
):
    monkeypatch.syspath_prepend(tmp_path)
    install(tmp_path, GROUP, "exact-edm", "outside:FAMILY")
    folder = tmp_path / "model"
    folder.mkdir()
    members = torch.stack([torch.from_numpy(tile.copy()) for tile in tiles[:15]])
    images = encode_pixels(members.permute(0, 3, 1, 2), 3)
    save_file({"images": images.contiguous()}, folder / IMAGES)
    found = scan(ask(sides.members, tmp_path / "run", model=folder, controls=sides.controls))
    exact = scan(ask(sides.members, tmp_path / "exact", controls=sides.controls))
    assert found.prepared.model.reading["parameterization"] == "edm"
    assert found.prepared.self_check.best_log_ratio > 0
    flagged = [{*table[table["flagged"]]["source"]} for table in (found.findings, exact.findings)]
    assert flagged[0] == flagged[1] != set()
