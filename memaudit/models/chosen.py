"""Which weights of a network are used, where EMA weights lie beside raw ones.

EMA weights are the moving average of the weights over the last steps of a training; diffusion
models are sampled with them. They lie in a folder of their own (`unet_ema` or `ema_unet` beside
`unet`) or in files of their own (`diffusion_pytorch_model.ema.safetensors`); where raw ones do
(`.non_ema.`), those at the plain place are the average.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from pathlib import Path

from memaudit.errors import ConfigError, ModelError
from memaudit.models.loaded import ModelOptions
from memaudit.models.names import say_dropped
from memaudit.models.provenance import Choice, Kind, Provenance, Why
from memaudit.models.weights import (
    OF_DIFFUSERS,
    PICKLED,
    has_weights,
    names_in,
    sha256_file,
    weight_files,
)

VARIANTS: dict[str, Kind] = {"ema": "ema", "non_ema": "raw", "no_ema": "raw"}
NETWORKS = frozenset(  # folders that have another of the same kind beside them
    {
        *("unet", "transformer", "prior", "vae", "vqvae"),
        *("text_encoder", "text_encoder_2", "text_encoder_3"),
    }
)
NAMES: dict[Kind, str] = {"ema": "EMA", "raw": "raw"}


@dataclass(frozen=True)
class Network:
    """Where the weights of a network are at their plain place, and what diffusers calls it.

    `named`: MODEL is that folder itself, so that another is taken only if it is asked for.
    """

    part: str
    folder: Path
    stem: str = OF_DIFFUSERS
    named: bool = False


@dataclass(frozen=True)
class Chosen:
    """The weights that are used, and the folder whose config.json they go with."""

    part: str
    files: tuple[Path, ...]
    configured: Path
    choice: Choice | None = None

    def named(self, root: Path) -> dict[str, Path]:
        """The files by their names in a provenance: those in folders of `root`, or in it itself."""
        return {_key(path, root): path for path in self.files}


@dataclass(frozen=True)
class _Place:
    """Weights in a folder, of a variant that says of which kind they are, or plain."""

    folder: Path
    kind: Kind | None
    variant: str | None = None

    @property
    def name(self) -> str:
        variant = "" if self.variant is None else f" (variant {self.variant})"
        return f"{self.folder.name}{variant}"


def choose(network: Network, options: ModelOptions) -> Chosen:
    """Choose the weights of a network: those asked for, else EMA weights where both are.

    Raises ModelError for files that are missing or not whole, and where it is not clear which are
    the EMA weights; ConfigError where --variant and --weights name different ones.
    """
    beside = [*_folders(network.folder), *_variants(network)]
    if not beside:
        files = weight_files(network.folder, options.variant, network.stem)
        return Chosen(network.part, tuple(files), network.folder)
    own = _Place(network.folder, _kind_of_plain(network.folder, beside))
    place, why = _chosen(own, beside, network, options)
    configured = place.folder if (place.folder / "config.json").is_file() else network.folder
    return Chosen(
        network.part,
        _files(place, why, network, options),
        configured,
        Choice(
            part=network.part,
            used=place.kind,
            place=_told(place, network),
            beside=tuple(_told(one, network) for one in (own, *beside) if one != place),
            why=why,
        ),
    )


def recorded(provenance: Provenance, chosen: Iterable[Chosen], root: Path) -> Provenance:
    """Keep in a provenance which weights are used: files in folders of `root`, or in it itself."""
    parts = list(chosen)
    told = replace(
        provenance,
        weights={
            name: sha256_file(path) for one in parts for name, path in one.named(root).items()
        },
        choices=tuple(one.choice for one in parts if one.choice is not None),
    )
    return say_dropped(told, {one.part: names_in(one.files) for one in parts})


def expect_choice(provenance: Provenance, options: ModelOptions, spec: str) -> None:
    """Refuse --weights for a model that has no EMA weights beside raw ones."""
    if options.weights not in NAMES or provenance.choices:
        return
    there = ", ".join([*provenance.weights, *provenance.adapters][:6]) or "none in files"
    raise ModelError(
        f"--weights {options.weights}: {spec} holds no EMA weights beside raw ones, and nothing "
        f"says which of both its weights are (found {there}); leave --weights out"
    )


def _folders(folder: Path) -> list[_Place]:
    """The folders beside that of a network which hold the same network, by their names."""
    raw = _raw_name(folder.name)
    if raw is None:
        return []
    names: dict[str, Kind] = {f"{raw}_ema": "ema", f"ema_{raw}": "ema"}
    if folder.name != raw:
        names = {raw: "raw"}
    places = [_Place(folder.with_name(name), kind) for name, kind in names.items()]
    return [place for place in places if _holds_network(place.folder)]


def _raw_name(name: str) -> str | None:
    """What a folder is called without the mark of EMA weights; None if it is no network's."""
    bare = name.removesuffix("_ema").removeprefix("ema_")
    return bare if bare in NETWORKS else None


