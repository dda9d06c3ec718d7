"""What a scan says of captions and of pixels that have no place in RGB of 8 bits."""

import json

import numpy as np
import pytest
from PIL import Image as PillowImage
from runs import ask, save

from memaudit.audit import scan
from memaudit.errors import RunDirectoryError
from memaudit.report.remarks import remarks
from memaudit.report.words import describe


@pytest.fixture
def sides(tiles, tmp_path):
    """Members of which half are hidden by alpha; a third has captions, and one of those is lost."""
    members = save(tmp_path / "members", tiles[:12])
    for k in range(6):
        rgba = np.dstack([tiles[k], np.full((16, 16), 255, np.uint8)])
        rgba[:, :8, 3] = 0
        PillowImage.fromarray(rgba).save(members / f"{k:03d}.png")
    for k in range(4):
        (members / f"{k:03d}.txt").write_bytes(b"a photo \xff" if k == 3 else b"a photo")
    return members, save(tmp_path / "controls", tiles[12:24])


def test_captions_and_alpha_are_counted_and_said(sides, tmp_path):
    members, controls = sides
    result = scan(ask(members, tmp_path / "run", controls=controls, power=False))
    data = json.loads((tmp_path / "run/scan.json").read_text())["prepared"]["data"]
    assert (data["captions"], data["lost"], data["changed"]) == (3, 1, {"transparent": 6})
    assert "captions        3 of 24 images have one; the model is told none" in describe(
        result.record
    )
    alpha, lost = remarks(result.record)
    assert alpha.startswith("6 of 24 images are transparent in part: composited on white")
    assert lost.startswith("captions of 1 images cannot be read")
    [row] = result.errors.to_dict("records")
    assert (row["split"], row["source"]) == ("member", "003.png")
    assert "the caption cannot be read" in row["error"]
    assert len(result.findings) == 24
    assert result.summary.counts.unreadable == 0


def test_what_alpha_hides_is_other_pixels_and_another_scan(sides, tmp_path):
    members, controls = sides
    asked = {"controls": controls, "power": False}
    white = scan(ask(members, tmp_path / "run", **asked))
    dropped = scan(ask(members, tmp_path / "dropped", **asked, alpha="drop"))
    ids = [set(result.findings["example_id"]) for result in (white, dropped)]
    assert len(ids[0] - ids[1]) == 6
    with pytest.raises(RunDirectoryError, match="--alpha was white, now black"):
        scan(ask(members, tmp_path / "run", **asked, alpha="black"))
