"""Page one: what the corruptions show that were asked about beside the one of the verdict."""

from __future__ import annotations

from collections.abc import Iterator

from memaudit.attacks.reconstruction import PREFERRED
from memaudit.config import NOISE, RECONSTRUCTIONS, RESTORATIONS, AttackConfig
from memaudit.run.record import Record
from memaudit.statistics.explored import Explored
from memaudit.statistics.verdict import Outcome

DONE = {
    NOISE: "each image covered with noise",
    "mask-random": "pixels of each image hidden here and there",
    "mask-box": "a box of each image hidden",
    "mask-half": "a half of each image hidden",
    "mask-object": "an object in each image hidden",
    "noise+mask": "pixels of each image hidden here and there, and noise on the others",
    "downsample": "each image made smaller",
    "blur": "each image blurred",
}
EXPLORATORY = (
    "Exploratory, and no part of the verdict, for whoever looks in several ways finds something by "
    "chance"
)


def beside(record: Record) -> Iterator[str]:
    """One sentence a corruption that carries no verdict; nothing where there is none."""
    asked, found = record.config.attack, {one.attack: one for one in record.summary.explored}
    silent = record.verdict.outcome is Outcome.INCONCLUSIVE
    for kind in dict.fromkeys(word.partition(":")[0] for word in asked.corruptions):
        if kind != asked.rests_on:
            names = _attacks(asked, kind)
            shown = next((found[name] for name in names if name in found), None)
            told = _told(shown, record) if shown and not silent else _untold(silent)
            yield f"{EXPLORATORY}: with {DONE[kind]} ({', '.join(names[:1])}), {told}."


def _attacks(asked: AttackConfig, kind: str) -> list[str]:
    """The attacks that ask under a corruption, that which tells most first."""
    if kind != NOISE:
        return [attack for name, attack in RESTORATIONS.items() if name == kind]
    made = {RECONSTRUCTIONS[mode] for mode in asked.reconstruct}
    return [name for name in PREFERRED if name in made]


def _told(found: Explored, record: Record) -> str:
    return (
        f"what came back was nearer for the member in {found.auc:.1%} of the pairs of a member and "
        f"a control, where 50 % would be no difference, and {found.flagged} of "
        f"{record.summary.counts.member_groups} members stand out"
    )


def _untold(silent: bool) -> str:
    if silent:
        return "no statement, for the scan as a whole makes none"
    return "nothing can be told, for not every image was asked about so, or none to compare with"
