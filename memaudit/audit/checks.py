"""What is checked beside the scores: are the sides exchangeable, and were copies asked for?"""

from __future__ import annotations

from memaudit.attacks.reconstruction import ONE_STEP, PREFERRED
from memaudit.audit.prepare import Ready
from memaudit.audit.scoring import Scored
from memaudit.config import NO_COPIES
from memaudit.records import SCREEN
from memaudit.statistics.copies import CorrelationTest, NoisyTraining, correlation_test
from memaudit.statistics.probes import Probe

MASKED = "its training images were masked, so there are no noisy copies to ask for"


def describe_training(ready: Ready, scored: Scored, asked: str | None) -> NoisyTraining | None:
    """Say how a model of noisy data was audited; None for a model of clean data."""
    ambient, copies = ready.opened.loaded.ambient, ready.prepared.copies
    if ambient is None:
        return None
    return NoisyTraining(
        loss=ambient.loss,
        sigma_n=ambient.sigma_n,
        lowest=ambient.lowest,
        advice=_advice(ready, asked) if ambient.mask is None else MASKED,
        digest=copies.digest if copies is not None and ready.grids.strong.copies else "",
        masked=ambient.mask is not None,
        one_step=ready.prepared.primary.attack == ONE_STEP,
        correlation=_correlation(ready, scored),
    )


def _advice(ready: Ready, asked: str | None) -> str:
    """Why the verdict rests on clean images alone, and what to do; empty if on copies as well."""
    if ready.grids.strong.copies:
        return _doubt(ready) and f"its noisy copies carry no verdict: {_doubt(ready)}"
    if ready.bench.copies is not None:
        return (
            "no noise level lies above the noise of its copies, so they were not asked for; give "
            "higher levels"
        )
    if ready.opened.copies is not None:
        return f"the noisy copies in {ready.opened.copies.folder} are of none of the members"
    if ready.prepared.primary.hides:
        return (
            "its noisy copies are asked about under noise, and the verdict rests on hidden parts; "
            "name noise first in --corruption"
        )
    if asked == NO_COPIES:
        return f"its noisy copies were left out by --noisy-copies {NO_COPIES}"
    return "no noisy copies stand beside it; name their folder with --noisy-copies DIR"


def _doubt(ready: Ready) -> str:
    copies = ready.prepared.copies
    return "" if copies is None else copies.doubt


def _correlation(ready: Ready, scored: Scored) -> CorrelationTest | None:
    """Test the members: of an adaptive scan by its first pass, which chose none of them."""
    copies, screened = ready.bench.copies, scored.effort.screen
    if copies is None or _doubt(ready):  # clean images are compared with copies there as well
        return None
    first = next((name for name in screened if name in PREFERRED), None)
    probe = Probe(first, phase=SCREEN) if first else Probe(ready.prepared.primary.attack)
    members = ready.pool.ids("member")
    return correlation_test(scored.part.table, members, probe, copies.lowest)
