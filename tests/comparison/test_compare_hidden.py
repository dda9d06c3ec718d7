"""Comparisons of scans of images of which a part was hidden."""

import pytest

from memaudit.comparison import compare
from memaudit.config import CompareConfig, Noise, Restoration
from memaudit.errors import RunDirectoryError

HOW = {
    "corruption": ("mask-half",),
    "restoration": Restoration(draws=1, steps=6),
    "noise": Noise(),
    "steps": 10,
}


@pytest.fixture(scope="module")
def hidden(runs):
    memorizer = runs.make("hidden-memorizer", **HOW)
    stranger = runs.make("hidden-stranger", model=f"closed-form:{runs.others}", **HOW)
    return memorizer, stranger


def test_the_model_that_restores_its_members_memorizes_more(hidden, tmp_path):
    memorizer, stranger = hidden
    result = compare(CompareConfig(runs=(stranger, memorizer), out=str(tmp_path / "compared")))
    whole = result.table[result.table["level"] == "all"]
    assert list(whole["attack"]) == ["restoration-mask-half"]
    assert list(whole["direction"]) == ["more"]
    [said] = result.sentences
    assert said.startswith("hidden-memorizer memorizes more than hidden-stranger (restoration-mask")


def test_scans_of_other_corruptions_are_not_compared(hidden, runs, tmp_path):
    other = runs.make("hidden-otherwise", **{**HOW, "corruption": ("mask-box:.5",)})
    with pytest.raises(RunDirectoryError, match=r"no attack is shared: .* --corruption"):
        compare(CompareConfig(runs=(hidden[0], other), out=str(tmp_path / "compared")))
