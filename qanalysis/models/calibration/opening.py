"""On which data is a model measured, as the user names it? The first way of reading that knows the text."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from qanalysis.models.calibration.images import read_images
from qanalysis.models.calibration.items import FIRST_INPUT, TARGETS_NAME
from qanalysis.models.calibration.samples import Batch, Calibration
from qanalysis.models.calibration.text import read_text
from qanalysis.models.data import SAMPLE_PREFIX
from qanalysis.models.factory import call_factory, describe_error
from qanalysis.models.running.runnable import Runnable
from qanalysis.notation import quote
from qanalysis.results.identity import SourceIdentity
from sample_models import evaluation_path
from sample_models.training import read_batch


@dataclass(frozen=True, slots=True)
class CalibrationRequest:
    """What the user typed, for which model, and how many samples and tokens of each are taken at most."""

    text: str
    model: Runnable
    samples: int | None = None
    length: int | None = None


@dataclass(frozen=True, slots=True)
class DataKind:
    """A way of reading data: whether it knows a text, and how it reads it."""

    name: str
    knows: Callable[[CalibrationRequest], bool]
    read: Callable[[CalibrationRequest], Calibration]


def open_calibration(
    text: str, model: Runnable, *, samples: int | None = None, length: int | None = None
) -> Calibration:
    """The samples that a text names: an .npz with `x` and perhaps `y` (other names are those of the model's inputs), an
    .npy, a text file, a folder of images, `package.module:factory` that returns an iterable, "sample" for the data that
    a model brings along.

    `samples` is how many are taken, `length` how many tokens of text each has at most. Raises ValueError for data that
    is missing, damaged, empty, no number or not finite, and for names of inputs that the model does not take.
    """
    if samples is not None and samples < 1:
        raise ValueError(f"samples {samples}: at least one sample is measured")
    request = CalibrationRequest(text, model, samples, length)
    kind = next((kind for kind in KINDS if kind.knows(request)), None)
    if kind is None:
        raise ValueError(f"calibration data {quote(text)} is not there; give {', '.join(one.name for one in KINDS)}")
    found = _fit(kind.read(request), model)
    return found if samples is None else found.limit(samples)


def _fit(data: Calibration, model: Runnable) -> Calibration:
    """The data as this model takes it. Raises ValueError for names of inputs that it does not have."""
    known = [name for name in model.input_names if name != TARGETS_NAME]
    unknown = sorted({name for block in data.blocks for name in block.inputs} - {FIRST_INPUT, *known})
    if known and unknown:
        raise ValueError(
            f"calibration data {quote(data.name)} has {', '.join(map(quote, unknown[:4]))}, which the model "
            f"{quote(model.name)} does not take; it takes {', '.join(known[:12])}{', …' if len(known) > 12 else ''}"
        )
    gives_logits = data.loss is None and model.folder is not None and model.folder.gives_logits
    return replace(data, is_logits=True) if gives_logits else data


def _read_sample(request: CalibrationRequest) -> Calibration:
    text = request.model.name if request.text == "sample" else request.text
    if request.text == "sample" and request.model.brought is not None:
        return request.model.brought
    if not text.startswith(SAMPLE_PREFIX):
        raise ValueError(f"the model {quote(text)} is no sample and brings no data; give --calib a file")
    path = evaluation_path(text.removeprefix(SAMPLE_PREFIX))
    inputs, targets = read_batch(path)
    return Calibration((Batch({FIRST_INPUT: inputs}, targets),), text, "cross-entropy", is_logits=True)


def _read_arrays(request: CalibrationRequest) -> Calibration:
    path, text = Path(request.text), f"calibration data {quote(request.text)}"
    arrays = _load_arrays(path, request.text)
    if not arrays:
        raise ValueError(f"{text} holds no arrays; save one as {FIRST_INPUT}")
    targets = arrays.pop(TARGETS_NAME, None) if len(arrays) > 1 else None
    if len(arrays) == 1 and not set(arrays) & set(request.model.input_names):
        arrays = {FIRST_INPUT: next(iter(arrays.values()))}
    found = Calibration.from_arrays(arrays, targets, name=text)
    return replace(found, name=request.text, source=SourceIdentity(path.name, path.stat().st_size, None))


def _load_arrays(path: Path, text: str) -> dict[str, Any]:
    try:
        loaded = np.load(path, allow_pickle=False)
        if isinstance(loaded, np.ndarray):
            return {FIRST_INPUT: loaded}
        with loaded:
            return {name: loaded[name] for name in loaded.files}
    except FileNotFoundError:
        raise ValueError(f"calibration data {quote(text)} does not exist") from None
    except Exception as error:  # zlib, tokenize, struct, memory: whatever damaged bytes make of the reader
        raise ValueError(
            f"calibration data {quote(text)} can not be read ({describe_error(error)}); save plain arrays of numbers "
            "with `numpy.savez(path, x=x, y=y)`"
        ) from error


def _read_text(request: CalibrationRequest) -> Calibration:
    path = Path(request.text)
    return read_text(path, request.text, request.model, samples=request.samples, length=request.length)


def _read_images(request: CalibrationRequest) -> Calibration:
    return read_images(Path(request.text), request.text, request.model, samples=request.samples)


def _call_factory(request: CalibrationRequest) -> Calibration:
    return Calibration.from_data(call_factory(request.text), name=request.text, samples=request.samples)


def _is_there(request: CalibrationRequest, check: Callable[[Path], bool]) -> bool:
    with suppress(OSError, ValueError):  # of a name that no file can have
        return bool(request.text) and check(Path(request.text))
    return False


KINDS: tuple[DataKind, ...] = (
    DataKind("sample", lambda request: request.text.partition(":")[0] == "sample", _read_sample),
    DataKind("an .npz or .npy file", lambda request: request.text.lower().endswith((".npz", ".npy")), _read_arrays),
    DataKind("a text file", lambda request: _is_there(request, Path.is_file), _read_text),
    DataKind("a folder of images", lambda request: _is_there(request, Path.is_dir), _read_images),
    DataKind("package.module:factory", lambda request: ":" in request.text, _call_factory),
)
