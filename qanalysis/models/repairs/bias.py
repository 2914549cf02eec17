"""What did quantization do to the mean of each output channel? That much is taken from the layer's bias.

Source: Nagel et al., "Data-Free Quantization Through Weight Equalization and Bias Correction", arXiv 1906.04721,
section 4.2, with means of inputs that were measured: b gets W E[a] − Q(W) E[â]. â is the input that the layer gets in
the quantized model, a that in the float model, so that afterwards each channel has the float model's mean; where layers
get the float model's inputs, â = a. A layer without a bias has it taken from the mean that a batch normalisation right
behind it subtracts.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from qanalysis.arrays import Doubles, Floats
from qanalysis.checkpoints.source import TensorInfo
from qanalysis.models.repairs.flows import Tracer, find_own_bias
from qanalysis.models.repairs.moments import InputMoments
from qanalysis.models.repairs.repair import Repair
from qanalysis.models.repairs.scaling import find_running_mean
from qanalysis.models.repairs.spreading import Spread, find_spread
from qanalysis.models.repairs.stages import Correction, Draft, Task
from qanalysis.models.running.runnable import Change, Layer

_NO_PLACE = "it has no bias, and no batch normalisation behind it, that could be corrected"


@dataclass(frozen=True, slots=True, eq=False)
class _Place:
    """A layer with the tensor that is corrected, to which `sign` times the shift of the means is added."""

    layer: Layer
    spread: Spread
    tensor: TensorInfo
    sign: int


@dataclass(frozen=True, slots=True)
class BiasCorrection(Correction):
    """Shifts the bias of every quantized layer that has one, or what takes its place."""

    def correct(self, task: Task, draft: Draft) -> None:
        layers = [layer for layer in task.layers if layer.tensor.name in draft.quantizers]
        places = _find_places(task, draft, layers)
        spreads = {place.layer.name: place.spread for place in places}
        before = task.watcher.gather(spreads, change=draft.float_change, products=False) if spreads else {}
        for place in places:
            if place.layer.name in before:
                _correct(task, draft, place, before[place.layer.name])


def _find_places(task: Task, draft: Draft, layers: Sequence[Layer]) -> list[_Place]:
    """What is corrected, in the order of the run; layers without a place are noted."""
    tracer = Tracer(task.model, task.watcher.calibration.blocks[0], task.seed, task.watcher.check)
    sources = {source.layer.tensor.name: source for source in tracer.sources}
    found = list[_Place]()
    for layer in layers:
        try:
            spread = find_spread(task.model, layer)
        except ValueError:
            draft.note(_NO_PLACE, layer.name)
            continue
        own = find_own_bias(task.model, layer, layer.tensor.view.sizes(layer.tensor.shape)[0])
        if own is not None:
            found.append(_Place(layer, spread, own, 1))
            continue
        source = sources.get(layer.tensor.name)
        flow = tracer.trace(source) if source is not None else None
        mean = find_running_mean(task, flow.norm) if flow is not None and flow.norm is not None else None
        if mean is not None:
            found.append(_Place(layer, spread, mean, -1))
        else:
            draft.note(_NO_PLACE, layer.name)
    return found


def _correct(task: Task, draft: Draft, place: _Place, before: InputMoments) -> None:
    after: InputMoments | None = before
    name, weight = place.layer.name, place.layer.tensor
    if task.is_sequential or draft.inputs:
        change = draft.change if task.is_sequential else Change(draft.floats, draft.inputs)
        after = task.watcher.gather({name: place.spread}, change=change, products=False).get(name)
    if after is None or not (np.isfinite(before.mean).all() and np.isfinite(after.mean).all()):
        draft.note("its inputs are not all finite; its mean stays", name)
        return
    quantized = _multiply(weight, draft.weights[weight.name], after.mean)
    shift = _multiply(weight, draft.read(task.model, weight), before.mean) - quantized
    old = draft.weights.get(place.tensor.name)
    values = draft.read(task.model, place.tensor) if old is None else old
    corrected = values.astype(np.float64) + place.sign * shift.reshape(values.shape)
    draft.weights[place.tensor.name] = corrected.astype(np.float32)
    draft.touched.add(place.tensor.name)


def _multiply(info: TensorInfo, values: Floats, mean: Doubles) -> Doubles:
    """The mean output of each row of a weight, (rows,), for the mean of its input, (groups, width)."""
    groups, width = mean.shape
    matrix = info.view.to_matrix(values).astype(np.float64).reshape(groups, -1, width)
    means: Doubles = (matrix @ mean[:, :, np.newaxis]).reshape(-1)
    return means


BIAS = Repair("bias", "gives each output channel the mean that it has in the float model", correction=BiasCorrection())
