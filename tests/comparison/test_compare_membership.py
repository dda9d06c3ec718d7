"""Two models compared by what membership rests on, beside what they bring back."""

import numpy as np
import pytest

from memaudit.attacks.reconstruction import ODE
from memaudit.comparison import compare
from memaudit.comparison.finished import read_run
from memaudit.config import MEMBERSHIP, CompareConfig, Noise
from memaudit.errors import RunDirectoryError
from memaudit.statistics.findings import sides_of

WEAK = (0.1, 0.2)


@pytest.fixture(scope="module")
def known(runs):
    """Scans of the memorizer of the members and of that of other images, with two claims."""
    noise = Noise(sigmas=(1.0,), draws=1, weak_sigmas=WEAK)
    how = {"attacks": (MEMBERSHIP, "denoising-loss"), "noise": noise}
    stranger = runs.make("knows-others", model=f"closed-form:{runs.others}", **how)
    return runs.make("knows-members", **how), stranger


@pytest.fixture(scope="module")
def compared(known):
    return compare(CompareConfig(known))


def test_it_has_rows_and_a_sentence_of_its_own(compared):
    table = compared.table
    assert list(table["attack"].unique()) == [MEMBERSHIP, ODE]
    rows = table[table["attack"] == MEMBERSHIP]
    assert list(rows["level"]) == ["all", "0.1", "0.2"]
    assert (rows["direction"] == "less").all()
    assert rows["losses"].sum() == 0
    first, second = compared.sentences
    assert first.startswith("knows-others memorizes less than knows-members (reconstruction-ode):")
    assert second.startswith(
        "by what the models know of the images, knows-others memorizes less than knows-members "
        "(mirrored-residual): mirrored-residual of members beyond that of controls -"
    )
    assert "own similarity is the score of that attack" in compared.text


def test_the_numbers_are_those_of_the_scores_by_hand(known, compared):
    base, run = map(read_run, known)
    members = list(sides_of(base.findings, run.findings).members)
    by_image = [
        one.scores[one.scores["attack"] == MEMBERSHIP]
        .groupby("example_id")["mirrored_residual"]
        .mean()[members]
        for one in (base, run)
    ]
    row = compared.table[(compared.table["attack"] == MEMBERSHIP)].iloc[0]
    assert np.isclose(row["own_similarity_base"], by_image[0].mean())
    assert np.isclose(row["own_similarity_difference"], (by_image[1] - by_image[0]).mean())


def test_what_is_of_reconstructions_alone_stays_so(compared):
    assert {one.attack for one in compared.modes} == {ODE}
    assert set(compared.shares["attack"]) == {ODE}
    said = compared.comparisons[0].remarks
    assert any("the attacks denoising-loss are left out" in one for one in said)


def test_a_run_without_it_is_compared_by_reconstructions(runs, known):
    how = {"noise": Noise(sigmas=(1.0,), draws=1)}
    alone = runs.make("brings-back", **how)
    result = compare(CompareConfig((alone, known[1])))
    assert set(result.table["attack"]) == {ODE}
    assert len(result.sentences) == 1
    said = " ".join(result.comparisons[0].remarks)
    assert "only knows-others has the attack mirrored-residual: not compared" in said


def test_the_same_weak_noise_is_not_taken_for_a_shared_level_of_reconstructions(runs, known):
    noise = Noise(sigmas=(2.0,), draws=1, weak_sigmas=WEAK)
    other = runs.make("stronger", attacks=(MEMBERSHIP,), noise=noise)
    with pytest.raises(RunDirectoryError, match="no level is shared"):
        compare(CompareConfig((known[0], other)))


def test_scans_of_another_number_of_draws_are_not_compared_by_it(runs, known):
    noise = Noise(sigmas=(1.0,), draws=1, weak_sigmas=WEAK, weak_draws=3)
    other = runs.make("more-draws", attacks=(MEMBERSHIP,), noise=noise)
    result = compare(CompareConfig((known[0], other)))
    assert set(result.table["attack"]) == {ODE}
    said = " ".join(result.comparisons[0].remarks)
    assert "draws of membership differ: 2" in said
    assert "what membership rests on is not compared" in said


def test_images_that_one_of_the_models_chose_do_not_tell_which_memorizes_less(runs):
    """Ten are reconstructed of one, because it knows them, and the other knows none of them."""
    noise = Noise(sigmas=(1.0,), draws=1, weak_sigmas=WEAK)
    how = {"attacks": (MEMBERSHIP,), "noise": noise, "steps": 10, "fraction": 0.2}
    one = runs.make("chosen", adaptive=True, **how)
    other = runs.make("all", adaptive=False, model=f"closed-form:{runs.others}", **how)
    result = compare(CompareConfig((one, other)))
    assert result.runs[0].screened
    whole = result.table[result.table["level"] == "all"]
    assert set(whole["direction"]) == {"not told"}
    assert len(result.sentences) == 2
    for told in (
        "they were chosen because they stood out in one of the two",
        "which of the two memorizes less is not told by them",
    ):
        assert all(told in said for said in result.sentences)
    assert any("scan both with --full" in said for said in result.comparisons[0].remarks)


def test_weak_noise_that_one_of_them_has_is_named(runs, known):
    noise = Noise(sigmas=(1.0,), draws=1, weak_sigmas=(0.2, 0.4))
    other = runs.make("weaker", attacks=(MEMBERSHIP,), noise=noise)
    result = compare(CompareConfig((known[0], other)))
    rows = result.table[result.table["attack"] == MEMBERSHIP]
    assert list(rows["level"]) == ["all", "0.2"]
    said = result.comparisons[0].remarks
    for name, sigma in (("knows-members", "0.1"), ("weaker", "0.4")):
        named = f"only {name} was asked about membership at sigma {sigma}: not compared"
        assert any(one.startswith(named) for one in said)
