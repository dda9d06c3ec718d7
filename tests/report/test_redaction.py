"""A redacted report tells neither who nor where, nor which image, but to those with the key."""

from dataclasses import replace

import pytest
from published import published
from recorded import ALL, evidence

from memaudit.errors import ConfigError
from memaudit.models.parts import Part
from memaudit.report.card import card
from memaudit.report.html import html
from memaudit.report.redaction import keyed, read_key, redact

KEY = b"0123456789abcdef"


def named():
    """A run in which all that people name is called secret."""
    record = evidence()
    asked = replace(
        record.config,
        model="/home/secret/model",
        dataset="secret-data/members",
        controls="secret",
        noisy_copies="secret-copies",
        reference="secret-twin",
        reference_trained_on="secret-other",
        cluster_column="secret-column",
        out="secret-run",
        embedder="dinov2:secret-folder",
    )
    prepared = record.prepared
    model = replace(
        prepared.model,
        model="/home/secret/model",
        base="secret/base",
        weights={"secret.safetensors": "2" * 64},
        parts={"unet": Part("network", "UNet2DModel", 1, "float32", {"secret.safetensors": 4})},
        details={"_name_or_path": "secret"},
    )
    assert prepared.copies is not None
    prepared = replace(
        prepared,
        model=model,
        copies=replace(prepared.copies, folder="secret-copies"),
        data=replace(prepared.data, fingerprint="f" * 64, index="/home/secret/cache"),
        embedder=replace(prepared.embedder, name="dinov2:secret-folder"),
        reference=replace(prepared.reference, model=replace(model, model="secret-twin")),
    )
    noisy = replace(
        record.summary.conduct.noisy,
        advice="the noisy copies in secret-copies are of none; see /home/secret/x and ~/secret",
    )
    use = replace(record.summary.conduct.reference, model="secret-twin", trained_on="secret-other")
    conduct = replace(record.summary.conduct, noisy=noisy, reference=use)
    environment = replace(
        record.environment, command=("memaudit", "secret"), platform="Linux-6.1-secret-host"
    )
    record = replace(
        record,
        config=asked,
        prepared=prepared,
        summary=replace(record.summary, conduct=conduct),
        environment=environment,
    )
    texts = {"source": "secret.png", "prompt": "a secret", "nearest_other_source": "secret.png"}
    return replace(published(record, **texts, cluster="secret-cluster"), name="secret-run")


def test_nothing_that_people_named_is_left_and_no_picture():
    run = named()
    assert "secret" in html([run])
    told = redact(run, KEY, "run 1")
    for text in (html([told]), card([told])):
        assert "secret" not in text
        assert "<img " not in text
        assert "f" * 64 not in text
    assert "Redacted" in html([told])
    assert "2" * 64 in html([told])  # weights are no images


def test_images_go_by_names_that_the_key_tells():
    run = named()
    text = html([redact(run, KEY, "run 1")])
    ids = run.findings["example_id"]
    assert not [one for one in ids if one[:12] in text]
    assert all(keyed(one, KEY)[:12] in text for one in ids)
    assert html([redact(run, KEY, "run 1")]) == text
    assert html([redact(run, KEY[::-1], "run 1")]) != text


@pytest.mark.parametrize("made", ALL, ids=lambda made: made.__name__)
def test_what_was_found_is_told_as_before(made):
    run = published(made())
    told = redact(run, KEY, "run 1")
    assert told.record.verdict == run.record.verdict
    assert told.record.summary.levels == run.record.summary.levels
    assert told.findings["score"].equals(run.findings["score"])


def test_a_short_key_is_refused_and_none_is_a_random_one(tmp_path):
    assert read_key(None) != read_key(None)
    (tmp_path / "key").write_bytes(KEY[:-1])
    with pytest.raises(ConfigError, match="holds 15 bytes, expected at least 16"):
        read_key(str(tmp_path / "key"))
