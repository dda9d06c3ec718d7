"""What a bench is opened from."""

from __future__ import annotations

from dataclasses import dataclass

from memaudit.config import AttackConfig, DataConfig, ExecutionConfig, ModelConfig


@dataclass(frozen=True)
class BenchSpec:
    """What a worker needs to open a bench of its own: plain data, and the run's directory."""

    data: DataConfig
    target: ModelConfig
    attack: AttackConfig
    execution: ExecutionConfig
