"""From scores to findings: members calibrated against held-out controls."""

from memaudit.statistics.adaptive import (
    SCREENS,
    agreement,
    pooled_score,
    promoted,
    screened,
    screening_order,
)
from memaudit.statistics.combine import ONE_STEP, closeness, combine, level_means, preferred
from memaudit.statistics.conduct import Conduct, NoisyTraining, ReferenceUse
from memaudit.statistics.conformal import (
    benjamini_hochberg,
    conformal_p,
    controls_needed,
    reach,
    rounded,
)
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
from memaudit.statistics.findings import COLUMNS, calibrates, findings
from memaudit.statistics.levels import Level, per_level
from memaudit.statistics.literature import THRESHOLDS, LiteratureLevel
from memaudit.statistics.options import Options
from memaudit.statistics.power import Power, graded, measure_power
from memaudit.statistics.queries import (
    CLEAN,
    COPY,
    Query,
    QueryResult,
    column_of,
    of_copies,
    of_images,
    query_of,
    rows_of,
    similarity_of,
)
from memaudit.statistics.roc import RocPoint, roc_points
from memaudit.statistics.severity import Severity
from memaudit.statistics.summary import (
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
    "CLEAN",
    "COLUMNS",
    "COPY",
    "FEWEST_FOR_EVIDENCE",
    "HALF_LEVEL",
    "ONE_STEP",
    "SCREENS",
    "THRESHOLDS",
    "Auc",
    "Conduct",
    "Counts",
    "DatasetLevel",
    "DatasetTest",
    "Effort",
    "Exceedance",
    "Excess",
    "Extrapolated",
    "Facts",
    "Flagged",
    "Level",
    "LiteratureLevel",
    "NoisyTraining",
    "Options",
    "Outcome",
    "Power",
    "Query",
    "QueryResult",
    "ReferenceUse",
    "RocPoint",
    "Severity",
    "Sides",
    "Summary",
    "Tail",
    "Verdict",
    "agreement",
    "auc",
    "benjamini_hochberg",
    "bootstrap_auc",
    "calibrates",
    "clopper_pearson",
    "closeness",
    "column_of",
    "combine",
    "conformal_p",
    "controls_needed",
    "dataset_test",
    "decide",
    "exceedance",
    "excess_interval",
    "extrapolated_p",
    "findings",
    "graded",
    "half_positions",
    "level_means",
    "mann_whitney_permutation",
    "measure_power",
    "of_copies",
    "of_images",
    "per_level",
    "pooled_score",
    "preferred",
    "promoted",
    "query_of",
    "reach",
    "roc_points",
    "rounded",
    "rows_of",
    "screened",
    "screening_order",
    "share_above",
    "similarity_of",
    "summarise",
    "tail_order",
]
