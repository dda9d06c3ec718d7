"""The table of findings: one row per data-set row, with its calibrated score."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd

from memaudit.records import CLEAN, COPY, Column
from memaudit.statistics.adaptive import claim_scores, of_attack, promoted
from memaudit.statistics.conduct import Calibrated
from memaudit.statistics.conformal import rounded
from memaudit.statistics.doubts import LEVEL
from memaudit.statistics.entities import Sides, calibrating, clusters_of
from memaudit.statistics.exchangeability.check import NAMES, exchangeability
from memaudit.statistics.exchangeability.encoding import features
from memaudit.statistics.exchangeability.expected import expect
from memaudit.statistics.joint import NAMES as NAMES_OF_P
from memaudit.statistics.joint import JointP, joint_p_values
from memaudit.statistics.literature import literature_of
from memaudit.statistics.options import Options
from memaudit.statistics.probes import Probe, first_pass, probes_of, scores_by
from memaudit.statistics.reproduction import claim, recovered_from_snr_db

ABOUT = (  # an image
    ("example_id", "sha256 of the image's mode, size and decoded pixels"),
    ("source", "path of the image inside its data set"),
    ("split", "member (the model was trained on it) or control (held out)"),
    ("prompt", "caption in the data set; --prompt says what of it a text-to-image model was told"),
    ("group", "number of the duplicate group"),
    ("representative", "whether this row stands for its group; the others inherit its numbers"),
    ("cluster", "what was divided into members and controls (--cluster-column), blank without"),
    ("stage", "full, or screen: an adaptive scan's first pass did not promote the image"),
    (
        "score",
        "of membership, by its attack: raw_score less what files, embeddings and captions "
        "predict; higher is more suspicious. Of a scan without that attack, of reproduction",
    ),
    ("raw_score", "levels standardised over members and controls, averaged; higher is suspicious"),
    ("reproduction_score", "the same as score, of reproduction"),
    ("attack", "the one of these that tells more about the image"),
    ("input", "clean image, or noisy copy: the one that tells more about the image"),
)
CLAIMS = ("membership", "reproduction")
SAID = (  # of an image, by comparison with the controls
    ("p_value", "the smaller of membership_p and reproduction_p; blank for controls"),
    ("q_value", "the smaller of membership_q and reproduction_q; blank for controls"),
    ("q_raw", "q_value by scores from which nothing was taken off; blank for controls"),
    ("flagged", "whether q_value is at or below the chosen false discovery rate"),
    *(
        pair
        for claim in CLAIMS
        for pair in (
            (
                f"{claim}_p",
                "(1 + controls that score as high) / (1 + controls), times the number of scores "
                f"that share the level; by the score of {claim}",
            ),
            (f"{claim}_q", f"Benjamini-Hochberg q-value over member groups of {claim}_p"),
            (f"{claim}_flagged", f"whether {claim}_q is at or below that rate"),
        )
    ),
    ("p_extrapolated", "model-based: p_value, beyond the controls by a generalized Pareto tail"),
    ("flagged_extrapolated", "model-based: flagged by the extrapolated p instead"),
    ("claim", "reproduction (comes back as a copy), membership, or blank: no evidence"),
    ("recovered_from_snr_db", "the least of a flagged image from which it comes back, SNR in dB"),
    ("literature", "published thresholds met, from which SNR; no part of the verdict"),
    ("reason", "why the row is left out of calibration or a member has no p_value, else blank"),
)
OF_CLAIMS = [f"{name}_{one}" for name in CLAIMS for one in ("p", "q")]
SUMMED = {"mean": "mean over levels and draws of: ", "median": "median of: ", "name": ""}
BY_CONTROL = "its duplicate group is represented by a control"
UNSCORED = "could not be scored"
NO_CONTROLS = "no controls"


def described(columns: tuple[Column, ...]) -> tuple[tuple[str, str], ...]:
    """Name and meaning of each column of a table of findings, in their order."""
    return (*ABOUT, *(pair for column in columns for pair in _described(column)), *SAID)


def _described(column: Column) -> list[tuple[str, str]]:
    if column.summary == "none":
        return []
    told = [(column.name, SUMMED[column.summary] + column.help)]
    source = (f"{column.name}_source", "path of that image")
    return [*told, source] if column.summary == "name" else told


def findings(scores: pd.DataFrame, pool: pd.DataFrame, options: Options) -> pd.DataFrame:
    """The findings of `calibrate`."""
    return calibrate(scores, pool, options).findings


def calibrate(scores: pd.DataFrame, pool: pd.DataFrame, options: Options) -> Calibrated:
    """Calibrate members against controls: one row per row of `pool`, with `described` columns.

    What files, embeddings and captions predict of a score is taken off first (`expected.expect`).
    Representatives are scored; the other rows of a duplicate group inherit their numbers. Controls,
    and members whose group a control represents, have a score but no p-value. Most suspicious
    first; the order of neither input matters. Raises InputError as `combine` and `calibrating` do.
    """
    sides = calibrating(pool, pd.Index(scores["example_id"].unique()))
    raw = claim_scores(scores, options.claims)
    seen = features(pool, NAMES, captions=options.captions)
    expected = expect(raw, seen, sides, options.seed)
    adjusted = raw - expected.by_controls
    told = _Told.of(raw, adjusted, sides, options.seed)
    by_id = _evidence(scores, told, sides, options)
    table = _inherited(by_id, pool, options, has_controls=bool(sides.controls))
    visible = pool[pool["representative"]].set_index("example_id")[[n for n in NAMES if n in pool]]
    check = exchangeability(expected, visible, sides, options.rounds, options.seed)
    tails = () if told.p is None else told.p.tails
    return Calibrated(table, scores, pool, sides, raw, adjusted, check, tails)


@dataclass(frozen=True, eq=False)
class _Told:
    """Scores [example, Probe], raw and adjusted, with their p-values; None without controls."""

    raw: pd.DataFrame
    adjusted: pd.DataFrame
    p: JointP | None
    p_raw: JointP | None

    @classmethod
    def of(cls, raw: pd.DataFrame, adjusted: pd.DataFrame, sides: Sides, seed: int) -> _Told:
        if not sides.controls:
            return cls(raw, adjusted, None, None)
        p, p_raw = (joint_p_values(one, sides, seed) for one in (adjusted, raw))
        return cls(raw, adjusted, p, p_raw)


def _inherited(
    by_id: pd.DataFrame, pool: pd.DataFrame, options: Options, *, has_controls: bool
) -> pd.DataFrame:
    """Give the rows of a duplicate group the numbers of their representative, and flag them."""
    chosen = pool.loc[pool["representative"], ["group", "split", "example_id"]]
    chosen = chosen.rename(columns={"split": "stands_as"})
    inherited = chosen.merge(by_id, left_on="example_id", right_index=True, how="left")
    table = pool.merge(inherited.drop(columns="example_id"), on="group", validate="many_to_one")
    table.loc[table["split"] == "control", [*NAMES_OF_P, *OF_CLAIMS, "q_raw"]] = np.nan
    sources = pool.groupby("example_id")["source"].min()
    for name in (column.name for column in options.columns if column.summary == "name"):
        table[name] = table[name].fillna("")
        table[f"{name}_source"] = table[name].map(sources).fillna("")
    table["flagged"] = table["q_value"] <= options.q
    for name in CLAIMS:
        table[f"{name}_flagged"] = table[f"{name}_q"] <= options.q
    table["flagged_extrapolated"] = table.pop("q_extrapolated") <= options.q
    for name in ("stage", "attack", "input", "literature"):
        table[name] = table[name].fillna("")
    known = table["reproduction_flagged"]
    table["recovered_from_snr_db"] = table["recovered_from_snr_db"].where(known)
    table["claim"] = [
        claim(*row)
        for row in zip(
            table["flagged"] & (table["q_value"] <= LEVEL),
            table["recovered_from_snr_db"],
            strict=True,
        )
    ]
    table["reason"] = _reasons(table, has_controls=has_controls)
    table = table.sort_values(
        ["flagged", "reproduction_flagged", "score", "example_id", "source", "split"],
        ascending=[False, False, False, True, True, True],
        ignore_index=True,
    )
    return table[[name for name, _ in described(options.columns)]]


def calibrates(table: pd.DataFrame) -> pd.Series[bool]:
    """Which rows of a table of findings enter p, q and intervals: one a group and side."""
    return table["representative"] & (table["reason"].isin(["", NO_CONTROLS]))


def sides_of(*tables: pd.DataFrame) -> Sides:
    """Ids that calibrate in each of these tables of findings, by side."""
    entities = [table[calibrates(table)] for table in tables]
    first = entities[0]
    for other in entities[1:]:
        first = first[first["example_id"].isin(other["example_id"])]
    by_split = first.groupby("split")["example_id"]
    ids = {str(split): tuple(sorted(rows)) for split, rows in by_split}
    return Sides(ids.get("member", ()), ids.get("control", ()), clusters_of(first))


def _evidence(scores: pd.DataFrame, told: _Told, sides: Sides, options: Options) -> pd.DataFrame:
    """Numbers of each scored example, by its id, ascending."""
    primary, first = options.primary, first_pass(scores)
    in_full = scores[of_attack(scores, primary)]
    first_only = scores[first & ~scores["example_id"].isin(in_full["example_id"])]
    others = [scores[of_attack(scores, one)] for one in options.claims[1:]]
    rows = pd.concat([in_full, first_only, *others], ignore_index=True)
    table = _summed(rows, options.columns)
    is_full = table.index.isin(promoted(scores, options.claims))
    table["stage"] = np.where(is_full, "full", "screen")
    adjusted = scores_by(told.adjusted, options.leading.attack)
    table["score"] = rounded(adjusted.max(axis=1))
    table["raw_score"] = rounded(scores_by(told.raw, options.leading.attack).max(axis=1))
    table["reproduction_score"] = rounded(scores_by(told.adjusted, primary.attack).max(axis=1))
    larger = adjusted.to_numpy(np.float64).argmax(axis=1)
    for name in ("attack", "input"):
        each = [getattr(one, name) for one in probes_of(adjusted)]
        table[name] = np.array(each, dtype=object)[larger]
    table[[*NAMES_OF_P, *OF_CLAIMS, "q_raw"]] = np.nan
    if told.p is not None and told.p_raw is not None:
        members = list(sides.members)
        table.loc[members, NAMES_OF_P] = told.p.values
        table.loc[members, "q_raw"] = told.p_raw.values[:, 1]
        for claim in options.claims:
            of_claim = [f"{claim.claim}_p", f"{claim.claim}_q"]
            table.loc[members, of_claim] = told.p.by_attack[claim.attack][:, :2]
        for name in ("attack", "input"):
            table.loc[members, name] = [getattr(one, name) for one in told.p.probes]
    return _with_reproduction(table, scores, sides, options)


def _with_reproduction(
    table: pd.DataFrame, scores: pd.DataFrame, sides: Sides, options: Options
) -> pd.DataFrame:
    """Add from which noise an image comes back as a copy, and published thresholds."""
    probe = Probe(options.primary.attack)
    clean = probe.rows(scores)
    if clean.empty or "own_similarity" not in clean:
        return table.assign(recovered_from_snr_db=np.nan, literature="")
    return table.assign(
        recovered_from_snr_db=recovered_from_snr_db(clean, sides, probe, options.copy_threshold),
        literature=literature_of(clean, probe, options.embedder),
    )


def _summed(rows: pd.DataFrame, columns: tuple[Column, ...]) -> pd.DataFrame:
    """Sum columns up over levels and draws, by example id, ascending; NaN where there is no row."""
    order = ["example_id", "level", "draw"]
    rows = rows.sort_values(order, kind="stable")  # sums do not depend on the order of the rows
    table = pd.DataFrame(index=pd.Index(np.unique(rows["example_id"]), name="example_id"))
    for what in (CLEAN, COPY):
        some = rows[rows["input"] == what].groupby("example_id")
        for column in (one for one in columns if one.input == what):
            if column.name not in rows:
                table[column.name] = np.nan
            elif column.summary in ("mean", "median"):
                table[column.name] = some[column.name].agg(column.summary)
            elif column.summary == "name":
                table[column.name] = _nearest(rows[rows["input"] == what], column.name)
    return table


def _nearest(rows: pd.DataFrame, name: str) -> pd.Series[str]:
    """The name with the highest similarity over levels and draws, by example id."""
    near = [f"{name}_similarity", name]
    ordered = rows[["example_id", *near]].sort_values(near, ascending=[False, True])
    return ordered.drop_duplicates("example_id").set_index("example_id")[name]


def _reasons(table: pd.DataFrame, *, has_controls: bool) -> list[str]:
    is_member = table["split"] == "member"
    reason = pd.Series("", index=table.index)
    if not has_controls:
        reason = reason.mask(is_member, NO_CONTROLS)
    reason = reason.mask(is_member & (table["stands_as"] == "control"), BY_CONTROL)
    reason = reason.mask(table["left_out"] != "", table["left_out"])
    return reason.mask(table["score"].isna(), UNSCORED).to_list()
