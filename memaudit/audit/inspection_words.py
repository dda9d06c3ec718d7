"""An inspection in words: one line for the start of a scan, or all of it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from memaudit.audit.inspection_plot import blocks
from memaudit.models.checked import Checked
from memaudit.models.ignored import Ignored
from memaudit.models.inspection import Inspection, NoiseRange, PartRecord, Space
from memaudit.report.words import row
from memaudit.text import shown

NAMED = 20  # ignored files and folders; --json has more
TOLD = {"none": "nothing: it is unconditional", "caption": "captions", "class": "classes"}
COUNTS = ((1e9, " B"), (1e6, " M"), (1e3, " k"))
BYTES = ((1e9, " GB"), (1e6, " MB"), (1e3, " kB"))
DIGEST = 64  # digits


def in_a_line(one: Inspection) -> str:
    """What a scan says of its model before it begins."""
    noise = one.noise
    words = (
        _name(one),
        *_memorized(one),
        one.prediction.type or one.reading.get("parameterization") or "",
        *(["sign flipped"] if one.prediction.sign == -1 else []),
        noise.schedule or "",
        f"sigma {noise.sigma_min:.3g} to {noise.sigma_max:.3g}",
        f"{one.space.kind} {_times(one.space.shape)}{_of_images(one.space)}",
        TOLD[one.conditioning.kind] if one.conditioning.kind != "none" else "",
        "inpainting" if one.conditioning.inpainting else "",
        _size(one.parameters, one.dtype),
    )
    return f"model: {', '.join(word for word in words if word)}"


def describe(one: Inspection, *, with_blocks: bool = True) -> str:
    """Say all of it; `with_blocks` draws the schedule with block characters."""
    return "\n".join(_lines(one, with_blocks))


def _lines(one: Inspection, with_blocks: bool) -> Iterator[str]:
    yield f"{shown(one.model)}: {shown(_name(one))}"
    if one.revision is not None:
        yield row("revision", one.revision)
    yield from (row("memorized", said) for said in _memorized(one))
    if one.prediction.type is not None or one.reading:
        yield row("prediction", _prediction(one))
    yield row("noise", _noise(one.noise))
    if with_blocks and one.noise.curve is not None:
        yield from ("    " + line for line in blocks(one.noise.curve))
    yield row("space", _space(one.space))
    yield row("told", _told(one))
    if one.parameters is not None:
        yield row("network", _size(one.parameters, one.dtype))
    if one.adapters is not None:
        yield row("adapters of", one.adapters.base or "a pipeline that is not named")
    yield from _training(one)
    yield from _parts(one.parts)
    yield from _weights(one)
    yield from _ignored(one)
    yield from ([] if one.self_check is None else _checked(one.self_check))


def _name(one: Inspection) -> str:
    kind = f" ({one.class_name})" if one.class_name else ""
    return f"{one.family or "a model of one's own"}{kind}"


def _memorized(one: Inspection) -> Iterator[str]:
    if one.memorized is not None:
        lost = one.memorized.unreadable
        left_out = f" ({lost} could not be read)" if lost else ""
        yield f"the perfect memorizer of {one.memorized.images} images{left_out}"


def _prediction(one: Inspection) -> str:
    known = {"prediction_type", "schedule"}
    words = [one.prediction.type or ""]
    words += [f"{key} {value}" for key, value in one.reading.items() if key not in known]
    if one.prediction.sign is not None:
        words.append("sign +1" if one.prediction.sign > 0 else "sign -1")
    if one.prediction.estimate == "sample":
        words.append("answers with a draw, not with a mean")
    return ", ".join(word for word in words if word)


def _noise(noise: NoiseRange) -> str:
    words = [noise.schedule or ""]
    if noise.assumed:
        words.append("assumed, for the model does not say")
    if noise.steps is not None:
        last = ", the last of noise alone" if noise.ends_in_noise else ""
        words.append(f"{noise.steps} steps{last}")
    words.append(f"sigma {noise.sigma_min:.3g} to {noise.sigma_max:.3g}")
    if noise.log_snr_max is not None and noise.log_snr_min is not None:
        words.append(f"log-SNR {noise.log_snr_max:.3g} to {noise.log_snr_min:.3g}")
    return ", ".join(word for word in words if word)


def _space(space: Space) -> str:
    said = f"{space.kind} {_times(space.shape)}{_of_images(space)}"
    if space.scaling_factor is not None:
        said += f", scaled by {space.scaling_factor:.6g}"
    if space.shift_factor:
        said += f" after {space.shift_factor:.6g} is taken off"
    return said


def _of_images(space: Space) -> str:
    """The size of the images, where that is not the size of the space."""
    height, width = space.resolution
    if space.kind == "pixels":
        return ""
    return f" of {height} px" if height == width else f" of {height}x{width} px"


def _times(shape: Sequence[int]) -> str:
    return "x".join(map(str, shape))


def _told(one: Inspection) -> str:
    told = one.conditioning
    by = f", by {', '.join(told.text_encoders)}" if told.text_encoders else ""
    said = f"{TOLD[told.kind]}{by}"
    if told.inpainting:
        said += "; the mask and the rest of the image, for inpainting"
    return f"{said}; seen through {told.mask}" if told.mask else said


def _training(one: Inspection) -> Iterator[str]:
    training = one.noisy_training
    if training is None:
        return
    kind = "images" if training.mask is None else f"masked images ({training.mask['kind']})"
    noise = f" with noise {training.sigma_n:.3g}" if training.sigma_n else ""
    said = f"on {kind}{noise}, by the loss {training.loss}"
    if training.consistency:
        said += " with consistency"
    if training.sample_from is not None:
        said += f"; below {training.sample_from:.3g} it learned nothing"
    beside = "its noisy copies are beside it" if training.copies else "no noisy copies beside it"
    yield row("trained", f"{said}; {beside}" if training.mask is None else said)


def _parts(parts: Sequence[PartRecord]) -> Iterator[str]:
    if not parts:
        return
    yield "Parts"
    width = max(len(part.name) for part in parts)
    kind = max(len(part.class_name) for part in parts)
    for part in parts:
        line = f"{part.name:<{width}}  {part.class_name:<{kind}}"
        if part.parameters is not None:
            size = _size(part.parameters, part.dtype)
            line += f"  {size}, {large(part.bytes)}"
        yield f"  {shown(line.rstrip())}"


def _weights(one: Inspection) -> Iterator[str]:
    if not one.weights:
        return
    total = "" if one.bytes is None else f", {large(one.bytes)}"
    yield f"Weight files (sha256){total}"
    for file in one.weights:
        yield f"  {file.sha256[:DIGEST]}  {shown(file.name)}"


def _ignored(one: Inspection) -> Iterator[str]:
    if one.ignored is None:
        return
    if not one.ignored:
        yield "Ignored: nothing; all that lies in its folder is read"
        return
    yield "Ignored in its folder"
    for entry in one.ignored[:NAMED]:
        yield f"  {_entry(entry)}"
    more = (one.ignored_count or 0) - NAMED
    if more > 0:
        yield f"  and {more} more, which --json names"


def _entry(entry: Ignored) -> str:
    many = ""
    if entry.name.endswith("/"):
        many = "1 file, " if entry.files == 1 else f"{entry.files} files, "
    why = f": {entry.reason}" if entry.reason else ""
    return shown(f"{entry.name} ({many}{large(entry.bytes)}){why}")


def _checked(check: Checked) -> Iterator[str]:
    """What the check saw; why a reading is refused is the error that follows."""
    asked = "1 image" if check.images == 1 else f"{check.images} images"
    copies = f" and {check.copies} noisy copies that it was trained on" if check.copies else ""
    lost = f" ({check.unreadable} more could not be read)" if check.unreadable else ""
    if check.state == "nothing to check":
        yield f"Self-check: nothing to check; {check.reason}"
        return
    yield f"Self-check: {check.state}, on {asked}{copies}{lost}"
    if check.levels:
        yield _table("sigma", [one.sigma for one in check.levels])
        yield _table("squared error as declared", [one.declared for one in check.levels])
        yield _table("of the trivial answer", [one.trivial for one in check.levels])
    if check.best_other is not None:
        ratio = check.best_other.error_ratio
        than = "no finite answers" if ratio is None else f"{ratio:.3g} times the squared error"
        yield f"  the best other reading: {shown(check.best_other.name)}, {than}"


def _table(name: str, values: Sequence[float]) -> str:
    return f"  {name:26}" + "".join(f"{value:>10.3g}" for value in values)


def _size(parameters: int | None, dtype: str | None) -> str:
    if parameters is None:
        return ""
    said = f"{scaled(parameters, COUNTS)} parameters"
    return f"{said} in {dtype}" if dtype else said


def large(size: int) -> str:
    """How large a file is."""
    return scaled(size, BYTES) if size >= BYTES[-1][0] else f"{size} byte{'s' * (size != 1)}"


def scaled(number: int, units: Sequence[tuple[float, str]]) -> str:
    """A number in the largest of some units that it reaches, with three digits."""
    for size, unit in units:
        if number >= size:
            return f"{number / size:.3g}{unit}"
    return str(number)
