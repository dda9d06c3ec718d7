"""Finished scans as they stand in scan.json, written by hand: one for each verdict."""

from dataclasses import replace

from scored import primary

from memaudit.attacks.mirrored import COLUMNS as TURNED
from memaudit.attacks.reconstruction import ODE, ONE_STEP
from memaudit.attacks.scores import COLUMNS
from memaudit.config import MEMBERSHIP, Mask, ScanConfig
from memaudit.models.ambient import Ambient
from memaudit.models.parts import Part
from memaudit.models.provenance import Memorized, Provenance
from memaudit.models.self_check import SelfCheck
from memaudit.records import CLEAN, COPY, FULL, SCREEN, Primary
from memaudit.run.record import (
    FORMAT,
    Calibration,
    CaptionsRecord,
    Commit,
    CopiesRecord,
    DataRecord,
    EmbedderRecord,
    Environment,
    Levels,
    Prepared,
    Record,
    ReferenceRecord,
)
from memaudit.similarity.quality import Quality
from memaudit.statistics.claims import ClaimFound
from memaudit.statistics.conduct import ReferenceUse
from memaudit.statistics.copies import Correlation, CorrelationTest, InputResult, NoisyTraining
from memaudit.statistics.counts import Counts, Flagged, Unread
from memaudit.statistics.dataset import DatasetTest, UpperTail
from memaudit.statistics.detectable import Detectable
from memaudit.statistics.effects import Auc, Excess
from memaudit.statistics.effort import Effort
from memaudit.statistics.exchangeability.check import Exchangeability
from memaudit.statistics.exchangeability.separation import Separation
from memaudit.statistics.explored import Explored
from memaudit.statistics.facts import Facts, Found, SideFacts
from memaudit.statistics.inference import Combination, Feature, Inference
from memaudit.statistics.joint import InputTail
from memaudit.statistics.levels import Level
from memaudit.statistics.literature import LiteratureLevel
from memaudit.statistics.power import LevelPower, Power
from memaudit.statistics.roc import RocPoint
from memaudit.statistics.summary import (
    Conduct,
    DatasetLevel,
    Extrapolated,
    Summary,
)
from memaudit.statistics.tail import Tail
from memaudit.statistics.verdict import Verdict

SIX_DB, ODD = 6.020599913279624, 0.1 + 0.2  # numbers whose last digits count


def config(**options: object) -> ScanConfig:
    """What was asked for."""
    given = {"model": "model", "dataset": "members", "controls": "controls", "out": "run"}
    return ScanConfig(**{**given, **options})


def prepared() -> Prepared:
    """What a plain scan settles before its first score."""
    return Prepared(
        format=FORMAT,
        question="0" * 64,
        data=DataRecord("1" * 64, 130, 128, 2, "16x16", "cache/index", index_reused=True),
        model=Provenance("pixel", model="model", weights={"unet": "2" * 64}),
        embedder=EmbedderRecord("pixels", "3" * 64, None, 0.95),
        levels=Levels((0.5, 2.0), (), 3.1 + ODD, weak=(0.1, 0.2)),
        primary=primary("margin", "tile_l2"),
        columns=(*COLUMNS, *TURNED[:1]),
        membership=Primary(MEMBERSHIP, TURNED[:1], TURNED[:1], claim="membership"),
        others=(primary("margin", attack=ONE_STEP),),
        shard_size=64,
        device="cpu",
        self_check=SelfCheck((0.3, 1.0), (0.1, ODD), (0.09, 1.0), 0.4, "eps", 1.5, 128),
    )


