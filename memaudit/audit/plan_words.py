"""The cost of a scan in words."""

from __future__ import annotations

from memaudit.audit.plan import Plan
from memaudit.audit.prospect import MORE, Prospect
from memaudit.report.words import row


def describe_plan(plan: Plan) -> str:
    """Describe what a scan would cost."""
    return "\n".join(
        [
            row("images", f"{plan.members} members, {plan.controls} controls"),
            row("queries", f"{plan.queries} corrupted images, {plan.levels} levels{_more(plan)}"),
            row(
                "network",
                f"{plan.evaluations} evaluations, {plan.network_ms:.2f} ms each here"
                + (f"; {plan.in_full} in full" if plan.in_full != plan.evaluations else ""),
            ),
            row("embedder", f"{plan.embeddings} images, {plan.embedder_ms:.2f} ms each here"),
            row("time", f"about {_duration(plan.seconds)} on {plan.device}"),
            row("disk", f"about {plan.disk_mb:.1f} MB"),
            *_prospect(plan.prospect),
        ]
    )


def _prospect(prospect: Prospect) -> list[str]:
    """How few memorized images can be flagged and are found, and what more would take."""
    flags, finds = prospect.smallest_count, prospect.finds
    rows = [
        row(
            "smallest count",
            f"{flags} memorized images or more can be flagged one by one, not fewer"
            if flags
            else "no single image can be flagged",
        )
    ]
    if prospect.controls_for:
        fewer = (f"{k}: {controls} controls" for k, controls in prospect.controls_for.items())
        rows.append(row("for fewer", ", ".join(fewer)))
    if prospect.control_units:
        count = "not even all" if finds is None else f"{finds} or more"
        rows.append(
            row(
                "finds",
                f"{count} of {prospect.units} members, memorized perfectly, would be evidence in 4 "
                "of 5 scans, by flags or as a data set",
            )
        )
    rows += [] if prospect.enough else [row("", _insufficient(prospect))]
    return rows


def _insufficient(prospect: Prospect) -> str:
    """Why a scan that finds nothing could not say so, and what could."""
    more = prospect.controls_for_verdict
    takes = f"more than {MORE[-1]} controls" if more is None else f"about {more} controls"
    return (
        f"a verdict that nothing stands out takes a scan that finds {prospect.tolerated}: give "
        f"{takes}"
    )


def _more(plan: Plan) -> str:
    """How many levels there may be, where copies decide that."""
    if plan.levels_at_most == plan.levels:
        return ""
    return f" (up to {plan.levels_at_most} if images turn out to be repeated often)"


def _duration(seconds: float) -> str:
    if seconds < 90:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 5400 else f"{seconds / 3600:.1f} h"
