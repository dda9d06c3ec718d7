"""Which sampler restores what is hidden, and finds what is memorized?

    python benchmarks/restoration.py

Five ways to sample images given a part of them, on images whose posterior is known (a Gaussian, a
mixture of two) and on the demo's bundled models: 24 members and 24 controls, four masks. A pass
back through the network counts as two calls. Expected of the sampler that memaudit has (moment
matching), with three corrections in 60 steps: mean and covariance within 5 %; as it is by default:
AUC at least .95 for random masks of .9 and boxes of .5, and no less than .05 below that of each
other sampler for any mask; the twin between .3 and .7. Budget: 25 minutes on a core.
"""

from __future__ import annotations

import math
import sys
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from itertools import pairwise
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

import memaudit.demo
from memaudit.attacks import samplers
from memaudit.attacks.posterior import END, START, Restore
from memaudit.corruption.hiding import drawn
from memaudit.corruption.linear import Cosines, Seen, View
from memaudit.corruption.noise import generator, per_row, standard_normal
from memaudit.demo.tiles import split_tiles
from memaudit.models.denoiser import Denoiser
from memaudit.models.load import load_model
from memaudit.models.loaded import ModelOptions
from memaudit.statistics.effects import auc

sys.path.insert(0, str(Path(__file__).parents[1] / "tests" / "attacks"))
from test_posterior import GAUSSIAN, HIDDEN, SEEN, SHAPE, SIGMA, TWO, Mixture

Y = torch.tensor([0.1, 0.3, -0.2, 0, 0, 0], dtype=torch.float64)
ROWS, SIDE = 6000, 24
MASKS = (("mask-random", 0.9), ("mask-random", 0.99), ("mask-box", 0.5), ("mask-box", 0.88))
SPREAD = 0.5  # of the images, which PiGDM takes for that of a Gaussian
Sample = Callable[[Denoiser, Seen, list[np.random.Generator]], Tensor]


@dataclass(frozen=True)
class Way:
    """A sampler, and the calls that an image takes."""

    name: str
    calls: int
    sample: Sample


def started(
    model: Denoiser, seen: Seen, drawn_from: list[np.random.Generator], steps: int
) -> tuple[Tensor, Tensor, samplers.Noise]:
    """Noise to begin with, the levels, and where further noise comes from."""

    def noise() -> Tensor:
        return standard_normal(drawn_from, tuple(seen.y.shape[1:]))

    start = torch.full((len(seen.y),), min(START, model.sigma_max))
    return start[0] * noise(), samplers.sampling_sigmas(start, END, steps), noise


@torch.no_grad()
def projection(
    model: Denoiser, seen: Seen, drawn_from: list[np.random.Generator], steps: int
) -> Tensor:
    """DDNM (Wang et al. 2022, arXiv 2212.00490): the seen part of each estimate is replaced."""
    x, sigmas, noise = started(model, seen, drawn_from, steps)

    def estimate(x: Tensor, sigma: Tensor) -> Tensor:
        return seen.shown(model.unclipped.denoise(x, sigma))

    return seen.shown(samplers.ancestral(estimate, x, sigmas, noise))


@torch.no_grad()
def repaint(
    model: Denoiser, seen: Seen, drawn_from: list[np.random.Generator], steps: int, times: int
) -> Tensor:
    """RePaint (Lugmayr et al. 2022, arXiv 2201.09865): the seen part is noised, steps repeated."""
    x, sigmas, noise = started(model, seen, drawn_from, steps)
    for sigma, after in pairwise(sigmas):
        for again in range(times):
            x0 = model.unclipped.denoise(x, sigma)
            x = samplers.ancestral_step(x, x0, (sigma, after), noise())
            held = (after**2 - seen.sigma**2).clamp(min=0).sqrt()
            x = torch.where(seen.view.gain > 0, seen.y + per_row(held, x) * noise(), x)
            if again < times - 1 and float(after[0]) > 0:
                x = x + per_row((sigma**2 - after**2).sqrt(), x) * noise()
    return seen.shown(x)


def guided(
    model: Denoiser,
    seen: Seen,
    drawn_from: list[np.random.Generator],
    steps: int,
    weigh: Callable[[Tensor, Tensor], Tensor],
) -> Tensor:
    """Sampling with the gradient of a fit; `weigh` makes of what is missing what is sent back."""
    x, sigmas, noise = started(model, seen, drawn_from, steps)

    def estimate(x: Tensor, sigma: Tensor) -> Tensor:
        x = x.detach().requires_grad_()
        x0 = model.unclipped.denoise(x, sigma)
        missing = (seen.y - seen.view.of(x0.detach())) * (seen.view.gain > 0)
        (back,) = torch.autograd.grad(x0, x, seen.view.back(weigh(missing, sigma)))
        return (x0.detach() + back).clamp(-3, 3)

    return seen.shown(samplers.ancestral(estimate, x, sigmas, noise))


def pigdm(missing: Tensor, sigma: Tensor) -> Tensor:
    """PiGDM (Song et al. 2023): x0 given x is Gaussian, with a spread that its level tells."""
    spread = sigma**2 * SPREAD**2 / (sigma**2 + SPREAD**2)
    return per_row(sigma**2, missing) * missing / per_row(spread + SIGMA**2, missing)


