"""How does a saved form come back? Its weights out of the codes, its layers' inputs on the ranges that were saved."""

from __future__ import annotations

import json
import struct
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from qanalysis.arrays import Floats
from qanalysis.checkpoints.source import CheckpointError, TensorInfo, TensorSource
from qanalysis.models.forms.form import Form
from qanalysis.models.forms.input_notes import read_inputs
from qanalysis.models.forms.saving import NOTE
from qanalysis.models.running.runnable import Change, Runnable, Turn
from qanalysis.models.running.weights import open_weights
from qanalysis.notation import quote, shorten
from qanalysis.quantizers.scheme import Scheme

_LARGEST_HEADER = 100_000_000


@dataclass(frozen=True, slots=True, eq=False)
class LoadedForm:
    """A form that was saved: what it is, the change that makes it of the float model, the bytes of its tensors."""

    form: Form
    repair: str
    change: Change
    size_bytes: int


def load_form(path: Path, model: Runnable) -> LoadedForm:
    """The form that a file holds, as a change of the model that it was made of: outputs are the same bit for bit.

    Raises ValueError, one line, for a file that holds no form or that of another model.
    """
    if not path.is_file():
        raise ValueError(f"the form {quote(str(path))} does not exist; name a file that --save wrote")
    with open_weights(str(path)) as source:
        note = _read_note(path)
        form = Form(shorten(str(note["form"]), 80), _parse(note["weight_scheme"]), _parse(note["activation_scheme"]))
        weights = _read_weights(path, source, model)
        size_bytes = sum(info.size_bytes for info in source.tensors)
    change = Change(weights, _turn_inputs(path, note, model))
    return LoadedForm(form, shorten(str(note["repair"]), 80), change, size_bytes)


def _parse(text: Any) -> Scheme | None:
    return Scheme.parse(str(text)) if text else None


def _read_note(path: Path) -> dict[str, Any]:
    """What the file says of the form that it holds."""
    with path.open("rb") as file:
        (length,) = struct.unpack("<Q", file.read(8).ljust(8, b"\0"))
        text = file.read(min(length, _LARGEST_HEADER))
    try:
        note = json.loads(json.loads(text)["__metadata__"][NOTE])
        missing = {"form", "weight_scheme", "activation_scheme", "repair", "inputs"} - set(note)
    except (ValueError, KeyError, TypeError, RecursionError):
        raise ValueError(f"{path}: holds no form of a model; give a file that `qanalysis forms --save` wrote") from None
    if missing or not isinstance(note, dict):
        raise ValueError(f"{path}: its form lacks {', '.join(sorted(missing))}; save it again")
    return note


def _read_weights(path: Path, source: TensorSource, model: Runnable) -> dict[str, Floats]:
    """The values that differ from the model's, by its names."""
    stored = {name: info for info in source.tensors for name in (info.name, *info.aliases)}
    changed = dict[str, Floats]()
    for info in model.tensors:
        if not info.decodes:
            continue
        values = _read(path, source, stored.get(info.name), info)
        if not np.array_equal(values, model.read(info), equal_nan=True):
            changed[info.name] = values
    return changed


def _read(path: Path, source: TensorSource, found: TensorInfo | None, info: TensorInfo) -> Floats:
    name = quote(shorten(info.name, 80))
    if found is None or found.shape != info.shape:
        what = "is not in it" if found is None else f"is {found.shape_text} in it, {info.shape_text} in the model"
        raise ValueError(f"{path}: holds the form of another model, {name} {what}; give the model it was made of")
    try:
        return source.read(found)
    except CheckpointError as error:
        raise ValueError(str(error)) from None


def _turn_inputs(path: Path, note: dict[str, Any], model: Runnable) -> dict[str, Turn]:
    try:
        inputs = read_inputs(note["inputs"])
    except ValueError as error:
        raise ValueError(f"{path}: {error}; save it again") from None
    layers = {layer.name: layer for layer in reversed(model.layers)}
    missing = next((name for name in inputs if name not in layers), None)
    if missing is not None:
        raise ValueError(f"{path}: holds the form of another model, which has a layer {quote(shorten(missing, 80))}")
    return {name: grid.turn(model, layers[name]) for name, grid in inputs.items()}
