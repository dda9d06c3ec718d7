"""From scores to findings: members calibrated against held-out controls."""

from memaudit.stages.calibrate.combine import combine
from memaudit.stages.calibrate.conformal import (
    benjamini_hochberg,
    conformal_p,
    controls_needed,
    reach,
)
from memaudit.stages.calibrate.dataset import (
    DatasetTest,
    Exceedance,
    dataset_test,
    exceedance,
    mann_whitney_permutation,
)
from memaudit.stages.calibrate.effects import (
    Auc,
    Excess,
    auc,
    bootstrap_auc,
    excess_interval,
    share_above,
)
from memaudit.stages.calibrate.findings import COLUMNS, findings
from memaudit.stages.calibrate.levels import Level, per_level
from memaudit.stages.calibrate.options import Options
from memaudit.stages.calibrate.severity import Severity
from memaudit.stages.calibrate.summary import (
    Conduct,
    Counts,
    DatasetLevel,
    Flagged,
    Summary,
    summarise,
)
from memaudit.stages.calibrate.verdict import Facts, Outcome, Verdict, decide

__all__ = [
    "COLUMNS",
    "Auc",
    "Conduct",
    "Counts",
    "DatasetLevel",
    "DatasetTest",
    "Exceedance",
    "Excess",
    "Facts",
    "Flagged",
    "Level",
    "Options",
    "Outcome",
    "Severity",
    "Summary",
    "Verdict",
    "auc",
    "benjamini_hochberg",
    "bootstrap_auc",
    "combine",
    "conformal_p",
    "controls_needed",
    "dataset_test",
    "decide",
    "exceedance",
    "excess_interval",
    "findings",
    "mann_whitney_permutation",
    "per_level",
    "reach",
    "share_above",
    "summarise",
]