def settled_in_full() -> Prepared:
    """The same with captions, noisy copies and a reference model."""
    use = ReferenceUse("twin", "other", 500, 0, 3)
    return replace(
        prepared(),
        levels=Levels((0.5, 2.0), (90.0,), None, (0.5,), (0.1, 0.2)),
        captions=CaptionsRecord("own", 0),
        copies=CopiesRecord("model/noisy", 60, "4" * 64),
        model=Provenance(
            "pixel",
            model="owner/model",
            revision="5" * 40,
            reading={"prediction_type": "epsilon"},
            ambient=Ambient("ambient-mask", 0.4, 0, mask=Mask("pixels", 0.2)),
            parameters=10,
            weights={"cat.safetensors": "7" * 64},
            parts={"unet": Part("network", "UNet2DModel", 10, "float32", {"cat.safetensors": 40})},
            details={"scheduler": {"beta_start": ODD, "trained_betas": None}},
        ),
        reference=ReferenceRecord(
            Provenance(model="twin", memorized=Memorized(8, 1, "6" * 64)), use, None
        ),
    )


def level(sigma: float, snr_db: float, **changes: object) -> Level:
    """One noise level of full sampling from clean images."""
    told = Level(
        attack=ODE,
        input=CLEAN,
        phase=FULL,
        level=sigma,
        snr_db=snr_db,
        members=60,
        controls=64,
        own_similarity_members=0.91,
        own_similarity_controls=0.4,
        auc=0.87,
        share_above=0.25,
        rank1_members=0.5,
        rank1_controls=0.125,
        power=1.0,
        grade="informative",
    )
    return replace(told, **changes)


def environment() -> Environment:
    """A machine."""
    return Environment(
        memaudit="1.0.0",
        commit=Commit("5" * 40, dirty=True),
        python="3.12.1",
        platform="Linux",
        packages={"torch": "2.6.0", "faiss-cpu": None},
        command=("memaudit", "scan", "--q", "0.05"),
        threads=1,
        finished="2026-01-02T03:04:05+00:00",
    )


def record(verdict: Verdict, summary: Summary, **changes: object) -> Record:
    """A finished scan with a summary."""
    made = Record(
        format=FORMAT,
        verdict=verdict,
        config=config(),
        prepared=prepared(),
        summary=summary,
        quality=None,
        environment=environment(),
        calibrations=(Calibration(0.05, 0, str(verdict.outcome), "2026-01-02T03:04:05+00:00"),),
    )
    return replace(made, **changes)


def summary(verdict: Verdict, **changes: object) -> Summary:
    """What a plain scan in full found: nothing."""
    test = DatasetTest(0.31, UpperTail(1, 0.92, 1, 2.5, (1, 2, 3, 5), 0.6), 0.62)
    tail = Tail(None, 0, None, None, None, usable=False, reason="too few controls")
    found = Summary(
        attack=ODE,
        columns=("margin", "tile_l2"),
        counts=Counts(62, 66, 60, 64, 60, 64, 0, 0, 0, 4, 0, Unread()),
        flagged=Flagged(0.05, 0, 0, 0, 0, 0, 0, 0, 0.7, 0.9, 2, 38, 2399, 79, 1),
        claims=claims(0, 0, 0.9, 0.7),
        dataset=DatasetLevel(
            test=test,
            raw=test,
            auc=Auc(0.52, 0.41, 0.63),
            share_above=1 / 60,
            excess=Excess(0.0, -0.14, 0.09, 2.4, 1 / 60, 1 / 60),
            roc=(),
            extrapolated=Extrapolated(0, (InputTail(ODE, CLEAN, tail),)),
        ),
        levels=(
            level(0.5, SIX_DB, grade="too easy", own_similarity_controls=0.97),
            level(2.0, -SIX_DB, auc=0.5, share_above=0.0, power=0.75),
        ),
        literature=(),
        exchangeability=Exchangeability(
            60, 64, explained=0.31, auc=0.52, p_value=0.8,
            separates=(Separation("file size, bytes", "812", "930", 0.6),),
        ),
        conduct=Conduct(
            self_checked=True,
            detectable=Detectable(4, 60, 64),
            power=Power(
                ODE, 0.9, 0.795, 0.963, 60, 64, 60, 60,
                (LevelPower(ODE, 0.5, 1.0, 0.9), LevelPower(MEMBERSHIP, 0.1, 1.0, None)),
            ),
            effort=Effort(2560, 2560),
        ),
        verdict=verdict,
        inference=inference(),
        explored=(Explored("secmi", ("secmi",), 0.51, 0.0, 0.53, 0.0167, 0),),
    )  # fmt: skip
    return replace(found, **changes)


