"""The tables of a summary: claims, levels, further attacks, and published thresholds."""

from __future__ import annotations

from memaudit.statistics.facts import small
from memaudit.statistics.levels import Level
from memaudit.statistics.summary import Summary

LABEL = 38  # the longest name of a published threshold


def threshold_table(summary: Summary) -> list[str]:
    """Published thresholds, without controls: shares of members and controls level by level."""
    if not summary.literature:
        return []
    shown: dict[str, list[str]] = {}
    for level in summary.literature:
        cell = f"{_share(level.members)}/{_share(level.controls)}"
        shown.setdefault(f"{level.label}, {level.source}", []).append(f"{cell:>15}")
    snr = dict.fromkeys(f"{level.snr_db:.1f} dB" for level in summary.literature)
    head = "".join(f"{name:>15}" for name in snr)
    title = (
        "  Published thresholds (set without controls, no part of the verdict): members/controls"
    )
    return [title, f"  {'':{LABEL}}{head}"] + [
        f"  {name:{LABEL}}{''.join(cells)}" for name, cells in shown.items()
    ]


def level_table(summary: Summary) -> list[str]:
    """What each level shows, a line an attack and level."""
    width = 2 + max((len(level.probe.label) for level in summary.levels), default=0)
    head = (
        f"  {'':{width}}{'':>8}{'':>8}  {'own similarity':^17}{'':>7}{'members':>10}"
        f"  {'source is nearest':^19}",
        f"  {'':{width}}{'level':>8}{'left dB':>8}  {'member':>8}{'control':>9}{'AUC':>7}"
        f"{'> ctl p99':>10}  {'member':>9}{'control':>10}{'power':>7}",
    )
    return [*head, *(_level(level, width) for level in summary.levels)]


def claim_table(summary: Summary) -> list[str]:
    """What each claim rests on, a line each; nothing where there is only one."""
    if len(summary.claims) == 1:
        return []
    width = 2 + max(len(one.attack) for one in summary.claims)
    return [
        f"  {'claim':16}{'rests on':{width}}{'flagged':>8}{'smallest q':>12}{'data-set p':>12}"
        f"{'AUC':>8}{'> ctl p99':>11}",
        *(
            f"  {one.claim:16}{one.attack:{width}}{one.flagged:8}{_p(one.min_q):>12}"
            f"{_p(one.dataset_p):>12}{_number(None if one.auc is None else one.auc.estimate):>8}"
            f"{_share(one.above):>11}"
            for one in summary.claims
        ),
        "",
    ]


def _p(value: float | None) -> str:
    return "-" if value is None else small(value)


def attack_table(summary: Summary) -> list[str]:
    """What attacks show that have no part in the verdict, a line each."""
    if not summary.explored:
        return []
    width = 2 + max(len(one.attack) for one in summary.explored)
    return [
        "",
        "  Further attacks (exploratory, no part of the verdict)",
        f"  {'':{width}}{'by the score':^18}     less what pictures predict",
        f"  {'':{width}}{'AUC':>7}{'> ctl p99':>11}{'AUC':>11}{'> ctl p99':>11}{'flagged':>9}",
        *(
            f"  {one.attack:{width}}{one.raw_auc:7.3f}{one.raw_above:11.1%}"
            f"{one.auc:11.3f}{one.above:11.1%}{one.flagged:9}"
            for one in summary.explored
        ),
    ]


def _level(level: Level, width: int) -> str:
    return (
        f"  {level.probe.label:{width}}{level.level:8.4g}{level.snr_db:8.1f}"
        f"  {_number(level.own_similarity_members):>8}{_number(level.own_similarity_controls):>9}"
        f"{_number(level.auc):>7}{_share(level.share_above):>10}"
        f"  {_share(level.rank1_members):>9}{_share(level.rank1_controls):>10}"
        f"{'' if level.power is None else f'{level.power:7.0%}  {level.grade}'}"
    )


def _number(value: float | None) -> str:
    return "-" if value is None else f"{value:.3f}"


def _share(value: float | None) -> str:
    return "-" if value is None else f"{value:.1%}"
