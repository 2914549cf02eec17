"""What did quantization do to the mean of each output channel? That much is taken from the layer's bias.

Source: Nagel et al., "Data-Free Quantization Through Weight Equalization and Bias Correction", arXiv 1906.04721,
section 4.2, with means of inputs that were measured: b gets W E[a] − Q(W) E[â]. â is the input that the layer gets in
the quantized model, a that in the float model, so that afterwards each channel has the float model's mean; where layers
get the float model's inputs, â = a.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from torch import nn

from qanalysis.arrays import Doubles, Floats
from qanalysis.checkpoints.source import TensorInfo
from qanalysis.models.repairs.moments import InputMoments
from qanalysis.models.repairs.repair import Repair
from qanalysis.models.repairs.rounding import find_spreads
from qanalysis.models.repairs.spreading import Spread, find_module
from qanalysis.models.repairs.stages import Correction, Draft, Task
from qanalysis.models.running.runnable import Layer
from qanalysis.models.running.torch_model import TorchModel

_NO_PLACE = "it has no bias that could be corrected"


@dataclass(frozen=True, slots=True)
class BiasCorrection(Correction):
    """Shifts the bias of every quantized layer that has one."""

    def correct(self, task: Task, draft: Draft) -> None:
        places = dict[str, TensorInfo]()
        for layer in task.layers:
            found = find_bias(task, layer) if layer.tensor.name in draft.quantizers else None
            if found is not None:
                places[layer.name] = found
            elif layer.tensor.name in draft.quantizers:
                draft.note(_NO_PLACE, layer.name)
        layers = [layer for layer in task.layers if layer.name in places]
        spreads = find_spreads(task, layers, draft)
        before = task.watcher.gather(spreads, change=draft.float_change, products=False) if spreads else {}
        for layer in layers:
            if layer.name in before:
                _correct(task, draft, layer, places[layer.name], before[layer.name], spreads[layer.name])


def _correct(task: Task, draft: Draft, layer: Layer, bias: TensorInfo, before: InputMoments, spread: Spread) -> None:
    after: InputMoments | None = before
    if task.is_sequential:
        change = draft.change
        after = task.watcher.gather({layer.name: spread}, change=change, products=False).get(layer.name)
    if after is None or not (np.isfinite(before.mean).all() and np.isfinite(after.mean).all()):
        draft.note("its inputs are not all finite; its bias stays", layer.name)
        return
    weight = layer.tensor
    quantized = _multiply(weight, draft.weights[weight.name], after.mean)
    shift = _multiply(weight, draft.read(task.model, weight), before.mean) - quantized
    old = draft.weights.get(bias.name)
    values = draft.read(task.model, bias) if old is None else old
    draft.weights[bias.name] = (values.astype(np.float64) + shift.reshape(values.shape)).astype(np.float32)
    draft.touched.add(bias.name)


def _multiply(info: TensorInfo, values: Floats, mean: Doubles) -> Doubles:
    """The mean output of each row of a weight, (rows,), for the mean of its input, (groups, width)."""
    groups, width = mean.shape
    matrix = info.view.to_matrix(values).astype(np.float64).reshape(groups, -1, width)
    means: Doubles = (matrix @ mean[:, :, np.newaxis]).reshape(-1)
    return means


def find_bias(task: Task, layer: Layer) -> TensorInfo | None:
    """The bias that is added to a layer's outputs, one number for each row of its weight; None where there is none."""
    rows = layer.tensor.view.sizes(layer.tensor.shape)[0]
    if isinstance(task.model, TorchModel):
        module = find_module(task.model, layer)
        own = getattr(module, "bias", None)
        path = layer.tensor.name.rpartition(".")[0]
        name = f"{path}.bias".strip(".") if isinstance(own, nn.Parameter) else ""
        try:
            found = task.model.find(name).info if name else None
        except KeyError:
            return None
        return found if found is not None and found.numel == rows else None
    stem, _, last = layer.tensor.name.rpartition(".")
    named = [info for info in task.model.tensors if last == "weight" and info.name == f"{stem}.bias".strip(".")]
    return named[0] if named and named[0].numel == rows else None


BIAS = Repair("bias", "gives each output channel the mean that it has in the float model", correction=BiasCorrection())
