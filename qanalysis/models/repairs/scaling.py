"""How are factors put into a draft? A source is divided and its sinks are multiplied; a batch normalisation is folded
into the layer before it; and in the end the float model must have kept its outputs.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import numpy as np
from torch.nn.modules.batchnorm import _BatchNorm as BatchNorm

from qanalysis.arrays import Doubles, Floats
from qanalysis.checkpoints.source import TensorInfo
from qanalysis.models.repairs.flows import Flow, Read, are_equal
from qanalysis.models.repairs.stages import Draft, Task
from qanalysis.models.running.runnable import Layer
from qanalysis.models.running.torch_model import TorchModel


def scale_flow(task: Task, draft: Draft, flow: Flow, factors: Doubles) -> None:
    """Divide the source's output channels by the factors, (width,), and multiply what meets them in the sinks."""
    read = make_reader(task, draft)
    changed = flow.source.scale(read, 1 / factors)
    changed |= {sink.layer.tensor.name: sink.scale(read, factors) for sink in flow.sinks}
    _prepare(draft, changed)
    if not flow.source.is_norm:
        _note_scale(draft, flow.source.layer.name, 1 / factors)


def make_reader(task: Task, draft: Draft) -> Read:
    """Reads float tensors as prepared so far."""
    return lambda info: draft.read(task.model, info)


def fold(task: Task, draft: Draft, first: Flow | None, flow: Flow) -> Flow:
    """The flow of a batch normalisation as that of the layer before it, `first`, into which it is folded: rows of the
    layer's weight times gain / √(variance + eps), and the normalisation left with a shift alone. Without a layer
    before it the flow stays as it is.
    """
    module = find_batch_norm(task, flow)
    if first is None or module is None or not isinstance(task.model, TorchModel):
        return flow
    path = flow.source.layer.tensor.name.rpartition(".")[0]
    find, read = task.model.find, make_reader(task, draft)
    mean, variance = (find(f"{path}.running_{word}".strip(".")).info for word in ("mean", "var"))
    gain, shift = flow.source.layer.tensor, flow.source.biases
    deviation = np.sqrt(read(variance).astype(np.float64) + module.eps)
    factors = read(gain) / deviation
    if not shift:
        return flow
    values = {
        gain.name: np.ones_like(read(gain)),
        shift[0].name: (read(shift[0]) - read(mean) * factors).astype(np.float32),
        mean.name: np.zeros_like(read(mean)),
        variance.name: np.full_like(read(variance), 1 - module.eps),
    }
    _prepare(draft, first.source.scale(read, factors) | values)
    _note_scale(draft, first.source.layer.name, factors)
    return Flow(replace(first.source, biases=(*first.source.biases, *shift)), flow.sinks)


def find_batch_norm(task: Task, flow: Flow) -> BatchNorm | None:
    """The batch normalisation that a flow comes from; None where it comes from something else."""
    model, name = task.model, flow.source.layer.tensor.name
    module = model.find(name).module if isinstance(model, TorchModel) else None
    return module if isinstance(module, BatchNorm) and module.running_var is not None else None


def find_running_mean(task: Task, norm: Layer) -> TensorInfo | None:
    """The mean that a batch normalisation subtracts; None where it is no tensor of the model."""
    path = norm.tensor.name.rpartition(".")[0]
    wanted = f"{path}.running_mean".strip(".")
    return next((info for info in task.model.tensors if info.name == wanted), None)


def keeps_outputs(task: Task, draft: Draft) -> bool:
    """Whether the prepared float model's outputs are the model's own, to within rounding, on all samples."""
    for batch in task.watcher.calibration.batches(task.watcher.batch):
        task.watcher.check()
        recording = task.model.record(batch)
        if not are_equal(task.model.rerun(recording, draft.float_change), recording.outputs):
            return False
    return True


def _prepare(draft: Draft, changed: Mapping[str, Floats]) -> None:
    for name, values in changed.items():
        draft.prepare(name, values)


def _note_scale(draft: Draft, layer: str, factors: Doubles) -> None:
    draft.output_scales[layer] = draft.output_scales.get(layer, np.ones(len(factors))) * factors.reshape(-1)
