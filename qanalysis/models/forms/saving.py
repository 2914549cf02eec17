"""How does a model in a form leave the program? A .safetensors file with codes and scales of what is quantized, all
other tensors as they are, and the ranges of its layers' inputs beside them.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from qanalysis.arrays import Floats
from qanalysis.checkpoints.source import FLOAT_DTYPES, TensorInfo
from qanalysis.models.forms.candidates import Candidate
from qanalysis.models.forms.input_notes import describe_inputs
from qanalysis.models.forms.packing import pack, refuse_scheme
from qanalysis.models.forms.safetensors_writer import write_safetensors
from qanalysis.models.running.runnable import Runnable
from qanalysis.models.running.torch_model import TorchModel

#: Of the file's metadata, which holds texts: JSON of the form, its schemes, its repair, the model, the layers' inputs.
NOTE = "qanalysis.form"


def save_form(path: Path, model: Runnable, candidate: Candidate) -> None:
    """Write the model in a form, so that `load_form` makes the same outputs of it, bit for bit.

    Raises ValueError, one line, for what no layout holds and for weights that are not finite, OSError where writing
    fails; a file that was there stays then.
    """
    form = candidate.form
    why = candidate.refusal or candidate.unsavable or (refuse_scheme(form.weights) if form.weights is not None else "")
    if why:
        raise ValueError(f"{form} can not be saved: {why}")
    note = {
        "form": form.name,
        "weight_scheme": str(form.weights or ""),
        "activation_scheme": str(form.activations or ""),
        "repair": candidate.repair,
        "model": model.name,
        "inputs": describe_inputs(candidate.inputs),
    }
    metadata = {"format": "pt", NOTE: json.dumps(note)}
    write_safetensors(path, dict(_list_parts(model, candidate)), metadata)


def _list_parts(model: Runnable, candidate: Candidate) -> Iterator[tuple[str, NDArray[Any]]]:
    """Everything that the file holds, by name, in the order of the model."""
    weights, quantizers, scheme = candidate.make().weights, candidate.fit(), candidate.form.weights
    for info in model.tensors:
        quantizer, changed = quantizers.get(info.name), weights.get(info.name)
        if quantizer is not None and changed is not None and scheme is not None:
            parts = pack(info, changed, quantizer, scheme)
            yield from ((f"{info.name}{ending}", part) for ending, part in parts.items())
        else:
            stored = _read_stored(model, info, changed)
            if stored is not None:
                yield info.name, stored


def _read_stored(model: Runnable, info: TensorInfo, changed: Floats | None) -> NDArray[Any] | None:
    """A tensor in its own type, with other values where it was changed; None where the model does not give it."""
    kind = FLOAT_DTYPES.get(info.dtype) or np.dtype(info.dtype)
    if isinstance(model, TorchModel):
        value = model.find(info.name).value.detach()
        if changed is not None:
            value = torch.from_numpy(changed).reshape(value.shape).to(value.dtype)
        stored: NDArray[Any] = value.contiguous().reshape(-1).view(torch.uint8).numpy().view(kind)
        return stored.reshape(info.shape)
    if not info.decodes:
        return None
    return np.asarray(model.read(info) if changed is None else changed).astype(kind).reshape(info.shape)


def check_place(path: Path, inputs: Mapping[str, object]) -> None:
    """ValueError where a file would be written over one of the inputs, by what each is called; None is no input."""
    target = path.resolve()
    for name, given in inputs.items():
        source = Path(str(given)).resolve() if given is not None else None
        if source is not None and (source == target or (target.exists() and target.is_relative_to(source))):
            raise ValueError(f"--save {path} is {name} itself or a part of it; choose another file")