def _holds_network(folder: Path) -> bool:
    patterns = ("config.json", "*.safetensors", *PICKLED)
    return any(path.is_file() for pattern in patterns for path in folder.glob(pattern))


def _variants(network: Network) -> list[_Place]:
    """Files beside the plain ones whose names say of which kind they are."""
    folder, stem = network.folder, network.stem
    return [
        _Place(folder, kind, variant)
        for variant, kind in VARIANTS.items()
        if has_weights(folder, variant, stem) or any(folder.glob(f"*{stem}.{variant}.bin"))
    ]


def _kind_of_plain(folder: Path, beside: list[_Place]) -> Kind | None:
    """Of which kind the weights at the plain place are, by their folder or by what lies beside."""
    if folder.name != (_raw_name(folder.name) or folder.name):
        return "ema"
    marked = {place.kind for place in beside}
    if len(marked) > 1:
        return None
    return "raw" if marked == {"ema"} else "ema"


def _chosen(
    own: _Place, beside: list[_Place], network: Network, options: ModelOptions
) -> tuple[_Place, Why]:
    """The place that is asked for, or that is taken where nothing is."""
    if options.variant in VARIANTS:
        return _of_variant(network, options.variant, options), "asked"
    if options.weights == "plain":
        return own, "plain"
    asked = options.weights
    wanted = [one for one in (own, *beside) if one.kind == (asked or "ema")]
    if asked is None:  # what MODEL or --variant names stays
        wanted = [one for one in wanted if _is_free(one, network, options)]
    if len(wanted) > 1:
        names = ", ".join(_told(one, network) for one in wanted)
        raise ModelError(
            f"{network.folder.parent} holds several sets of {NAMES[asked or 'ema']} weights of its "
            f"{network.part} ({names}), expected one; move the others elsewhere"
        )
    place = wanted[0] if wanted else own
    if place.variant is not None and options.variant is not None:
        raise ConfigError(
            f"--variant {options.variant} and --weights {asked} name different files of "
            f"{network.folder}; leave out --variant"
        )
    return place, "asked" if asked else "default" if wanted else "named"


def _of_variant(network: Network, variant: str, options: ModelOptions) -> _Place:
    """The files of a variant that says itself of which kind it is."""
    kind = VARIANTS[variant]
    if options.weights not in (None, "plain", kind):
        raise ConfigError(
            f"--variant {variant} are the {NAMES[kind]} weights, and --weights {options.weights} "
            "asks for the others; leave one of them out"
        )
    return _Place(network.folder, kind, variant)


def _is_free(place: _Place, network: Network, options: ModelOptions) -> bool:
    if place.folder != network.folder:
        return not network.named
    return place.variant is None or options.variant is None


def _files(place: _Place, why: Why, network: Network, options: ModelOptions) -> tuple[Path, ...]:
    variant = place.variant or options.variant
    if place.folder != network.folder and not has_weights(place.folder, variant, network.stem):
        variant = None
    try:
        return tuple(weight_files(place.folder, variant, network.stem))
    except ModelError as error:
        if why != "default" or place.kind != "ema":
            raise
        raise ModelError(
            f"{error}. They are the EMA weights of the {network.part}, which are used unless "
            "--weights raw asks for the others"
        ) from error


def _told(place: _Place, network: Network) -> str:
    """A place by names that are the same in every model: the folder of MODEL may be called so."""
    if place.folder == network.folder and _raw_name(place.folder.name) is None:
        return replace(place, folder=Path(network.part)).name
    return place.name


def _key(path: Path, root: Path) -> str:
    return path.name if path.parent == root else f"{path.parent.name}/{path.name}"
