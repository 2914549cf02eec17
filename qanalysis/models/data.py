"""What is a model trained on, and what is held out? Inputs and targets with the loss that fits them.

Integer targets are labels, for cross-entropy; float targets are numbers, for the squared error. Integer inputs are
tokens (int64), float inputs are float32. Labels of -100 are padding and count nothing.
"""

from __future__ import annotations

import zipfile
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from qanalysis.models.factory import call_factory, describe_error
from qanalysis.notation import quote
from sample_models import evaluation_path, training_path
from sample_models.training import IGNORED, read_batch

SAMPLE_PREFIX = "sample:"
LOSSES = ("cross-entropy", "mse")

_RULE = "give an .npz with x and y, or package.module:factory that returns (x, y) or (x, y, x_test, y_test)"
_NAMES = ("x", "y", "x_test", "y_test")


@dataclass(frozen=True, slots=True, eq=False)
class Data:
    """Inputs `(n, ...)` and targets `(n, ...)` to train on, and as many axes of each held out.

    `loss` is "cross-entropy" (targets int64, 0 or above, -100 is padding) or "mse" (targets float32); `name` is what
    the user typed. The second axis of tokens and labels may differ from part to part, as texts do. Raises ValueError
    for parts that are empty, of unequal length, not finite, of unlike shapes, for labels below 0 and for a part that
    is all padding.
    """

    inputs: Tensor
    targets: Tensor
    held_out_inputs: Tensor
    held_out_targets: Tensor
    loss: str
    name: str

    def __post_init__(self) -> None:
        if self.loss not in LOSSES:
            raise ValueError(f"{self.name}: loss {quote(self.loss)} is not known; choose {' or '.join(LOSSES)}")
        _check_part(self.inputs, self.targets, f"{self.name}: x", f"{self.name}: y")
        _check_part(
            self.held_out_inputs, self.held_out_targets, f"{self.name}: x_test (held out)", f"{self.name}: y_test"
        )
        for part, other, name in (
            (self.inputs, self.held_out_inputs, "x"),
            (self.targets, self.held_out_targets, "y"),
        ):
            free = 1 if part.is_floating_point() else 2
            if part.dtype != other.dtype or part.ndim != other.ndim or part.shape[free:] != other.shape[free:]:
                raise ValueError(
                    f"{self.name}: {name} is {_describe(part)} and {name}_test is {_describe(other)}; "
                    "both parts need one type and one shape per item"
                )


def load_data(text: str | None, model_text: str, *, seed: int, held_out_share: float = 0.2) -> Data:
    """Data of an .npz with x, y and perhaps x_test, y_test, of a `package.module:factory` or of a sample.

    `text` None or "sample" asks for the data of the sample that `model_text` names, "sample:NAME" for another's. A
    sample has its own held-out part; elsewhere, without a test part, `held_out_share` of the items (one at least) is
    held out in an order drawn from `seed`. Arrays become float32 or int64, see the module. Raises ValueError for a
    missing or damaged file, pickled objects, missing or wrong arrays, and as `call_factory` and `Data` do.

    >>> data = load_data(None, "sample:digits-mlp", seed=0)
    >>> tuple(data.inputs.shape), tuple(data.held_out_inputs.shape), data.loss
    ((1347, 1, 8, 8), (450, 1, 8, 8), 'cross-entropy')
    """
    if not 0 < held_out_share < 1:
        raise ValueError(f"held-out share {held_out_share} is not above 0 and below 1; 0.2 holds out every fifth item")
    if seed < 0:
        raise ValueError(f"seed {seed} is below 0; a seed is a whole number from 0 on")
    if text is None or text == "sample":
        return _load_sample(model_text)
    if text.startswith(SAMPLE_PREFIX):
        return _load_sample(text)
    arrays = _call_factory(text) if ":" in text and not text.endswith(".npz") else _read_npz(text)
    tensors = [_make_tensor(array, f"{text}: {name}") for array, name in zip(arrays, _NAMES, strict=False)]
    inputs, targets = tensors[:2]
    _check_part(inputs, targets, f"{text}: x", f"{text}: y")
    loss = "mse" if targets.is_floating_point() else "cross-entropy"
    if len(tensors) == 4:
        return Data(inputs, targets, tensors[2], tensors[3], loss, text)
    held_out, kept = _split(len(inputs), held_out_share, seed, text)
    return Data(inputs[kept], targets[kept], inputs[held_out], targets[held_out], loss, text)


