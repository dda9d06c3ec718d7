"""The cost of a scan in words."""

from __future__ import annotations

from memaudit.audit.plan import Plan
from memaudit.report.words import row


def describe_plan(plan: Plan) -> str:
    """Describe what a scan would cost."""
    fewest = (
        f"{plan.smallest_count} memorized images or more can be flagged, not fewer"
        if plan.smallest_count
        else "no single image can be flagged"
    )
    fewer = ", ".join(f"{k}: {controls} controls" for k, controls in plan.controls_for.items())
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
            row("smallest count", fewest),
            *([row("for fewer", fewer)] if fewer else []),
        ]
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
