import io
from dataclasses import asdict

import numpy as np
import pandas as pd
import PIL.Image
import pytest
from skimage import data as photos

from memaudit.data import decode, properties
from memaudit.similarity.embed import load_embedder
from memaudit.statistics.exchangeability import (
    blind,
    exchangeability,
    separation,
    smoother,
)

TILE = 24


def cut(*photographs):
    """Tiles of photographs that show something, in a fixed random order."""
    tiles = [
        photograph[y : y + TILE, x : x + TILE]
        for photograph in photographs
        for y in range(0, photograph.shape[0] - TILE + 1, TILE)
        for x in range(0, photograph.shape[1] - TILE + 1, TILE)
    ]
    tiles = [tile for tile in tiles if tile.std() > 15]
    order = np.random.default_rng(0).permutation(len(tiles))
    return [tiles[k] for k in order]


@pytest.fixture(scope="module")
def mixed():
    return cut(photos.astronaut(), photos.coffee(), photos.chelsea())[:400]


def png(pixels):
    return saved(pixels, "PNG")


def jpeg(quality):
    return lambda pixels: saved(pixels, "JPEG", quality=quality)


def saved(pixels, file_format, **options):
    buffer = io.BytesIO()
    PIL.Image.fromarray(pixels).save(buffer, file_format, **options)
    return buffer.getvalue()


def read(pixels, save=png):
    """Embeddings and properties of pixels that were saved as files."""
    files = [save(image) for image in pixels]
    decoded = [decode(file) for file in files]
    rows = [
        asdict(properties(image, len(file))) for image, file in zip(decoded, files, strict=True)
    ]
    return load_embedder("pixels").embed([image.image for image in decoded]), pd.DataFrame(rows)


def compare(members, controls, **options):
    (a, first), (b, second) = members, controls
    member = np.arange(len(a) + len(b)) < len(a)
    table = pd.concat([first, second], ignore_index=True)
    return exchangeability(np.concatenate([a, b]), table, member, **options)


def test_another_jpeg_quality_is_caught_and_named_first(mixed):
    found = compare(read(mixed[:100], jpeg(75)), read(mixed[100:200], jpeg(95)))
    assert found.alarm
    assert found.separates[0] == separation.Separation("JPEG quality", "75", "95", 1.0)
    assert (found.members, found.controls) == (100, 100)


def test_another_format_is_caught_and_named_first(mixed):
    found = compare(read(mixed[:60]), read(mixed[60:120], jpeg(90)))
    assert found.separates[0] == separation.Separation("file format", "PNG", "JPEG", 1.0)


def test_another_resolution_is_caught_and_named(mixed):
    small = [image[:20, :20] for image in mixed[60:120]]
    found = compare(read(mixed[:60]), read(small))
    assert separation.Separation("width, pixels", "24", "20", 1.0) in found.separates


def test_what_was_a_jpeg_once_is_caught_in_a_png(mixed):
    once = [decode(jpeg(75)(image)).image for image in mixed[100:200]]
    found = compare(read(mixed[:100]), read(once))
    assert found.alarm
    assert found.separates[0].what == "traces of JPEG quantization in the pixels"


def test_another_photograph_is_caught_by_both_baselines():
    found = compare(read(cut(photos.chelsea())[:80]), read(cut(photos.coffee())[:80]))
    assert found.alarm
    assert [baseline.features for baseline in found.baselines] == ["embeddings", "file properties"]
    assert all(baseline.p_value <= 0.005 for baseline in found.baselines)
    assert all(baseline.auc > 0.6 for baseline in found.baselines)


def test_a_random_split_raises_no_alarm_and_names_nothing(mixed):
    found = compare(read(mixed[:200]), read(mixed[200:]))
    assert not found.alarm
    assert found.p_value > 0.01
    assert found.separates == ()


def test_p_is_the_smaller_one_twice(mixed):
    found = compare(read(mixed[:40]), read(mixed[40:80]))
    assert found.p_value == min(1, 2 * min(baseline.p_value for baseline in found.baselines))