def claims(
    reproduction: int, membership: int, reproduction_q: float | None, membership_q: float | None
) -> tuple[ClaimFound, ...]:
    """What both claims rest on, by how many are flagged and the smallest q of each."""
    auc = Auc(0.52, 0.41, 0.63)
    of_copies = ClaimFound(
        "reproduction", ODE, ("margin", "tile_l2"), reproduction, reproduction_q, 0.62, auc, 1 / 60
    )
    of_use = ClaimFound(
        "membership", MEMBERSHIP, ("mirrored_residual",), membership, membership_q, 0.8, auc, 0.0
    )
    if reproduction_q is None:
        of_copies = replace(of_copies, dataset_p=None, auc=None, above=None)
    return of_copies, of_use


def inference(**changes: object) -> Inference:
    """Two attacks that tell nothing of the set."""
    quiet = Combination(0.03, 0.51, 0.42)
    told = Inference(
        attacks=(ODE, "secmi"),
        features=8,
        members=60,
        controls=64,
        p_value=0.5,
        equal=quiet,
        learned=replace(quiet, difference=-0.02, auc=0.49, p_value=0.6),
        suspicious=0.5,
        explained=0.31,
        pictures_p=0.8,
        enough=None,
        subsamples=50,
        rounds=9999,
        strongest=(
            Feature("secmi", CLEAN, FULL, "secmi", 0.13, 0.21),
            Feature(ODE, CLEAN, FULL, "margin", 2.0, -0.125),
        ),
    )
    return replace(told, **changes)


def facts(**changes: object) -> Facts:
    """What a scan of 60 members and 64 controls that found nothing rests on."""
    quiet = Found(0.7, 0.62, 0)
    told = Facts(
        members=SideFacts(60, 60, 0, 0, 62),
        controls=SideFacts(64, 64, 0, 0, 66),
        found=quiet,
        raw=quiet,
        self_checked=True,
        claims=2,
    )
    return replace(told, **changes)


def none() -> Record:
    """A scan that found nothing."""
    verdict = Verdict.none(facts())
    return record(verdict, summary(verdict))


def inconclusive() -> Record:
    """A scan without controls, power or similarities of its own, of which images are missing."""
    verdict = Verdict.inconclusive("no controls; give at least 39", "another reason")
    empty = {"controls": 0, "auc": None, "share_above": None, "rank1_controls": None}
    found = summary(
        verdict,
        counts=Counts(58, 0, 55, 0, 55, 0, 0, 0, 0, 1, 2, Unread(3, 0)),
        flagged=Flagged(0.05, 0, 0, 0, 0, 0, 0, 0, None, None, 1, None, 1099, 39, 0),
        claims=claims(0, 0, None, None)[:1],
        dataset=None,
        exchangeability=None,
        levels=(
            level(0.5, SIX_DB, own_similarity_controls=None, power=None, grade="", **empty),
            level(
                0.5, SIX_DB, attack="loss", own_similarity_members=None,
                own_similarity_controls=None, rank1_members=None, power=None, grade="", **empty,
            ),
        ),
        conduct=Conduct(self_checked=False, effort=Effort(0, 0, reason="too few")),
        inference=None,
    )  # fmt: skip
    few = Quality(10, 0, 3072, reason="found 10 generated images and 0 controls")
    asked = config(controls=None, generate=10)
    alone = replace(prepared(), membership=None, columns=COLUMNS)
    return record(verdict, found, config=asked, prepared=alone, quality=few)


