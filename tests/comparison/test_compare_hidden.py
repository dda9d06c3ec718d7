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


def test_only_what_the_compared_attacks_heed_is_remarked(runs):
    both = {**HOW, "corruption": ("mask-half", "noise")}
    noise = {"noise": Noise(sigmas=(2.0,), draws=1), "steps": 1}
    other = {"noise": Noise(sigmas=(3.0, 4.0), draws=2), "steps": 2, "sampler": "heun"}
    base = runs.make("both", **{**both, **noise})
    halves = runs.make("halves", **HOW)
    result = compare(CompareConfig(runs=(base, halves)))
    assert [row.attack for row in result.comparisons[0].differences] == [HALVES] * 2
    assert others(result) == ["only both has the attack reconstruction-ode: not compared"]
    otherwise = runs.make("otherwise", **{**both, **other})
    result = compare(CompareConfig(runs=(base, otherwise)))
    assert {row.attack for row in result.comparisons[0].differences} == {HALVES}
    assert others(result) == [
        "only both has level 2: not compared",
        "only otherwise has level 3, 4: not compared",
    ]
    more = {**HOW, "restoration": Restoration(draws=2, steps=7, corrections=2)}
    result = compare(CompareConfig(runs=(base, runs.make("more", **more))))
    said = " | ".join(others(result))
    assert "| steps of hidden parts differ: 6 in both, 7 in more" in said
    assert "| draws of hidden parts differ: 1 in both, 2 in more" in said
    assert "| corrections differ: 1 in both, 2 in more" in said
    assert "| steps differ" not in said


def test_noise_on_what_is_seen_matters_where_what_is_hidden_is_compared(runs):
    noise = {"noise": Noise(sigmas=(2.0,), draws=1), "steps": 1}
    seen = Restoration(draws=1, steps=6, seen_sigma=0.2)
    both = {**HOW, **noise, "corruption": ("noise", "mask-half")}
    base = runs.make("seen", **{**both, "restoration": seen})
    plain = runs.make("unseen", **noise)
    result = compare(CompareConfig(runs=(base, plain)))
    assert {row.attack for row in result.comparisons[0].differences} == {"reconstruction-ode"}
    with pytest.raises(RunDirectoryError, match=r"noise on what is seen is 0\.1, expected 0\.2"):
        compare(CompareConfig(runs=(base, runs.make("seen-less", **both))))


def test_levels_are_shared_by_an_attack_and_not_by_chance(runs):
    kinds = {**HOW, "corruption": ("noise", "mask-half"), "steps": 1}
    base = runs.make("by-chance", **{**kinds, "noise": Noise(sigmas=(2.0,), draws=1)})
    other = {"noise": Noise(sigmas=(0.5,), draws=1), "steps": 1}
    with pytest.raises(
        RunDirectoryError, match=r"no level is shared: found 0\.5, expected one of 2;"
    ):
        compare(CompareConfig(runs=(base, runs.make("half-sigma", **other))))


HALVES = "restoration-mask-half"


def others(result):
    """What is remarked beside the number of controls, and that a scan is inconclusive."""
    [comparison] = result.comparisons
    said = [one for one in comparison.remarks if "inconclusive by itself" not in one]
    return [one for one in said if not one.startswith("fewer controls")]
