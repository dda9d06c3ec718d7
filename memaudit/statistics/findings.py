"""The table of findings: one row per data-set row, with its calibrated score."""

from __future__ import annotations

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from memaudit.statistics.adaptive import pooled_score, pooled_scores, promoted, screened
from memaudit.statistics.combine import pooled_reconstruction
from memaudit.statistics.conformal import benjamini_hochberg, conformal_p, rounded
from memaudit.statistics.entities import Sides, calibrating
from memaudit.statistics.literature import literature_of
from memaudit.statistics.options import Options
from memaudit.statistics.queries import clean_rows, rows_of
from memaudit.statistics.severity import recovered_from_snr_db, severity
from memaudit.statistics.tail import extrapolated_p

COLUMNS = (
    ("example_id", "sha256 of the image's mode, size and decoded pixels"),
    ("source", "path of the image inside its data set"),
    ("split", "member (the model was trained on it) or control (held out)"),
    ("prompt", "caption in the data set; --prompt says what of it a text-to-image model was told"),
    ("group", "number of the duplicate group"),
    ("representative", "whether this row stands for its group and split; the others inherit"),
    ("stage", "full, or screen: an adaptive scan's first pass did not promote the image"),
    ("score", "levels standardised over members and controls, averaged; higher is closer"),
    ("query", "clean image, or noisy copy: of which the corruption tells more about the image"),
    ("own_similarity", "mean embedding similarity of reconstruction and image, -1 to 1"),
    ("own_rank", "median rank of the image among members and controls; 1 is the nearest"),
    ("nearest_other", "example_id of the most similar image outside the duplicate group"),
    ("nearest_other_source", "path of that image"),
    ("nearest_other_similarity", "mean similarity of reconstruction and its nearest other image"),
    ("margin", "mean own similarity minus similarity of the nearest other image"),
    ("psnr", "mean peak signal-to-noise ratio of reconstruction and image, dB"),
    ("ssim", "mean structural similarity of reconstruction and image, -1 to 1"),
    ("l2", "mean root-mean-square pixel difference, 0 to 1"),
    ("tile_l2", "mean of the largest such difference over 4 x 4 tiles, 0 to 1"),
    ("adaptive_l2", "mean l2 relative to half that to the 50 nearest other images"),
    ("l2_ratio", "mean l2 relative to that to the nearest other image"),
    ("copy_similarity", "mean similarity of reconstructions of the noisy copy and that copy"),
    ("copy_l2", "mean root-mean-square difference of both, 0 to 1 and more"),
    ("copy_correlation", "mean correlation of their errors with the noise of the copy, -1 to 1"),
    ("reference_similarity", "mean own similarity of the reference model's reconstructions"),
    ("similarity_gain", "own_similarity minus that of the reference model"),
    ("p_value", "(1 + controls that score as high) / (1 + controls); blank for controls"),
    ("q_value", "Benjamini-Hochberg q-value over member groups; blank for controls"),
    ("flagged", "whether q_value is at or below the chosen false discovery rate"),
    ("p_extrapolated", "model-based: p_value, beyond the controls by a generalized Pareto tail"),
    ("flagged_extrapolated", "model-based: flagged by the extrapolated p instead"),
    ("severity", "reproduction (comes back as a copy), influence (flagged only), or blank"),
    ("recovered_from_snr_db", "SNR of the strongest noise a flagged image comes back from, dB"),
    ("literature", "published thresholds met, from which SNR; no part of the verdict"),
    ("reason", "why the row is left out of calibration or a member has no p_value, else blank"),
)
MEANS = [
    "own_similarity",
    "nearest_other_similarity",
    "margin",
    "psnr",
    "ssim",
    "l2",
    "tile_l2",
    "adaptive_l2",
    "l2_ratio",
]
OF_COPIES = ["copy_similarity", "copy_l2", "copy_correlation"]
OF_REFERENCE = ["reference_similarity", "similarity_gain"]
SPANS = "duplicate group has rows on both sides"
UNSCORED = "could not be scored"
NO_CONTROLS = "no controls"


def findings(scores: pd.DataFrame, pool: pd.DataFrame, options: Options) -> pd.DataFrame:
    """Calibrate members against controls: one row per row of `pool`, with COLUMNS.

    Representatives are scored; the other rows of a duplicate group inherit the numbers of their own
    side's. Controls, and groups with rows on both sides, have a score but no p-value. Most
    suspicious first; the order of neither input matters. Raises InputError as `combine` and
    `calibrating` do.
    """
    sides = calibrating(pool, pd.Index(scores["example_id"].unique()))
    by_id = _evidence(scores, sides, options)
    keys = ["group", "split"]
    representatives = pool.loc[pool["representative"], [*keys, "example_id"]]
    inherited = representatives.merge(by_id, left_on="example_id", right_index=True, how="left")
    table = pool.merge(inherited.drop(columns="example_id"), on=keys, validate="many_to_one")
    sources = pool.groupby("example_id")["source"].min()
    table["nearest_other"] = table["nearest_other"].fillna("")
    table["nearest_other_source"] = table["nearest_other"].map(sources).fillna("")
    table["flagged"] = table["q_value"] <= options.q
    table["flagged_extrapolated"] = table.pop("q_extrapolated") <= options.q
    for name in ("stage", "query", "literature"):
        table[name] = table[name].fillna("")
    table["recovered_from_snr_db"] = table["recovered_from_snr_db"].where(table["flagged"])
    table["severity"] = [
        severity(*row) for row in zip(table["flagged"], table["recovered_from_snr_db"], strict=True)
    ]
    table["reason"] = _reasons(table, has_controls=bool(sides.controls))
    table = table.sort_values(
        ["flagged", "score", "example_id", "source", "split"],
        ascending=[False, False, True, True, True],
        ignore_index=True,
    )
    return table[[name for name, _ in COLUMNS]]


