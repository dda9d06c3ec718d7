"""Masks, blurs and smaller sizes: what each of them leaves to see."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from skimage.filters import gaussian
from torch.nn.functional import avg_pool2d

from memaudit.config import OBJECT, RESTORATIONS, AttackConfig, Noise, Restoration
from memaudit.corruption.hiding import (
    automatic_shares,
    basis_of,
    drawn,
    factor_of,
    share_of,
    width_of,
)
from memaudit.corruption.linear import Cosines, Seen, View
from memaudit.corruption.noise import generator, seen_db
from memaudit.errors import ConfigError

KINDS = tuple(kind for kind in RESTORATIONS if kind != OBJECT)  # whose boxes come from a file
SIZE = (16, 24)


@pytest.fixture(scope="module")
def images() -> torch.Tensor:
    return torch.rand(5, 3, *SIZE, generator=torch.Generator().manual_seed(0)) * 2 - 1


def view_of(kind, share, count=5, seed=0) -> View:
    ids = [f"{k:02d}" for k in range(count)]
    gains = [drawn(generator(seed, one, share, 0, kind), kind, share, SIZE) for one in ids]
    return View(torch.stack(gains), basis_of(kind, share, SIZE))


@pytest.mark.parametrize("block", [(1, 1), (4, 4), (16, 24), (8, 3)])
def test_cosines_are_orthonormal(block, images):
    basis = Cosines(*block)
    turned = basis.of(images)
    torch.testing.assert_close(basis.back(turned), images, rtol=0, atol=1e-5)
    torch.testing.assert_close(turned.square().sum(), images.square().sum())


@pytest.mark.parametrize("kind", KINDS)
def test_what_is_seen_and_what_is_removed_make_up_the_image(kind, images):
    for share in automatic_shares(kind, 2, SIZE, 0.0):
        view = view_of(kind, share)
        seen, removed = view.of(images), view.basis.of(view.removed(images))
        whole = view.basis.of(images).square().sum()
        torch.testing.assert_close(seen.square().sum() + removed.square().sum(), whole)


@pytest.mark.parametrize("kind", KINDS)
def test_back_is_the_transpose(kind, images):
    view = view_of(kind, automatic_shares(kind, 1, SIZE, 0.0)[0])
    other = torch.randn(images.shape, generator=torch.Generator().manual_seed(1))
    torch.testing.assert_close((view.of(images) * other).sum(), (images * view.back(other)).sum())


@pytest.mark.parametrize("kind", ["mask-random", "mask-box", "noise+mask"])
def test_a_mask_hides_the_share_that_was_asked_for(kind):
    for share in (0.25, 0.5, 0.8):
        hidden = view_of(kind, share).hidden.mean((1, 2, 3))
        assert hidden.numpy() == pytest.approx(share, abs=0.04)


def test_a_half_is_hidden_on_any_side():
    gains = view_of("mask-half", 0.5, count=40).gain
    assert set(gains.mean((1, 2, 3)).tolist()) == {0.5}
    assert len({tuple(one.flatten().tolist()) for one in gains}) == 4


@pytest.mark.parametrize("size", [(3, 5), (15, 16), (33, 33)])
def test_half_of_odd_sides_is_hidden_on_average_over_the_four_sides(size):
    halves = {
        tuple(one.flatten().tolist()): 1 - float(one.mean())
        for one in (
            drawn(generator(0, f"{k}", 0.5, 0, "mask-half"), "mask-half", 0.5, size)
            for k in range(40)
        )
    }
    assert len(halves) == 4
    assert np.mean(list(halves.values())) == pytest.approx(
        automatic_shares("mask-half", 3, size, 0.0)[0], abs=1e-6
    )
    off = max(abs(share - 0.5) for share in halves.values())
    assert off == pytest.approx(0.5 / min(side for side in size if side % 2), abs=1e-6)


def test_a_side_of_one_pixel_has_no_half():
    with pytest.raises(
        ConfigError, match=r"image of 1 x 8 px has no half .* sides of 2 px or more"
    ):
        automatic_shares("mask-half", 3, (1, 8), 0.0)


def test_a_smaller_size_leaves_the_mean_of_each_block(images):
    view = view_of("downsample", 1 - 1 / 16)
    means = avg_pool2d(images, 4)
    torch.testing.assert_close(view.of(images)[..., ::4, ::4] / 4, means, rtol=0, atol=1e-5)


def test_a_blur_is_that_of_scikit_image_with_reflected_borders(images):
    view = view_of("blur", share_of("blur", 2.0, SIZE))
    ours = view.basis.back(view.of(images)).numpy()
    theirs = np.stack(
        [
            [gaussian(plane, 2.0, mode="reflect", truncate=8) for plane in one]
            for one in images.numpy()
        ]
    )
    np.testing.assert_allclose(ours, theirs, atol=5e-3)


def test_strengths_and_shares_are_one_another_s_inverse():
    assert factor_of(share_of("downsample", 4, SIZE)) == 4
    assert width_of(share_of("blur", 2.5, SIZE), SIZE) == pytest.approx(2.5, rel=1e-2)


def test_what_is_hidden_depends_on_seed_image_level_and_draw_alone():
    one = drawn(generator(0, "a", 0.5, 0, "mask-box"), "mask-box", 0.5, SIZE)
    assert torch.equal(one, drawn(generator(0, "a", 0.5, 0, "mask-box"), "mask-box", 0.5, SIZE))
    others = [
        drawn(generator(seed, name, 0.5, draw, "mask-random"), "mask-random", 0.5, SIZE)
        for seed, name, draw in ((0, "a", 0), (1, "a", 0), (0, "b", 0), (0, "a", 1))
    ]
    assert all(not torch.equal(others[0], one) for one in others[1:])


@pytest.mark.parametrize("kind", ["mask-random", "mask-box", "mask-half"])
def test_what_was_seen_comes_back_unchanged(kind, images):
    view = view_of(kind, 0.5)
    noise = torch.randn(images.shape, generator=torch.Generator().manual_seed(2))
    seen = Seen.of(images, view, 0.1, noise)
    shown = seen.shown(torch.zeros_like(images))
    looked_at = view.gain.expand_as(images) > 0
    torch.testing.assert_close(shown[looked_at], (images + 0.1 * noise)[looked_at])
    assert not shown[~looked_at].any()


def test_what_was_covered_with_noise_is_restored_with_the_rest(images):
    noise = torch.randn(images.shape, generator=torch.Generator().manual_seed(2))
    seen = Seen.of(images, view_of("noise+mask", 0.5), 1.0, noise)
    assert torch.equal(replace(seen, covered=True).shown(images), images)


def test_no_more_is_hidden_than_tells_the_images_apart():
    wide = automatic_shares("mask-random", 3, (64, 64), 0.0)
    narrow = automatic_shares("mask-random", 3, (64, 64), 0.1)
    assert wide[-1] == pytest.approx(0.99, abs=2e-4)
    assert narrow[-1] == pytest.approx(0.9, abs=2e-4)
    assert wide[0] == narrow[0] == 0.75


def test_seen_and_hidden_are_a_ratio_in_db():
    assert [seen_db(share) for share in (0.5, 0.9, 0.99)] == pytest.approx(
        [0, -9.54, -19.96], abs=0.01
    )


@pytest.mark.parametrize(
    ("kind", "strength", "said"),
    [
        ("mask-random", 1e-4, "mask-random:0.0001 hides no pixel of an image of 16 x 24 px"),
        ("mask-random", 0.9999, "mask-random:0.9999 hides all of an image of 16 x 24 px"),
        ("mask-box", 0.99, "mask-box:0.99 hides all of an image"),
        ("downsample", 5, "downsample:5: sides of 16 x 24 px cannot be divided by 5"),
    ],
)
def test_a_strength_that_an_image_does_not_allow_is_refused(kind, strength, said):
    with pytest.raises(ConfigError, match=said):
        share_of(kind, strength, SIZE)


def test_images_without_a_common_factor_cannot_be_made_smaller():
    with pytest.raises(ConfigError, match="have no factor by which both sides can be divided"):
        automatic_shares("downsample", 3, (7, 11), 0.0)


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("mask",), "--corruption mask is not known; give one of noise, mask-random"),
        (("mask-box:0",), "after mask-box: comes the share of the image that it hides"),
        (("mask-box:1",), "between 0 and 1"),
        (("mask-random:many",), "after mask-random: comes the share of the pixels"),
        (("mask-half:.5",), "mask-half takes no number, for it hides a half"),
        (("downsample:1",), "a whole number from 2 on"),
        (("blur:0",), "the standard deviation of the blur in pixels, above 0"),
        (("noise", "noise"), "--corruption names one twice"),
        ((), "--corruption needs noise, or what is hidden"),
    ],
)
def test_words_that_hide_nothing_are_refused(words, said):
    with pytest.raises(ConfigError, match=said):
        AttackConfig(corruptions=words)


def test_a_share_is_that_of_whole_pixels_and_boxes():
    assert share_of("mask-box", 0.93, (16, 16)) == pytest.approx((15 / 16) ** 2, abs=1e-4)
    assert share_of("mask-random", 0.1, (4, 4)) == pytest.approx(2 / 16)
    assert automatic_shares("mask-box", 200, (16, 16), 0.0) == [0.7656]


@pytest.mark.parametrize("width", [40, 1e4])
def test_a_blur_that_leaves_nothing_is_refused(width):
    with pytest.raises(ConfigError, match="hides all of an image of 16 x 24 px; give a narrower"):
        share_of("blur", width, SIZE)


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"corruptions": ("mask-half",), "steps": 3}, "--steps belong to noise"),
        ({"corruptions": ("mask-half",), "noise": Noise(draws=1)}, "--draws belong to noise"),
        ({"restoration": Restoration(steps=3)}, "--corruption hides nothing; name what it hides"),
        (
            {"corruptions": ("mask-box:.5",), "restoration": Restoration(levels=5)},
            "--hidden-levels is for what --corruption hides without a strength; found mask-box:0.5",
        ),
        (
            {"corruptions": ("noise", "mask-half"), "restoration": Restoration(levels=5)},
            "found mask-half, which hides a half",
        ),
        (
            {"corruptions": ("noise+mask",), "restoration": Restoration(seen_sigma=0.2)},
            "--seen-sigma is for what is hidden otherwise .* alone; give --masked-sigma",
        ),
        (
            {"corruptions": ("mask-half",), "restoration": Restoration(masked_sigma=0.2)},
            "--masked-sigma is for --corruption noise.mask",
        ),
        (
            {"corruptions": ("mask-half",), "restoration": Restoration(largest=0.9)},
            "--largest-box and --smallest-box are for --corruption mask-object, found mask-half",
        ),
        (
            {"corruptions": ("noise+mask",), "restoration": Restoration(guidance=8)},
            "not for noise.mask, of which a pipeline for inpainting is not told",
        ),
        (
            {"corruptions": ("mask-object",), "restoration": Restoration(levels=5)},
            "found mask-object, which hides what a file of boxes names",
        ),
        (
            {
                "corruptions": ("mask-half",),
                "restoration": Restoration(guidance=8),
                "prompt": "empty",
            },
            "--guidance draws an answer to its caption, and --prompt empty tells none",
        ),
    ],
)
def test_options_that_no_corruption_heeds_are_refused(options, said):
    with pytest.raises(ConfigError, match=said):
        AttackConfig(**options).refuse_unused()


@pytest.mark.parametrize(
    ("corruptions", "restoration"),
    [
        (("mask-box:.5", "blur"), Restoration(levels=5)),
        (("noise+mask", "mask-half"), Restoration(masked_sigma=0.2, seen_sigma=0.2)),
    ],
)
def test_options_that_one_of_the_corruptions_heeds_are_not_refused(corruptions, restoration):
    AttackConfig(corruptions=corruptions, restoration=restoration).refuse_unused()


def test_a_kind_with_a_strength_and_without_is_refused():
    with pytest.raises(ConfigError, match="names mask-box with a strength and without"):
        AttackConfig(corruptions=("mask-box", "mask-box:.5"))


@pytest.mark.parametrize("size", [(16, 16), (16, 24), (96, 192), (65, 70)])
def test_the_box_that_is_drawn_hides_the_share_that_is_told(size):
    for strength in (0.3, 0.5, 0.75, 0.9, 0.95 if min(size) > 60 else 0.85):
        share = share_of("mask-box", strength, size)
        gain = drawn(generator(0, "a", share, 0, "mask-box"), "mask-box", share, size)
        assert 1 - float(gain.mean()) == pytest.approx(share, abs=1e-4)
