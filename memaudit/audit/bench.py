"""Open what a scan works with: here, or in a worker that is told no more than a specification."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

from memaudit.attacks.base import Bench, Grid, Grids
from memaudit.attacks.copies import Copies, open_copies
from memaudit.attacks.rivals import PixelSample
from memaudit.audit.boxes import BoxFiles, Frames, frames_of, open_boxes
from memaudit.audit.captions import captions
from memaudit.audit.embedded import open_index
from memaudit.audit.embedding import View
from memaudit.audit.listing import Listing, list_data
from memaudit.audit.models import open_model
from memaudit.audit.pool import Candidates, Pool, read_pool, stack
from memaudit.audit.reading import CHECKED
from memaudit.audit.reference import open_reference
from memaudit.audit.spec import BenchSpec
from memaudit.config import NOISE
from memaudit.models.loaded import Loaded
from memaudit.records import Example
from memaudit.run.directory import RunDirectory
from memaudit.run.record import Levels
from memaudit.similarity.embed import Embedder, load_embedder

PIXELS = 1000  # images against which distances in pixels are relative
PIXEL_BYTES = 256 << 20  # and what they may take in memory


@dataclass(frozen=True, eq=False)
class Opened:
    """Data, models and embedder, before anything is computed.

    `copies` are those that were found beside the model or asked for; whether they are the members'
    is checked once the images are known.
    """

    listing: Listing
    loaded: Loaded
    reference: Loaded | None
    copies: Copies | None
    embedder: Embedder
    boxes: BoxFiles | None = None


def open_parts(spec: BenchSpec, loaded: Loaded | None = None) -> Opened:
    """List the data and load what is asked for; `loaded` is a model of one's own."""
    attack, seed = spec.attack, spec.attack.seed
    listing = list_data(spec.data, seed)
    loaded = loaded or open_model(spec.target, spec.data, spec.execution)
    reference = open_reference(spec, loaded)
    copies = open_copies(attack.noisy_copies, loaded) if attack.rests_on == NOISE else None
    boxes = open_boxes(spec.data, attack.hidings, listing)
    embedder = load_embedder(attack.embedder, device_of(loaded))
    return Opened(listing, loaded, reference, copies, embedder, boxes)


def device_of(loaded: Loaded) -> str:
    """Where a model runs."""
    return str(loaded.denoiser.device)


def make_bench(
    spec: BenchSpec,
    opened: Opened,
    pool: Pool,
    sample: list[Example],
    copies: Copies | None,
    frames: Frames,
) -> Bench:
    """Put a bench together; `copies` are those that are asked for, `sample` some of the pool."""
    denoiser, reference = opened.loaded.denoiser, opened.reference
    return Bench(
        denoiser=denoiser,
        embedder=opened.embedder,
        index=pool.index,
        pixels=_pixel_sample(pool, sample),
        seed=spec.attack.seed,
        batch_size=spec.execution.batch_size,
        captions=captions(pool, spec.attack.prompt, denoiser),
        copies=copies,
        reference=None if reference is None else reference.denoiser,
        frames=frames.by_id,
    )


def grids_of(bench: Bench, levels: Levels) -> Grids:
    """The levels of attacks with strong and with weak noise."""
    hidden = {name: Grid(shares) for name, shares in levels.hidden.items()}
    return Grids(_grid(bench, levels.sigmas), _grid(bench, levels.weak), hidden)


def _grid(bench: Bench, sigmas: tuple[float, ...]) -> Grid:
    """The levels, and those at which noisy copies are asked for: above the noise they hold."""
    if bench.copies is None:
        return Grid(sigmas)
    return Grid(sigmas, tuple(sigma for sigma in sigmas if sigma > bench.copies.lowest))


def open_bench(spec: BenchSpec) -> tuple[Bench, Candidates]:
    """Open the bench of a run that is prepared, from its directory, in any process."""
    run = RunDirectory.at(spec.execution.out)
    return reopen(spec, open_parts(spec), run, Path(run.prepared().data.index))


def reopen(
    spec: BenchSpec, opened: Opened, run: RunDirectory, directory: Path
) -> tuple[Bench, Candidates]:
    """Put the bench of a prepared run together again, from the index in `directory`."""
    prepared = run.prepared()
    index = open_index(directory, device_of(opened.loaded))
    view = View.of_data(opened.loaded.denoiser.resolution, spec.data)
    pool = read_pool(run.pool(), index, opened.listing, view, directory)
    copies = None
    if prepared.copies is not None and opened.copies is not None:
        copies = replace(opened.copies, by_law=prepared.copies.by_law)
    sample = sample_of(pool, opened.loaded.denoiser.resolution)
    frames = frames_of(opened.boxes, pool, spec, opened.loaded.denoiser.shape[1:])
    return make_bench(spec, opened, pool, sample, copies, frames), pool.candidates


def sample_of(pool: Pool, resolution: tuple[int, int]) -> list[Example]:
    """A random, label-blind sample of the pool, as large as memory holds, at least CHECKED."""
    each = 8 * 3 * resolution[0] * resolution[1]
    return pool.candidates.smallest_ids(max(CHECKED, min(PIXELS, PIXEL_BYTES // each)))


def _pixel_sample(pool: Pool, examples: list[Example]) -> PixelSample:
    groups = pool.index.groups[[pool.index.positions[example.id] for example in examples]]
    ids = tuple(example.id for example in examples)
    return PixelSample.of(stack(examples), groups, len(pool.candidates.ids), ids)
