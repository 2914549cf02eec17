"""On which data is a model measured, as the user names it? The first way of reading that knows the text."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from qanalysis.models.calibration.samples import FIRST_INPUT, Batch, Calibration, Loss, number_blocks
from qanalysis.models.calibration.text import read_text
from qanalysis.models.data import SAMPLE_PREFIX
from qanalysis.models.factory import describe_error
from qanalysis.models.running.runnable import Runnable
from qanalysis.notation import quote
from qanalysis.results.identity import SourceIdentity
from sample_models import evaluation_path
from sample_models.training import read_batch

TARGETS_NAME = "y"


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
    .npy, "sample" for a sample's own held-out data.

    Raises ValueError for a file that is missing, damaged, empty, or holds what is no number.
    """
    request = CalibrationRequest(text, model, samples, length)
    kind = next((kind for kind in KINDS if kind.knows(request)), None)
    if kind is None:
        raise ValueError(f"calibration data {quote(text)} is none of {', '.join(one.name for one in KINDS)}")
    found = kind.read(request)
    if not len(found):
        raise ValueError(f"calibration data {quote(text)} holds no samples; give at least one")
    return found if samples is None else found.limit(samples)


def _read_sample(request: CalibrationRequest) -> Calibration:
    text = request.model.name if request.text == "sample" else request.text
    if not text.startswith(SAMPLE_PREFIX):
        raise ValueError(f"the model {quote(text)} is no sample and brings no data; give --calib a file")
    path = evaluation_path(text.removeprefix(SAMPLE_PREFIX))
    inputs, targets = read_batch(path)
    return Calibration((Batch({FIRST_INPUT: inputs}, targets),), text, "cross-entropy", is_logits=True)


def _read_arrays(request: CalibrationRequest) -> Calibration:
    path = Path(request.text)
    arrays = _load_arrays(path, request.text)
    tensors = {name: _make_tensor(array, f"{request.text}: {name}") for name, array in arrays.items()}
    if not tensors:
        raise ValueError(f"calibration data {quote(request.text)} holds no arrays; save one as x")
    targets = tensors.pop(TARGETS_NAME, None) if len(tensors) > 1 else None
    inputs = {FIRST_INPUT: next(iter(tensors.values()))} if len(tensors) == 1 else tensors
    counts = {len(values) for values in (*inputs.values(), *([] if targets is None else [targets]))}
    if len(counts) > 1:
        raise ValueError(
            f"calibration data {quote(request.text)}: arrays of {sorted(counts)} samples; all need as many"
        )
    loss: Loss | None = None if targets is None else "mse" if targets.is_floating_point() else "cross-entropy"
    source = SourceIdentity(path.name, path.stat().st_size, None)
    blocks = number_blocks([Batch(inputs, targets)])
    return Calibration(blocks, request.text, loss, is_logits=loss == "cross-entropy", source=source)


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


def _make_tensor(array: Any, place: str) -> Tensor:
    if array.dtype.kind not in "biuf" or array.ndim == 0:
        raise ValueError(f"{place} holds {array.dtype} {array.shape}; give real numbers with a first axis of samples")
    if array.dtype.kind == "f":
        return torch.from_numpy(np.ascontiguousarray(array, np.float32))
    return torch.from_numpy(np.ascontiguousarray(array, np.int64))


def _is_file(request: CalibrationRequest) -> bool:
    with suppress(OSError, ValueError):  # of a name that no file can have
        return Path(request.text).is_file()
    return False


def _read_text(request: CalibrationRequest) -> Calibration:
    path = Path(request.text)
    return read_text(path, request.text, request.model, samples=request.samples, length=request.length)


KINDS: tuple[DataKind, ...] = (
    DataKind("sample", lambda request: request.text.partition(":")[0] == "sample", _read_sample),
    DataKind("an .npz or .npy file", lambda request: request.text.endswith((".npz", ".npy")), _read_arrays),
    DataKind("a text file", _is_file, _read_text),
)