def calibrates(table: pd.DataFrame) -> pd.Series[bool]:
    """Which rows of a table of findings enter p, q and intervals: one a group and side."""
    return table["representative"] & ~table["reason"].isin([SPANS, UNSCORED])


def _evidence(scores: pd.DataFrame, sides: Sides, options: Options) -> pd.DataFrame:
    """Numbers of each scored example, by its id, ascending."""
    score = pooled_score(scores, options.column, options.reconstruction)
    chosen = pooled_reconstruction(scores, options.reconstruction)
    full = scores[scores["reconstruction"] == chosen]
    screen = scores[screened(scores)]
    first_only = screen[~screen["example_id"].isin(full["example_id"])]
    table = _measures(clean_rows(pd.concat([full, first_only])))
    table = table.join(_extras(pd.concat([rows_of(scores, chosen), first_only], ignore_index=True)))
    table["stage"] = np.where(table.index.isin(promoted(scores, options.column)), "full", "screen")
    table["score"] = rounded(score)
    names = ["p_value", "q_value", "p_extrapolated", "q_extrapolated"]
    table[names] = np.nan
    by_query = pooled_scores(scores, options.column, options.reconstruction)
    larger = by_query.to_numpy(np.float64).argmax(axis=1)
    table["query"] = by_query.columns.to_numpy(dtype=object)[larger]
    if sides.controls:
        p, query = _joint_p_values(by_query, sides, options.seed)
        table.loc[list(sides.members), names] = p
        table.loc[list(sides.members), "query"] = query
    if full.empty:
        return table.assign(recovered_from_snr_db=np.nan, literature="")
    table["recovered_from_snr_db"] = recovered_from_snr_db(
        full, sides, chosen, options.copy_threshold
    )
    table["literature"] = literature_of(full, chosen, options.embedder)
    return table


def _joint_p_values(
    by_query: pd.DataFrame, sides: Sides, seed: int
) -> tuple[NDArray[np.float64], list[str]]:
    """As `_p_values`, the smaller of the queries times their number, and which that is.

    What is flagged at q is what either query alone flags at q over their number, so the false
    discovery rate is at most q.
    """
    queries = list(by_query)
    apart = np.stack([_p_values(by_query[query], sides, seed) for query in queries])
    joint = np.minimum(1.0, len(queries) * apart.min(axis=0)).round(12)
    scores = by_query.loc[list(sides.members)].to_numpy(np.float64).T
    order = np.lexsort((-scores, apart[:, :, 0]), axis=0)  # ties in p: the larger score
    return joint, [queries[k] for k in order[0]]


def _p_values(score: pd.Series[float], sides: Sides, seed: int) -> NDArray[np.float64]:
    """P and q, exact and extrapolated: [members, 4]."""
    members, controls = (
        np.asarray(score[list(ids)], np.float64) for ids in (sides.members, sides.controls)
    )
    exact = conformal_p(members, controls)
    beyond, _ = extrapolated_p(members, controls, seed)
    columns = [p for one in (exact, beyond) for p in (one, benjamini_hochberg(one))]
    return np.column_stack(columns)


def _measures(rows: pd.DataFrame) -> pd.DataFrame:
    """Average the measures over levels and draws, by example id, ascending."""
    order = ["example_id", "sigma", "draw"]
    by_id = rows[[*order, *MEANS, "own_rank"]].sort_values(order).groupby("example_id")
    table = by_id[MEANS].mean()  # of sorted rows: sums do not depend on their order
    table["own_rank"] = by_id["own_rank"].median()
    nearest = rows[["example_id", "nearest_other_similarity", "nearest_other"]].sort_values(
        ["nearest_other_similarity", "nearest_other"], ascending=[False, True]
    )
    nearest = nearest.drop_duplicates("example_id").set_index("example_id")
    table["nearest_other"] = nearest["nearest_other"]
    return table


def _extras(rows: pd.DataFrame) -> pd.DataFrame:
    """Average what noisy copies and a reference model add, by example id; NaN without them."""
    order = ["example_id", "sigma", "draw"]
    rows = rows.reindex(columns=[*order, "reconstruction", *OF_COPIES, *OF_REFERENCE])
    clean = clean_rows(rows)
    tables = [
        some.sort_values(order).groupby("example_id")[columns].mean()
        for some, columns in ((rows.drop(clean.index), OF_COPIES), (clean, OF_REFERENCE))
    ]
    return pd.concat(tables, axis=1)


def _reasons(table: pd.DataFrame, *, has_controls: bool) -> list[str]:
    blank = NO_CONTROLS if not has_controls else ""
    by_split = table["split"].map({"member": blank, "control": ""})
    unscored = by_split.mask(table["score"].isna(), UNSCORED)
    return unscored.mask(table["spans"], SPANS).to_list()
