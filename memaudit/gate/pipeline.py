"""The whole gate: read a run and a policy, decide, write."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

from memaudit.config import GateConfig
from memaudit.files import write_whole
from memaudit.gate import formats
from memaudit.gate.increase import increase
from memaudit.gate.observed import Observed
from memaudit.gate.policy import Policy, read_policy
from memaudit.gate.rules import Gated
from memaudit.gate.rules import gate as decide


def gate(config: GateConfig) -> Gated:
    """Hold a finished scan against a policy, and write the files that are asked for.

    Raises RunDirectoryError and ConfigError for a run, a baseline or a policy that is no good.
    """
    policy = read_policy(None if config.policy is None else Path(config.policy))
    seen = Observed.at(Path(config.run))
    base = None if config.baseline is None else Observed.at(Path(config.baseline))
    if config.baseline is not None and base is not None and _is_paired(base, seen, policy):
        base = replace(base, increase=increase(Path(config.baseline), Path(config.run)))
    gated = decide(config.run, seen, policy, datetime.now(UTC).date(), base)
    if config.junit is not None:
        write_whole(Path(config.junit), formats.to_junit(gated))
    if config.sarif is not None:
        write_whole(Path(config.sarif), json.dumps(formats.to_sarif(gated), indent=1).encode())
    if config.gitlab is not None:
        write_whole(Path(config.gitlab), json.dumps(formats.to_gitlab(gated), indent=1).encode())
    return gated


def _is_paired(base: Observed, seen: Observed, policy: Policy) -> bool:
    """Whether the policy asks for a baseline to be paired with the run, and both were asked alike.

    That is, by the attack that the run rests on, at a level of its own.
    """
    if policy.most_excess_increase is None or base.findings is None:
        return False
    return base.asked_with(seen, seen.attack)
