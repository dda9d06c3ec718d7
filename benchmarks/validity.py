"""Is the verdict right? Simulated scans in which it is known what a model memorized.

    python benchmarks/validity.py [PART ...]

Parts: level, shift, captions, asked, claims, reference, groups, clusters, power, kinds; without
any, all.

Scores and what pictures show are drawn from known laws and go through the project's own calibration
and verdict, as a scan's scores do. Every number is a share of simulated scans; seeds are kept.

Expected. *level*: nothing memorized, sides alike: "evidence" at most .05 + two standard errors at
every size, with ties, heavy tails and duplicates on both sides; inconclusive by the checks of
exchangeability at most .05. *shift*: nothing memorized, the sides differ in what pictures show of
the score (one of 12 properties, linearly or in its spread): evidence at most .05 + two standard
errors. *captions*: the same, of one word of captions that the model is told. *asked*: nothing
memorized and an adaptive scan, or one of noisy copies beside clean images: the same. *claims*: the
same of two claims, whose scores go together in part, in full and adaptive, with noisy copies and
with a reference, and the data-set p is at most a in at most a + two standard errors. *reference*: a
second model saw a part of the controls, which with their look-alikes are left out: the same.
*groups*: images in pairs that are easier, cut across both sides: the same. *clusters*:
divided by photograph, with the option: the same. *power*: the smallest count that the summary
prints is right within 20 % or one image, and 1 % memorized of 1,000 with 1,000 controls is evidence
in at least .9. *kinds*: memorized images of one visible kind keep at least .9 of the flags of the
raw score. About half an hour on one core.
"""

from __future__ import annotations

import math
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from memaudit.attacks.reconstruction import ODE, ONE_STEP
from memaudit.config import AttackConfig
from memaudit.records import CLEAN, COPY, FULL, SCREEN, Column, Input, Phase, Primary
from memaudit.statistics.adaptive import outstanding
from memaudit.statistics.conduct import Calibrated
from memaudit.statistics.detectable import Memory, detectable
from memaudit.statistics.findings import calibrate
from memaudit.statistics.options import Options
from memaudit.statistics.power import LevelPower, Power
from memaudit.statistics.summary import Conduct, summarise
from memaudit.statistics.verdict import Outcome

MARGIN = Column("margin", "")
PRIMARY = Primary(ODE, (MARGIN,), (MARGIN,))
OPTIONS = Options(PRIMARY, (MARGIN,), rounds=999)
KNOWN = Column("known", "")
MEMBERSHIP = Primary("membership", (KNOWN,), (KNOWN,), claim="membership")
TWO = replace(OPTIONS, columns=(MARGIN, KNOWN), membership=MEMBERSHIP)
FEATURES = 12
PERFECT = Power(ODE, 1.0, 0.9, 1.0, 64, 200, 64, 64, (LevelPower(ODE, 1.0, 1.0, 0.2),))
LEVELS = (0.01, 0.025, 0.05, 0.1)  # of the data-set p
SIZES = ((39, 39), (40, 149), (1000, 39), (12, 500), (200, 200), (1000, 200), (1000, 1000))
Values = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Data:
    """Scores [n] and what is seen of the pictures [n, d]; the first `members` are members.

    `group` numbers duplicates, `cluster` names what was divided, "" without. `copies` [n] are the
    scores of noisy copies; `known` [n] those of an attack on membership; `first` [n] those of a
    first pass, of that attack if there is one, after which a part is scanned in full, `step` [n]
    those of one step of reconstruction in it; `captions` [n] what the model is told; `left_out`
    [n] what is no part of the comparison.
    """

    score: Values
    seen: Values
    members: int
    group: NDArray[np.int64] | None = None
    cluster: NDArray[np.str_] | None = None
    copies: Values | None = None
    first: Values | None = None
    known: Values | None = None
    step: Values | None = None
    captions: NDArray[np.str_] | None = None
    left_out: NDArray[np.bool_] | None = None


@dataclass(frozen=True)
class Rates:
    """Shares of simulated scans, and their number."""

    scans: int
    evidence: float
    raw: float
    stopped: float
    dataset_p: Values  # of each scan

    @property
    def highest(self) -> float:
        """The level and two standard errors."""
        return self.most(0.05)

    def most(self, level: float) -> float:
        """A level and two standard errors."""
        return level + 2 * math.sqrt(level * (1 - level) / self.scans)