def evidence() -> Record:
    """An adaptive scan of a model of noisy copies beside a reference, with all that can be told."""
    verdict = Verdict.evidence(
        facts(
            found=Found(0.001, 0.0002, 7),
            reproductions=4,
            reproduction_q=0.002,
            by_input="4 by the clean image, 3 by the noisy copy",
        )
    )
    test = DatasetTest(0.0001, UpperTail(12, 0.92, 1, 2.5, (1, 2, 3, 5), 3e-4), 2e-4)
    tails = tuple(
        InputTail(ODE, one, Tail(2.0, 20, 0.05, 0.3, 0.4, usable=True, reason=""))
        for one in (CLEAN, COPY)
    )
    correlation = CorrelationTest((Correlation(2.0, 60, 0.21, -0.004, 1e-11),), 1e-11)
    noisy = NoisyTraining(
        loss="ambient",
        sigma_n=0.5,
        lowest=0.5,
        advice="",
        digest="4" * 64,
        by_input=(
            InputResult(ODE, CLEAN, ("margin", "tile_l2"), 2, test, 0.8),
            InputResult(ODE, COPY, ("copy_correlation",), 3, None, None),
            InputResult(MEMBERSHIP, CLEAN, ("mirrored_residual",), 2, test, 0.9),
            InputResult(MEMBERSHIP, COPY, ("mirrored_residual",), 0, None, None),
        ),
        correlation=correlation,
    )
    plain = summary(verdict)
    assert plain.dataset is not None
    found = replace(
        plain,
        counts=Counts(62, 66, 60, 64, 12, 16, 1, 0, 2, 3, 1, Unread(2, 0)),
        flagged=Flagged(0.05, 7, 8, 4, 3, 6, 5, 2, 0.001, 0.002, 4, 38, 2399, 79, 5),
        claims=claims(5, 6, 0.002, 0.001),
        dataset=replace(
            plain.dataset,
            test=test,
            roc=(RocPoint(0.01, 2.4, 0.2, 0.11, 0.32, 0.0, 0.0894, 60, 32),),
            extrapolated=Extrapolated(9, tails),
        ),
        levels=(
            level(0.5, SIX_DB),
            level(2.0, -SIX_DB, input=COPY, own_similarity_members=None, rank1_members=None,
                  own_similarity_controls=None, rank1_controls=None, grade="no power", power=0.0),
            level(0.5, SIX_DB, attack=ONE_STEP, phase=SCREEN, power=None, grade=""),
        ),
        literature=(
            LiteratureLevel("SSCD >= .5", "Somepalli et al. 2023", 0.5, SIX_DB, 0.25, 0.0),
            LiteratureLevel("SSCD >= .5", "Somepalli et al. 2023", 2.0, -SIX_DB, 0.1, None),
        ),
        exchangeability=Exchangeability(
            60, 64, explained=0.31, auc=0.9, p_value=0.001,
            separates=(Separation("file format", "PNG", "JPEG (98%)", 0.99),),
        ),
        conduct=Conduct(
            self_checked=True,
            detectable=Detectable(None, 12, 16),
            power=Power(ODE, 0.95, 0.861, 0.99, 60, 64, 50, 60, ()),
            effort=Effort(1280, 2560, (MEMBERSHIP, ONE_STEP), 12, 5),
            noisy=noisy,
            reference=ReferenceUse("twin", "other", 500, 0, 3),
        ),
        inference=inference(
            p_value=1e-4, equal=Combination(0.9, 0.75, 1e-4), suspicious=0.9, enough=20,
        ),
    )  # fmt: skip
    quality = Quality(
        64, 64, 512, 12.3456, 0.00123, 0.00045, 32, 0.75, 0.5,
        sampler="euler", steps=20, sigma_max=80.0, sigma_min=ODD,
    )  # fmt: skip
    asked = config(adaptive=True, reference="twin", reference_trained_on="other")
    return record(verdict, found, config=asked, prepared=settled_in_full(), quality=quality)


ALL = (evidence, none, inconclusive)
