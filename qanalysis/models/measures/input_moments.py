"""What goes into the layers? Second moments of the rows that each part of a tensor is multiplied with, and how often
each row of a table is looked up, over all samples.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial

import torch
from torch import Tensor

from qanalysis.checkpoints.source import TensorInfo
from qanalysis.models.calibration.samples import Batch, Calibration
from qanalysis.models.measures.input_sums import InputSums, LayerInputs, Limits
from qanalysis.models.measures.products import catching
from qanalysis.models.measures.uses import Use, make_use, make_whole_use
from qanalysis.models.running.convolutions import Convolution
from qanalysis.models.running.runnable import Layer, Runnable
from qanalysis.models.running.torch_model import TorchModel

#: Inputs of more features get the diagonal alone: C of 6144 takes 302 MB.
WIDEST = 6144
#: What the second moments of one pass over the samples may hold; more layers take more passes.
HOLD_BYTES = 1 << 30


@dataclass(frozen=True, slots=True, eq=False)
class Inputs:
    """By tensor; `complete` is false where it was cancelled: tensors that are there were seen with all samples.

    `left_out` counts samples that do not fill the last run of a model that takes a fixed number of them.
    """

    found: Mapping[str, LayerInputs]
    complete: bool = True
    left_out: int = 0


def gather_inputs(
    model: Runnable,
    calibration: Calibration,
    layers: Sequence[Layer],
    *,
    batch: int = 64,
    limits: Limits | None = None,
    cancel: threading.Event | None = None,
) -> Inputs:
    """What meets the tensors of these layers over all samples, in as many passes as the limits ask for. Inputs that are
    too wide, and those of a tensor that needs more than a pass holds alone, keep the diagonal alone.

    A torch model tells of every product with a tensor, wherever it stands; another one of the inputs of its linear
    layers and convolutions. Raises as `Runnable.watch`.
    """
    allowed = limits or Limits(WIDEST, HOLD_BYTES)
    found, too_large = dict[str, LayerInputs](), set[str]()
    left, parts = list(layers), _list_parts(model, calibration, batch)
    while left:
        sums = InputSums([layer.tensor.name for layer in left], allowed, too_large)
        for part in parts:
            if cancel is not None and cancel.is_set():
                return Inputs(found, complete=False)
            sums.begin_run()
            _run(model, part, [layer for layer in left if layer.tensor.name in sums.found], sums)
        settled = sums.settle()
        if sums.is_sound:
            found |= settled
            left = [layer for layer in left if layer.tensor.name not in found]
        else:
            allowed = Limits(allowed.widest, allowed.hold_bytes, share=False)
    return Inputs(found, left_out=len(calibration) - sum(map(len, parts)))


def _list_parts(model: Runnable, calibration: Calibration, batch: int) -> list[Batch]:
    """The samples as they go through the model: whole runs of one that takes a fixed number, since repeats that fill a
    run up would count as samples.
    """
    fixed = model.batch_size if isinstance(model, TorchModel) else None
    if not fixed:
        return list(calibration.batches(batch))
    whole = [part.cut(0, len(part) // fixed * fixed) for part in calibration.batches(max(batch // fixed, 1) * fixed)]
    return [part for part in whole if len(part)]


def _run(model: Runnable, part: Batch, layers: Sequence[Layer], sums: InputSums) -> None:
    if isinstance(model, TorchModel):
        named = {layer.tensor.name: model.find(layer.tensor.name).value for layer in layers}
        with catching(model.module, named, sums):
            model.watch(part, [], lambda _name, _values: None)
        return
    own = {layer.tensor.name: layer.tensor for layer in model.layers}  # in the model's own view, whatever rows go along
    takers = dict[str, Callable[[Tensor], None]]()
    for layer in layers:
        info, convolution = own[layer.tensor.name], model.convolutions.get(layer.name)
        if convolution is not None:
            takers[layer.name] = partial(_take_patches, sums, info, convolution)
        elif layer.is_linear:
            takers[layer.name] = partial(_take_rows, sums, make_whole_use(info))
    model.watch(part, list(takers), lambda name, values: takers[name](values))


def _take_rows(sums: InputSums, use: Use, values: Tensor) -> None:
    if values.shape[-1] == use.width:
        sums.receive(use, values, values)
    else:
        sums.note_lost(use.tensor, f"an input of shape {tuple(values.shape)}")


def _take_patches(sums: InputSums, info: TensorInfo, convolution: Convolution, values: Tensor) -> None:
    parts = convolution.list_parts(torch.empty(info.shape, device="meta"))
    for rows in convolution.list_patches(values, info.shape[2:]):
        for part, some in zip(parts, rows, strict=True):
            sums.receive(make_use(info.name, int(part.storage_offset()), part), some, None)