def test_the_order_of_the_rows_does_not_matter(mixed):
    vectors, table = read(mixed[:120], jpeg(90))
    member = np.arange(120) % 3 == 0
    expected = exchangeability(vectors, table, member)
    order = np.random.default_rng(1).permutation(120)
    assert exchangeability(vectors[order], table.iloc[order], member[order]) == expected


def test_the_same_seed_gives_the_same_and_another_draws_anew(mixed):
    sides = read(mixed[:40]), read(mixed[40:80])
    assert compare(*sides) == compare(*sides)
    assert compare(*sides) != compare(*sides, seed=1)


def test_too_few_on_either_side_are_not_compared(mixed):
    few, many = read(mixed[:19]), read(mixed[20:60])
    assert compare(few, many) is None
    assert compare(many, few) is None
    assert compare(read(mixed[:20]), many) is not None


def test_of_many_images_a_share_is_used(mixed, monkeypatch):
    monkeypatch.setattr(blind, "MOST", 50)
    vectors, table = read(mixed[:200])
    member = np.arange(200) < 130
    found = exchangeability(vectors, table, member)
    assert (found.members, found.controls) == (50, 50)
    order = np.random.default_rng(1).permutation(200)
    assert exchangeability(vectors[order], table.iloc[order], member[order]) == found


def test_images_that_cannot_be_told_apart_get_the_largest_p():
    vectors, table = read([np.full((24, 24, 3), 90, np.uint8)] * 50)
    found = exchangeability(vectors, table, np.arange(50) < 25)
    assert {(baseline.auc, baseline.p_value) for baseline in found.baselines} == {(0.5, 1.0)}


def test_predictions_are_those_of_classifiers_that_never_saw_the_image(mixed):
    vectors, _ = read(mixed[:30])
    kernel = smoother.mixed_kernel(vectors.astype(np.float64))
    labels = np.arange(30) % 2 - 0.5
    expected = np.empty(30)
    for k in range(30):
        rest = np.delete(np.arange(30), k)
        inner = kernel[np.ix_(rest, rest)] + smoother.RIDGE * np.eye(29)
        expected[k] = kernel[k, rest] @ np.linalg.solve(inner, labels[rest])
    np.testing.assert_allclose(smoother.held_out(kernel) @ labels, expected, atol=1e-9)


def test_p_values_of_random_splits_are_not_too_small(mixed, monkeypatch):
    monkeypatch.setattr(smoother, "ROUNDS", 199)
    vectors, table = read(mixed[:80])
    rng = np.random.default_rng(0)
    found = [exchangeability(vectors, table, rng.permutation(80) < 40) for _ in range(200)]
    for which in range(2):
        p = np.array([result.baselines[which].p_value for result in found])
        # Binomial(200, level): below these counts in 99.9 of 100 seeds.
        assert np.sum(p <= 0.05) <= 21
        assert np.sum(p <= 0.2) <= 58
        assert np.mean(p) > 0.43


@pytest.mark.parametrize("trigger", ["a photo of sks", "a photo"])
def test_captions_that_give_a_side_away_are_caught_where_the_model_is_told_them(mixed, trigger):
    vectors, table = read(mixed[:120])
    member = np.arange(120) < 60
    kinds = ["a picture of a cat", "coffee on a table", "a rocket", "an astronaut smiling"]
    table["prompt"] = [kinds[k % 4] if k >= 60 else f"{trigger} {kinds[k % 4]}" for k in range(120)]
    assert not exchangeability(vectors, table, member).alarm
    told = exchangeability(vectors, table, member, captions=True)
    assert told.alarm
    assert min(told.baselines, key=lambda one: one.p_value).features == "captions"


def test_captions_of_one_source_raise_no_alarm(mixed):
    vectors, table = read(mixed[:120])
    words = np.random.default_rng(0).integers(0, 30, (120, 4))
    table["prompt"] = [" ".join(f"word{k}" for k in row) for row in words]
    found = exchangeability(vectors, table, np.arange(120) % 2 == 0, captions=True)
    assert len(found.baselines) == 3
    assert not found.alarm
