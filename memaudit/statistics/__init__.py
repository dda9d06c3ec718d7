"""From scores to findings: members calibrated against held-out controls."""

from memaudit.statistics.adaptive import (
    agreement,
    pooled_score,
    pooled_scores,
    promoted,
    screening_order,
)
from memaudit.statistics.combine import closeness, combine, input_scores, level_means
from memaudit.statistics.conduct import Calibrated, ReferenceUse
from memaudit.statistics.conformal import (
    benjamini_hochberg,
    conformal_p,
    controls_needed,
    rounded,
    smallest_count,
)
from memaudit.statistics.copies import CorrelationTest, InputResult, NoisyTraining, correlation_test
from memaudit.statistics.dataset import (
    DatasetTest,
    Exceedance,
    dataset_test,
    exceedance,
    mann_whitney_permutation,
    tail_order,
)
from memaudit.statistics.effects import (
    Auc,
    Excess,
    auc,
    bootstrap_auc,
    clopper_pearson,
    excess_interval,
    half_positions,
    share_above,
)
from memaudit.statistics.effort import Effort
from memaudit.statistics.entities import Sides
from memaudit.statistics.exchangeability import Exchangeability, exchangeability
from memaudit.statistics.findings import calibrate, calibrates, described, findings
from memaudit.statistics.joint import InputTail
from memaudit.statistics.levels import Level, per_level
from memaudit.statistics.literature import THRESHOLDS, LiteratureLevel
from memaudit.statistics.options import Options
from memaudit.statistics.power import Memorized, Power, graded, measure_power
from memaudit.statistics.probes import Probe, first_pass, probes_in
from memaudit.statistics.roc import RocPoint, roc_points
from memaudit.statistics.summary import (
    Conduct,
    Counts,
    DatasetLevel,
    Extrapolated,
    Flagged,
    Summary,
    summarise,
)
from memaudit.statistics.tail import Tail, extrapolated_p
from memaudit.statistics.verdict import (
    FEWEST_FOR_EVIDENCE,
    HALF_LEVEL,
    Facts,
    Outcome,
    Verdict,
    decide,
)

__all__ = [
    "FEWEST_FOR_EVIDENCE",
    "HALF_LEVEL",
    "THRESHOLDS",
    "Auc",
    "Calibrated",
    "Conduct",
    "CorrelationTest",
    "Counts",
    "DatasetLevel",
    "DatasetTest",
    "Effort",
    "Exceedance",
    "Excess",
    "Exchangeability",
    "Extrapolated",
    "Facts",
    "Flagged",
    "InputResult",
    "InputTail",
    "Level",
    "LiteratureLevel",
    "Memorized",
    "NoisyTraining",
    "Options",
    "Outcome",
    "Power",
    "Probe",
    "ReferenceUse",
    "RocPoint",
    "Sides",
    "Summary",
    "Tail",
    "Verdict",
    "agreement",
    "auc",
    "benjamini_hochberg",
    "bootstrap_auc",
    "calibrate",
    "calibrates",
    "clopper_pearson",
    "closeness",
    "combine",
    "conformal_p",
    "controls_needed",
    "correlation_test",
    "dataset_test",
    "decide",
    "described",
    "exceedance",
    "excess_interval",
    "exchangeability",
    "extrapolated_p",
    "findings",
    "first_pass",
    "graded",
    "half_positions",
    "input_scores",
    "level_means",
    "mann_whitney_permutation",
    "measure_power",
    "per_level",
    "pooled_score",
    "pooled_scores",
    "probes_in",
    "promoted",
    "roc_points",
    "rounded",
    "screening_order",
    "share_above",
    "smallest_count",
    "summarise",
    "tail_order",
]