def main() -> int:
    parts: dict[str, Callable[[], Iterator[bool]]] = {
        "level": level,
        "shift": shift,
        "captions": captions,
        "asked": asked,
        "claims": claims,
        "reference": reference,
        "groups": groups,
        "clusters": clusters,
        "power": power,
        "kinds": kinds,
    }
    wanted = sys.argv[1:] or list(parts)
    good = [one for name in wanted for one in parts[name]()]
    return 0 if all(good) else 1


def level() -> Iterator[bool]:
    """Nothing memorized, sides alike."""
    laws: dict[str, Callable[[np.random.Generator, int], Values]] = {
        "normal": lambda rng, n: rng.normal(size=n),
        "heavy": lambda rng, n: rng.standard_cauchy(n),
        "ties": lambda rng, n: rng.integers(1, 5, n).astype(np.float64),
    }
    for n, m in (*SIZES, (20_000, 20_000)):
        for name, law in laws.items():
            if n + m > 2000 and name != "normal":
                continue

            def draw(rng: np.random.Generator, law=law, n=n, m=m) -> Data:
                seen = rng.normal(size=(n + m, FEATURES))
                return Data(0.5 * seen[:, 0] + law(rng, n + m), seen, n)

            found = rates(draw, 20 if n > 2000 else 200)
            yield told(f"alike, {name}, {n:,} / {m:,}", found, checks=True)


def shift() -> Iterator[bool]:
    """The sides differ in one property that tells of the score."""
    for kind, size in (("mean", 0.2), ("mean", 0.4), ("spread", 1.15), ("spread", 1.3)):
        for n, m in ((40, 150), (200, 200), (2000, 2000)):

            def draw(rng: np.random.Generator, kind=kind, size=size, n=n, m=m) -> Data:
                seen = rng.normal(size=(n + m, FEATURES))
                seen[:n, 0] = seen[:n, 0] + size if kind == "mean" else seen[:n, 0] * size
                shown = seen[:, 0] if kind == "mean" else (seen[:, 0] ** 2 - 1) / math.sqrt(2)
                return Data(0.5 * shown + math.sqrt(0.75) * rng.normal(size=n + m), seen, n)

            yield told(f"{kind} {size:g}, {n:,} / {m:,}", rates(draw, 60 if n > 1000 else 150))


def captions() -> Iterator[bool]:
    """More members than controls are told a word with which images come back better."""
    words = np.array([f"a photo of thing{k}" for k in range(20)])
    for n, m in ((200, 200), (1000, 1000)):

        def draw(rng: np.random.Generator, n=n, m=m) -> Data:
            easy = rng.random(n + m) < np.where(np.arange(n + m) < n, 0.35, 0.2)
            told = np.char.add(rng.choice(words, n + m), np.where(easy, " asleep", ""))
            return Data(rng.normal(size=n + m) + easy, np.zeros((n + m, 1)), n, captions=told)

        yield told(f"an easier word, {n:,} / {m:,}", rates(draw, 60))


def asked() -> Iterator[bool]:
    """Adaptive scans, and noisy copies beside clean images."""
    for n, m in ((40, 149), (200, 200), (1000, 1000)):
        for name in ("adaptive", "with copies"):

            def draw(rng: np.random.Generator, n=n, m=m, name=name) -> Data:
                seen = rng.normal(size=(n + m, FEATURES))
                score = 0.5 * seen[:, 0] + rng.normal(size=n + m)
                other = score + rng.normal(size=n + m)
                more = {"first": other} if name == "adaptive" else {"copies": other}
                return Data(score, seen, n, **more)

            yield told(f"{name}, {n:,} / {m:,}", rates(draw, 30 if n > 500 else 100))


def claims() -> Iterator[bool]:
    """Two claims: in full and adaptive, with copies, and with a reference of known controls."""
    for n, m in ((40, 149), (200, 400), (1000, 1000)):
        for name in ("full", "adaptive", "full, copies", "adaptive, copies", "adaptive, reference"):

            def draw(rng: np.random.Generator, n=n, m=m, name=name) -> Data:
                seen = rng.normal(size=(n + m, FEATURES))
                score = 0.5 * seen[:, 0] + rng.normal(size=n + m)
                known = 0.5 * score + rng.normal(size=n + m)
                more: dict[str, Values] = {"known": known}
                if name.startswith("adaptive"):
                    more["first"] = known + 0.5 * rng.normal(size=n + m)
                    more["step"] = score + 0.5 * rng.normal(size=n + m)
                if name.endswith("copies"):
                    more["copies"] = score + rng.normal(size=n + m)
                if name.endswith("reference"):
                    more["left_out"] = np.arange(n + m) >= n + m - m // 20
                return Data(score, seen, n, **more)

            found = rates(draw, 60 if n > 500 else 300)
            yield told(f"two claims, {name}, {n:,} / {m:,}", found)
            shares = {level: float((found.dataset_p <= level).mean()) for level in LEVELS}
            good = all(share <= found.most(level) for level, share in shares.items())
            print(f"  data-set p at most {shares}: {yes(good)}", flush=True)
            yield good