def _load_sample(text: str) -> Data:
    if not text.startswith(SAMPLE_PREFIX):
        raise ValueError(f"model {quote(text)} is no sample and brings no data; {_RULE}")
    name = text.removeprefix(SAMPLE_PREFIX)
    return Data(*read_batch(training_path(name)), *read_batch(evaluation_path(name)), loss="cross-entropy", name=text)


def _read_npz(text: str) -> tuple[Any, ...]:
    path, there = Path(text), False
    with suppress(OSError):  # of a name longer than the system takes
        there = path.is_file()
    if not there:
        raise ValueError(f"data file {quote(text)} does not exist; {_RULE}")
    if not zipfile.is_zipfile(path):
        raise ValueError(f"data file {quote(text)} is no .npz archive; save it with `numpy.savez(path, x=x, y=y)`")
    try:
        with np.load(path, allow_pickle=False) as archive:
            found = {name: archive[name] for name in _NAMES if name in archive}
            others = [name for name in archive if name not in found]
    except Exception as error:  # zlib, tokenize, struct, memory: whatever damaged bytes make of the reader
        raise ValueError(
            f"data file {quote(text)} can not be read ({describe_error(error)}); save plain arrays of numbers with "
            "`numpy.savez(path, x=x, y=y)`"
        ) from error
    if tuple(found) not in {_NAMES[:2], _NAMES}:
        raise ValueError(
            f"data file {quote(text)} holds {', '.join([*found, *others]) or 'no arrays'}; it needs x (inputs) and y "
            "(targets), and x_test with y_test or neither"
        )
    return tuple(found.values())


def _call_factory(text: str) -> tuple[Any, ...]:
    made = call_factory(text)
    if not isinstance(made, (tuple, list)) or len(made) not in {2, 4}:
        count = f" of {len(made)}" if isinstance(made, (tuple, list)) else ""
        raise ValueError(f"data factory {quote(text)} returns a {type(made).__name__}{count}; {_RULE}")
    return tuple(made)


def _make_tensor(value: Any, place: str) -> Tensor:
    if isinstance(value, Tensor):
        if value.is_complex() or value.layout != torch.strided:
            raise ValueError(f"{place} holds {value.dtype} ({value.layout}); give plain real numbers")
        plain = value.detach().cpu()
        return plain.float() if plain.is_floating_point() else plain.long()
    try:
        array = np.asarray(value)
    except ValueError as error:
        raise ValueError(f"{place} is no array ({describe_error(error)}); give items of one shape") from error
    if array.dtype.kind not in "biuf":
        raise ValueError(f"{place} holds {array.dtype}, not real numbers; give an array of integers or floats")
    # through float64, since torch rounds to infinity without numpy's warning
    return (
        torch.from_numpy(array.astype(np.float64)).float()
        if array.dtype.kind == "f"
        else torch.from_numpy(array.astype(np.int64))
    )


def _check_part(inputs: Tensor, targets: Tensor, x: str, y: str) -> None:
    for part, place in ((inputs, x), (targets, y)):
        if part.ndim == 0 or part.numel() == 0:
            raise ValueError(f"{place} is {_describe(part)}, which holds no items; the first axis counts the items")
        bad = int((~torch.isfinite(part)).sum())
        if bad:
            raise ValueError(f"{place} holds {bad} values that are not finite in float32; leave those items out")
    if len(inputs) != len(targets):
        raise ValueError(f"{x} has {len(inputs)} items and {y} has {len(targets)}; each input needs its target")
    if targets.is_floating_point():
        return
    labels = targets[targets != IGNORED]
    if labels.numel() == 0:
        raise ValueError(f"{y} holds padding ({IGNORED}) alone; there is nothing to learn from")
    if int(labels.min()) < 0:
        raise ValueError(
            f"{y} holds the label {int(labels.min())}; labels count from 0, {IGNORED} is padding, and targets that are "
            "no labels are given as floats"
        )


def _split(count: int, share: float, seed: int, name: str) -> tuple[Tensor, Tensor]:
    if count < 2:
        raise ValueError(f"{name}: {count} item can not be split; give 2 or more, or x_test and y_test")
    order = torch.from_numpy(np.random.default_rng(seed).permutation(count))
    held_out = min(max(round(count * share), 1), count - 1)
    return order[:held_out], order[held_out:]


def _describe(part: Tensor) -> str:
    return f"{str(part.dtype).removeprefix('torch.')} {tuple(part.shape)}"
