"""Scans of hidden parts with an embedder that has vectors of patches."""

import numpy as np
import pytest
from runs import ask, photographed, save
from tiny_dinov2 import write_dinov2

from memaudit.audit import scan
from memaudit.config import Noise, Restoration
from memaudit.statistics.verdict import Outcome

MEMBERS, IMAGES = 20, 60


@pytest.fixture(scope="module")
def asked(tmp_path_factory):
    """How to ask for a scan with a tiny DINOv2; its random weights should group no images."""
    folder = tmp_path_factory.mktemp("patches")
    images = photographed()[: IMAGES + MEMBERS]
    write_dinov2(folder / "dinov2")
    members = save(folder / "members", images[:MEMBERS])
    save(folder / "others", images[IMAGES:])
    how = {
        "controls": save(folder / "controls", images[MEMBERS:IMAGES]),
        "index": folder / "index",
        "embedder": f"dinov2:{folder / 'dinov2'}",
        "duplicate_threshold": 1.0,
        "corruption": ("mask-random:.9",),
        "restoration": Restoration(draws=1, steps=6),
        "noise": Noise(),  # of which nothing is asked
        "steps": 10,
        "power": False,
    }
    return lambda out, **changes: ask(members, folder / out, **{**how, **changes})


@pytest.fixture(scope="module")
def found(asked):
    """With a reference model that knows other images."""
    others = asked("found").data.dataset.replace("members", "others")
    told = {"reference": f"closed-form:{others}", "reference_trained_on": others}
    return scan(asked("found", **told))


def test_members_of_the_perfect_memorizer_are_found_by_their_patches(found):
    table = found.findings.set_index("split")
    assert table.groupby("split")["flagged"].sum().to_dict() == {"control": 0, "member": MEMBERS}
    assert found.summary.verdict.outcome is Outcome.EVIDENCE
    assert (table.loc["member", "own_similarity"] > 0.99).all()
    assert (table.loc["control", "own_similarity"] < 0.95).all()


def test_margin_and_gain_are_of_the_patches_too(found):
    scores = found.scores
    beside = scores["own_similarity"] - scores["nearest_other_similarity"]
    np.testing.assert_allclose(scores["margin"], beside, atol=1e-6)
    gain = scores["own_similarity"] - scores["reference_similarity"]
    np.testing.assert_allclose(scores["similarity_gain"], gain, atol=1e-4)
    assert found.findings.loc[found.findings["split"] == "member", "similarity_gain"].min() > 0.05


@pytest.mark.parametrize("word", ["mask-box:.75", "blur:3"])
def test_members_are_found_by_other_kinds(asked, word):
    table = scan(asked(word.replace(":", "-"), corruption=(word,))).findings
    assert table.groupby("split")["flagged"].sum().to_dict() == {"control": 0, "member": MEMBERS}


def test_a_memorizer_of_other_images_is_not_accused(asked):
    others = asked("innocent").data.dataset.replace("members", "others")
    result = scan(asked("innocent", model=f"closed-form:{others}"))
    assert result.summary.flagged.groups == 0
    assert result.summary.verdict.outcome is not Outcome.EVIDENCE


def test_batches_do_not_change_the_similarity_of_patches(asked, found):
    pieces = scan(asked("pieces", batch_size=7, shard_size=11))
    one, other = (run.scores.set_index("example_id").sort_index() for run in (found, pieces))
    for name in ("own_similarity", "nearest_other_similarity", "margin"):
        np.testing.assert_allclose(one[name], other[name], atol=1e-3)