def reference() -> Iterator[bool]:
    """The reference saw one control in twenty, and gains nothing on those."""
    for n, m in ((200, 200), (1000, 1000)):

        def draw(rng: np.random.Generator, n=n, m=m) -> Data:
            score, group = rng.normal(size=n + m), np.arange(n + m)
            group[: n // 10] = n + np.arange(n // 10)  # members of which a control is a near copy
            known = np.isin(group, n + np.arange(m // 20))
            score[known] -= 2
            return Data(score, np.zeros((n + m, 1)), n, group, left_out=known)

        yield told(f"a reference, {n:,} / {m:,}", rates(draw, 100))


def groups() -> Iterator[bool]:
    """Pairs of duplicates that are easier than the rest, divided image by image."""
    for n, m in ((1000, 200), (1000, 100)):

        def draw(rng: np.random.Generator, n=n, m=m) -> Data:
            pairs = int(0.2 * (n + m))
            group = np.r_[np.repeat(np.arange(pairs), 2), np.arange(pairs, n + m - pairs)]
            ease = rng.normal(size=n + m) + (np.arange(n + m) < pairs)
            order = rng.permutation(n + m)
            score = ease[group] + rng.normal(0, 0.3, n + m)
            return Data(score[order], np.zeros((n + m, 1)), n, group[order])

        yield told(f"easier pairs, {n:,} / {m:,}", rates(draw, 200))


def clusters() -> Iterator[bool]:
    """Photographs of 25 tiles each, divided by photograph."""
    for photographs in (100, 200):

        def draw(rng: np.random.Generator, photographs=photographs) -> Data:
            of = np.repeat(np.arange(2 * photographs), 25)
            score = math.sqrt(0.2) * rng.normal(size=2 * photographs)[of]
            score = score + math.sqrt(0.8) * rng.normal(size=len(of))
            names = np.array([f"photograph {k}" for k in of])
            return Data(score, np.zeros((len(of), 1)), len(of) // 2, cluster=names)

        yield told(f"{photographs} photographs a side", rates(draw, 60))


def power() -> Iterator[bool]:
    """How few perfectly memorized images are found, printed and simulated."""
    for n, m in ((40, 149), (39, 39), (15, 500), (100, 300), (1000, 1000), (1000, 300)):
        printed = detectable(lambda _: Memory.partly(1.0), n, m, 0).count
        real = next((k for k in range(1, n + 1) if found_share(n, m, k) >= 0.8), n + 1)
        good = printed is not None and abs(printed - real) <= max(1, 0.2 * real)
        print(f"{n:,} / {m:,}: prints {printed}, found from {real}: {yes(good)}", flush=True)
        yield good
    share = found_share(1000, 1000, 10)
    print(f"1 % of 1,000 with 1,000 controls: evidence {share:.2f}, expected >= .9", flush=True)
    yield share >= 0.9


def found_share(n: int, m: int, k: int) -> float:
    def draw(rng: np.random.Generator) -> Data:
        score = rng.normal(size=n + m)
        score[:k] = 10 + rng.random(k)
        return Data(score, np.zeros((n + m, 1)), n)

    return rates(draw, 100).evidence


def kinds() -> Iterator[bool]:
    """Memorized are the members of one kind of picture that anybody sees."""
    for n, m in ((1000, 1000), (2000, 200), (200, 200)):
        for share in (0.05, 0.2, 0.4):
            kept = []
            for seed in range(10):
                rng = np.random.default_rng(seed)
                seen = rng.normal(size=(n + m, FEATURES))
                kind = rng.random(n + m) < share
                seen[kind, :3] += 2.5
                score = 0.3 * seen[:, 5] + rng.normal(size=n + m)
                score[:n][kind[:n]] += 5
                table = calibrated(Data(score, seen, n)).findings
                alone = table["q_raw"] <= OPTIONS.q
                kept.append([(table["flagged"] & alone).sum(), alone.sum()])
            both, alone = np.sum(kept, axis=0)
            good = bool(both >= 0.9 * alone)
            print(
                f"a kind of {share:.0%}, {n:,} / {m:,}: {both} of {alone} flags kept: {yes(good)}",
                flush=True,
            )
            yield good


def rates(draw: Callable[[np.random.Generator], Data], scans: int) -> Rates:
    """Decide so many scans."""
    found = np.array([decided(draw(np.random.default_rng(seed))) for seed in range(scans)])
    return Rates(scans, *found[:, :3].mean(axis=0), found[:, 3])


def decided(data: Data) -> tuple[bool, bool, bool, float]:
    """Whether a scan is evidence, whether its raw score is, whether a check stopped it; its p."""
    done = calibrated(data)
    conduct = Conduct(self_checked=True, power=PERFECT)
    summary = summarise(done, options_of(data), conduct)
    said = summary.verdict.sentence
    assert summary.dataset is not None
    raw = min(done.findings["q_raw"].min(), summary.dataset.raw.p_value) <= 0.025
    stopped = "shift detected" in said or "may lie in the pictures" in said or "copies of" in said
    p_value = summary.dataset.test.p_value
    return summary.verdict.outcome is Outcome.EVIDENCE, bool(raw), stopped, p_value


def options_of(data: Data) -> Options:
    """What the scan of these rests on: one claim, or two."""
    asked = OPTIONS if data.known is None else TWO
    return replace(asked, captions=data.captions is not None)


def calibrated(data: Data) -> Calibrated:
    """Calibrate as a scan does."""
    n = len(data.score)
    rng = np.random.default_rng(n)
    ids = np.array([f"{number:08x}" for number in rng.permutation(n)])
    scores = rows_of(data, ids)
    split = np.where(np.arange(n) < data.members, "member", "control")
    group = np.arange(n) if data.group is None else data.group
    pool = pd.DataFrame(
        {
            "example_id": ids,
            "split": split,
            "source": ids,
            "prompt": "" if data.captions is None else data.captions,
            "group": group,
            "cluster": "" if data.cluster is None else data.cluster,
            "left_out": "",
        }
    )
    if data.left_out is not None:
        pool["left_out"] = np.where(data.left_out, "seen by the reference", "")
    order = pool.sort_values("example_id")
    pool["representative"] = ~order["group"].duplicated().reindex(pool.index)
    pool["spans"] = pool.groupby("group")["split"].transform("nunique") > 1
    if data.seen.any():
        looks = {f"look_{k:02}": data.seen[:, k] for k in range(data.seen.shape[1])}
        pool = pool.assign(**looks)
    kept = scores[scores["example_id"].isin(pool.loc[pool["representative"], "example_id"])]
    return calibrate(kept, pool, options_of(data))


def rows_of(data: Data, ids: NDArray[np.str_]) -> pd.DataFrame:
    """The rows of scores that a scan writes."""

    def rows(
        claim: Primary, score: Values, what: Input = CLEAN, phase: Phase = FULL
    ) -> pd.DataFrame:
        keys = {"example_id": ids, "attack": claim.attack, "input": what, "phase": phase}
        values = {claim.columns[0].name: score}
        return pd.DataFrame({**keys, "level": 1.0, "draw": 0, "snr_db": 0.0, **values})

    full = [rows(PRIMARY, data.score)]
    if data.known is not None:
        full.append(rows(MEMBERSHIP, data.known))
    if data.copies is not None:
        full.append(rows(PRIMARY, data.copies, COPY))
    if data.first is None:
        return pd.concat(full, ignore_index=True)
    asked = options_of(data).claims
    first = [rows(asked[-1], data.first, CLEAN, SCREEN)]
    if data.step is not None:
        first.append(rows(replace(PRIMARY, attack=ONE_STEP), data.step, CLEAN, SCREEN))
    screen = pd.concat(first, ignore_index=True)
    top = outstanding(screen, asked, AttackConfig.fraction)
    few = [one[one["example_id"].isin(top)] for one in full]
    return pd.concat([screen, *few], ignore_index=True)


def told(name: str, found: Rates, *, checks: bool = False) -> bool:
    """Print the rates of a setting; whether they are as expected."""
    good = found.evidence <= found.highest and (not checks or found.stopped <= found.highest)
    print(
        f"{name:34} evidence {found.evidence:.3f} (raw score {found.raw:.3f}), stopped by a check "
        f"{found.stopped:.3f}, of {found.scans}; expected at most {found.highest:.3f}: {yes(good)}",
        flush=True,
    )
    return good


def yes(good: bool) -> str:
    return "yes" if good else "NO"


if __name__ == "__main__":
    sys.exit(main())
