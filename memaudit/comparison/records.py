"""What a comparison says of one pair of runs, and the columns of its table."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from memaudit.attacks.reconstruction import PREFERRED
from memaudit.comparison.intervals import Interval
from memaudit.records import Input
from memaudit.statistics.probes import Probe

Direction = Literal["less", "more", "mixed", "not told", "inconclusive"]

COLUMNS = (
    ("base", "run that the other is compared with"),
    ("run", "the other run; differences are its value minus the base's"),
    ("attack", "the reconstruction, or the attack that membership rests on"),
    ("input", "what was corrupted: clean image or noisy copy"),
    ("level", "sigma of the noise, or share hidden; all: the shared levels together"),
    ("snr_db", "the same in dB; blank for all"),
    ("members", "members paired, one a duplicate group"),
    ("controls", "controls paired, one a duplicate group"),
    ("draws", "draws of each image at each level that both runs have"),
    (
        "own_similarity_base",
        "mean of members: own similarity, of noisy copies the correlation with "
        "their noise, of membership the column of its score",
    ),
    ("own_similarity_run", "the same of the run"),
    ("own_similarity_difference", "their mean paired difference"),
    ("own_similarity_difference_low", "lower end of its interval"),
    ("own_similarity_difference_high", "upper end"),
    ("sign_flip_p", "two-sided p-value that members go up as likely as down"),
    ("wins", "members that come back less closely from the run, by more than 1e-4"),
    ("ties", "members that come back alike"),
    ("losses", "members that come back more closely from the run"),
    ("controls_difference", "mean paired difference of the controls' own similarity"),
    ("controls_difference_low", "lower end of its interval"),
    ("controls_difference_high", "upper end"),
    ("beyond_controls", "own_similarity_difference minus controls_difference"),
    ("beyond_controls_low", "lower end of its interval"),
    ("beyond_controls_high", "upper end"),
    ("flagged_base", "members flagged in the base by this level's score"),
    ("flagged_run", "the same of the run"),
    ("flagged_difference", "difference of the shares flagged"),
    ("flagged_difference_low", "lower end of its interval"),
    ("flagged_difference_high", "upper end"),
    ("newly_flagged", "members flagged in the run alone"),
    ("no_longer_flagged", "members flagged in the base alone"),
    ("excess_base", "excess above controls of the base"),
    ("excess_run", "the same of the run"),
    ("excess_difference", "their difference"),
    ("excess_difference_low", "lower end of its interval"),
    ("excess_difference_high", "upper end"),
    ("direction", "whether the run memorizes less, more, mixed, not told, or inconclusive"),
)


@dataclass(frozen=True)
class Flags:
    """Members flagged against the controls by the paired rows' own p- and q-values."""

    base: int
    run: int
    difference: Interval
    newly: int
    no_longer: int


@dataclass(frozen=True)
class ExcessDifference:
    """Excess above controls of base and run, and their difference."""

    base: float
    run: float
    difference: Interval


@dataclass(frozen=True)
class Difference:
    """A run minus its base, paired, at one level or over all (`sigma` None).

    What takes controls is None without them. `wins` are members that come back less closely from
    the run. `untold` names those of the two that cannot be said to memorize less, whatever the
    intervals show, because they may have memorized something else than what was asked for.
    """

    base: str
    run: str
    attack: str
    input: Input
    level: str
    sigma: float | None
    snr_db: float | None
    members: int
    controls: int
    draws: int
    own_similarity_base: float
    own_similarity_run: float
    own_similarity: Interval
    sign_flip_p: float
    wins: int
    ties: int
    losses: int
    controls_difference: Interval | None
    beyond_controls: Interval | None
    flags: Flags | None
    excess: ExcessDifference | None
    untold: tuple[str, ...] = ()

    @property
    def probe(self) -> Probe:
        """What the models were asked."""
        return Probe(self.attack, self.input)

    @property
    def is_membership(self) -> bool:
        """Whether it is of what a model knows, and not of what it brings back."""
        return self.attack not in PREFERRED

    @property
    def lesser(self) -> str | None:
        """The run of which the intervals show less than of the other; None if they show neither."""
        match self._signs:
            case [-1]:
                return self.run
            case [1]:
                return self.base
        return None

    @property
    def direction(self) -> Direction:
        """Whether the run memorizes less or more than the base, as far as the intervals tell."""
        if self.lesser is None:
            return "mixed" if self._signs else "inconclusive"
        if self.lesser in self.untold:
            return "not told"
        return "less" if self.lesser == self.run else "more"

    @property
    def _signs(self) -> list[int]:
        """The sides of 0 on which intervals lie."""
        measured = [self.beyond_controls, self.excess.difference if self.excess else None]
        return sorted({one.sign for one in measured if one is not None} - {0})