def dps(missing: Tensor, sigma: Tensor) -> Tensor:
    """DPS (Chung et al. 2023, arXiv 2209.14687): a step of fixed length down the misfit."""
    length = missing.flatten(1).norm(dim=1).clamp(min=1e-9)
    return missing / per_row(length, missing) + 0 * per_row(sigma, missing)


def ours(
    model: Denoiser,
    seen: Seen,
    drawn_from: list[np.random.Generator],
    steps: int,
    corrections: int,
) -> Tensor:
    return Restore(steps, corrections)(model, seen, drawn_from)


WAYS = (
    Way("projection (DDNM)", 20, partial(projection, steps=20)),
    Way("projection (DDNM)", 100, partial(projection, steps=100)),
    Way("RePaint, 10 times", 200, partial(repaint, steps=20, times=10)),
    Way("PiGDM", 60, partial(guided, steps=20, weigh=pigdm)),
    Way("PiGDM", 300, partial(guided, steps=100, weigh=pigdm)),
    Way("DPS", 60, partial(guided, steps=20, weigh=dps)),
    Way("DPS", 300, partial(guided, steps=100, weigh=dps)),
    Way("moment matching, 1 correction", 100, partial(ours, steps=20, corrections=1)),
    Way("moment matching, 3 corrections", 540, partial(ours, steps=60, corrections=3)),
)
DEFAULT, EXACT = WAYS[-2], WAYS[-1]


def errors(way: Way, model: Mixture) -> tuple[float, float]:
    """Of mean and covariance of the hidden part, relative to those of the posterior."""
    view = View(SEEN.view(1, *SHAPE).expand(ROWS, -1, -1, -1), Cosines())
    seen = Seen((Y.float() * SEEN).view(1, *SHAPE).expand(ROWS, -1, -1, -1), view, SIGMA)
    rows = [np.random.Generator(np.random.Philox(k)) for k in range(ROWS)]
    found = way.sample(model, seen, rows).flatten(1).double()[:, HIDDEN]
    mean, spread = model.posterior(Y)
    away = float((found.mean(0) - mean).norm() / spread.trace().sqrt())
    return away, float((torch.cov(found.T) - spread).norm() / spread.norm())


def detection(way: Way, model: Denoiser, images: Tensor, mask: tuple[str, float]) -> float:
    """AUC of members against controls by the error of what was hidden."""
    kind, share = mask
    rows = [generator(0, str(k), share, 0, kind) for k in range(len(images))]
    size = (int(images.shape[2]), int(images.shape[3]))
    gain = torch.stack([drawn(one, kind, share, size) for one in rows])
    view = View(gain, Cosines())
    noise = standard_normal(rows, tuple(images.shape[1:]))
    restored = way.sample(model, Seen.of(images, view, SIGMA, noise), rows)
    error = (view.hidden * (restored - images).square()).flatten(1).sum(1)
    error = (error / view.hidden.flatten(1).sum(1)).numpy()
    return auc(-error[:SIDE], -error[SIDE:])


def main() -> int:
    tiles = split_tiles()
    shown = [tile.image for side in ("members", "controls") for tile in tiles[side][:SIDE]]
    images = torch.from_numpy(np.stack(shown)).permute(0, 3, 1, 2).float() / 127.5 - 1
    folder = Path(memaudit.demo.__file__).parent / "models"
    overfit, twin = (
        load_model(str(folder / name), ModelOptions()).denoiser for name in ("overfit", "twin")
    )
    print("errors: Gaussian mean, covariance; two components mean, covariance; AUC by mask")
    print(" " * 41, *(f"{kind}:{share}" for kind, share in MASKS))
    found: dict[str, list[float]] = {}
    for way in WAYS:
        off = [one for model in (GAUSSIAN, TWO) for one in errors(way, model)]
        told = [detection(way, overfit, images, mask) for mask in MASKS]
        found[f"{way.name} {way.calls}"] = [*off, *told]
        print(
            f"{way.name:31}{way.calls:5}  {' '.join(f'{one:.3f}' for one in off)}  "
            f"{' '.join(f'{one:.3f}' for one in told)}",
            flush=True,
        )
    alike = [detection(DEFAULT, twin, images, mask) for mask in MASKS]
    print(f"{'the twin, by default':38}{' ':26}  {' '.join(f'{one:.3f}' for one in alike)}")
    exact, default = (found[f"{way.name} {way.calls}"] for way in (EXACT, DEFAULT))
    good = max(exact[:4]) < 0.05 and min(default[4], default[6]) >= 0.95
    for place in range(4, 8):
        others = max(row[place] for name, row in found.items() if "moment" not in name)
        good = good and default[place] >= others - 0.05
    good = good and all(0.3 <= one <= 0.7 for one in alike)
    print(f"as expected: {'yes' if good else 'NO'}")
    return 0 if good and not math.isnan(sum(default)) else 1


if __name__ == "__main__":
    sys.exit(main())
