"""Which layers' inputs are another layer's output channels, so that a factor may pass from one to the other?

Found by trial: channels of a source are scaled, each by a factor of its own, and a layer is a sink where each feature
of its input grew by the factor of one channel. Only what is positively homogeneous lets a factor through, whatever the
model's code does in between. Then sinks are scaled back, and the model's outputs must be what they were.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm as BatchNorm

from qanalysis.arrays import Codes, Doubles, Floats
from qanalysis.checkpoints.source import TensorInfo
from qanalysis.models.activations.features import find_feature_axis
from qanalysis.models.calibration.samples import Batch
from qanalysis.models.repairs.spreading import find_spread
from qanalysis.models.running.runnable import NO_CHANGE, Change, Layer, Runnable
from qanalysis.models.running.torch_model import TorchModel

Read = Callable[[TensorInfo], Floats]

_SAMPLES = 16  # the trial runs on so many
_MOST_NUMBERS = 1 << 22  # of a layer's input, which is held for the trial
#: How far an input may be from an exact multiple, relative: some hundred roundings of float32.
_ROUNDING = 1e-4
_MOST_TRIALS = 8
_LEAST = 1.25  # of the factors of a trial
#: How far outputs may be from what they were, relative L2: the roundings of all layers.
OUTPUT_ROUNDING = 1e-4


@dataclass(frozen=True, slots=True, eq=False)
class Source:
    """A layer or a norm whose output channels, `width` of them, are scaled with its weight (rows) and its biases."""

    layer: Layer
    biases: tuple[TensorInfo, ...]
    is_norm: bool
    width: int

    def scale(self, read: Read, factors: Doubles) -> dict[str, Floats]:
        """Its tensors with every output channel multiplied by a factor, (width,)."""
        info = self.layer.tensor
        values = read(info).astype(np.float64)
        if self.is_norm:
            weight = values * factors.reshape(values.shape)
        else:
            weight = info.view.from_matrix(info.view.to_matrix(values) * factors[:, np.newaxis], info.shape)
        scaled = {info.name: weight.astype(np.float32)}
        for info in self.biases:
            bias = read(info)
            scaled[info.name] = (bias * factors.reshape(bias.shape)).astype(np.float32)
        return scaled

    def measure(self, read: Read) -> Doubles:
        """The largest magnitude of each row of its weight, (width,)."""
        values = _find_magnitudes(read(self.layer.tensor))
        return values.reshape(-1) if self.is_norm else self.layer.tensor.view.to_matrix(values).max(axis=1)


@dataclass(frozen=True, slots=True, eq=False)
class Sink:
    """A layer of which feature j of the input is channel `channels[j]` of the source."""

    layer: Layer
    channels: Codes
    groups: int

    def scale(self, read: Read, factors: Doubles) -> Floats:
        """Its weight with what meets every channel multiplied by the channel's factor, (source width,)."""
        info = self.layer.tensor
        parted = self._part(read(info).astype(np.float64))
        scaled = parted * factors[self.channels].reshape(self.groups, 1, -1, 1)
        return info.view.from_matrix(scaled.reshape(info.view.sizes(info.shape)), info.shape).astype(np.float32)

    def measure(self, read: Read, width: int) -> Doubles:
        """The largest magnitude of what meets each channel, (width,)."""
        largest = self._part(_find_magnitudes(read(self.layer.tensor))).max(axis=(1, 3))
        found = np.zeros(width)
        np.maximum.at(found, self.channels, largest.reshape(-1))
        return found

    def _part(self, values: Doubles) -> Doubles:
        """(groups, rows, features of a group, taps)."""
        view, each = self.layer.tensor.view, self.channels.size // self.groups
        rows, columns = view.sizes(self.layer.tensor.shape)
        return view.to_matrix(values).reshape(self.groups, rows // self.groups, each, columns // each)


@dataclass(frozen=True, slots=True, eq=False)
class Flow:
    """A source and all layers that its channels reach, as far as factors pass. `norm` is the batch normalisation to
    which the channels go first, None where they do not.
    """

    source: Source
    sinks: tuple[Sink, ...]
    norm: Layer | None = None


class Tracer:
    """Finds the flows of a model on the first samples of a batch; `check` may raise to end the work."""

    def __init__(self, model: Runnable, batch: Batch, seed: int, check: Callable[[], None]) -> None:
        self._model, self._batch, self._seed, self._check = model, batch.cut(0, min(len(batch), _SAMPLES)), seed, check
        layers = model.order(batch) if isinstance(model, TorchModel) else ()
        self._sinks = {layer.name: layer for layer in layers if _count_groups(model, layer)}
        self._groups = {name: _count_groups(model, layer) for name, layer in self._sinks.items()}
        self._norms = {layer.name: layer for layer in layers if _is_batch_norm(model, layer)}
        self.sources = [one for layer in layers if (one := _find_source(model, layer)) is not None]
        self._inputs: dict[str, Tensor] = {}
        self._outputs: Tensor | None = None

    def read(self, info: TensorInfo) -> Floats:
        """A tensor of the model as it is."""
        return np.array(self._model.read(info), np.float32)

    def trace(self, source: Source) -> Flow | None:
        """The flow of a source; None where no layer takes its channels as they are, or something else does too."""
        self._check()
        if self._outputs is None:
            self._inputs, self._outputs = self._run(NO_CHANGE)
        generator = np.random.default_rng(self._seed)
        # none is 1: what does not change at all was not reached
        factors = _LEAST * 2.0 ** (generator.permutation(source.width) / max(source.width - 1, 1))
        scaled, sinks = source.scale(self.read, factors), dict[str, Sink]()
        seen, outputs = self._run(Change(scaled))
        for _ in range(_MOST_TRIALS):
            reached = self._match(source, seen, factors)
            if not sinks and reached and reached[0].layer.name in self._norms:
                first = reached[0]
                return (
                    Flow(source, (), first.layer) if np.array_equal(first.channels, np.arange(source.width)) else None
                )
            fresh = [one for one in reached if one.layer.name not in sinks and one.layer.name in self._sinks]
            if not fresh:
                break
            # a layer of one channel each lets factors through: what comes after it is told apart once it is scaled back
            lets_through = any(one.groups == len(one.channels) > 1 for one in fresh)
            sinks |= {one.layer.name: one for one in (fresh[:1] if lets_through else fresh)}
            back = {one.layer.tensor.name: one.scale(self.read, 1 / factors) for one in sinks.values()}
            if scaled.keys() & back.keys():
                return None
            seen, outputs = self._run(Change(scaled | back))
        return Flow(source, tuple(sinks.values())) if sinks and are_equal(outputs, self._outputs) else None

    def _match(self, source: Source, seen: Mapping[str, Tensor], factors: Doubles) -> list[Sink]:
        """The layers and batch norms whose inputs grew by the factors, in the order of the run."""
        found = list[Sink]()
        for name, after in seen.items():
            channels = match(self._inputs[name], after, factors) if name in self._inputs else None
            if channels is not None and name != source.layer.name:
                layer = self._sinks.get(name) or self._norms[name]
                found.append(Sink(layer, channels, self._groups.get(name, 1)))
        return found

    def _run(self, change: Change) -> tuple[dict[str, Tensor], Tensor]:
        """Inputs of all sinks by layer, (places, features), and the outputs."""
        found, layers = dict[str, Tensor](), self._sinks | self._norms

        def receive(name: str, values: Tensor) -> None:
            if values.ndim and name not in found:
                axis = find_feature_axis(self._model, layers[name], tuple(values.shape))
                rows = values.movedim(axis, -1).reshape(-1, values.shape[axis])
                found[name] = rows[: max(_MOST_NUMBERS // rows.shape[1], 1)].double()

        outputs = self._model.watch(self._batch, list(layers), receive, change=change)
        return found, outputs


def _find_magnitudes(values: Floats) -> Doubles:
    """|w|, 0 where it is not finite."""
    return np.where(np.isfinite(values), np.abs(values), 0).astype(np.float64)


def are_equal(outputs: Tensor, wanted: Tensor) -> bool:
    """Whether outputs are what they were, to within the roundings of their type."""
    lost = torch.linalg.vector_norm((outputs - wanted).double())
    allowed = max(OUTPUT_ROUNDING, 4 * torch.finfo(outputs.dtype).eps)
    return bool(lost <= allowed * torch.linalg.vector_norm(wanted.double()))


def match(before: Tensor, after: Tensor, factors: Doubles) -> Codes | None:
    """The channel of every feature of an input, (places, features), whose channels were scaled by `factors`; None where
    it is no such input.

    A feature that was 0 everywhere tells nothing: its channel follows where the others lie in one order, each channel's
    features side by side or channels in turn.
    """
    if before.shape != after.shape:
        return None
    energy = before.square().sum(0)
    ratios = (before * after).sum(0) / energy
    known = energy > 0
    if not known.any() or ((after - ratios * before).square().sum(0)[known] > _ROUNDING**2 * energy[known]).any():
        return None
    found, places = ratios.numpy(), known.numpy()
    order = np.argsort(factors)
    above = np.searchsorted(factors[order], found).clip(1, max(len(order) - 1, 1)) if len(order) > 1 else None
    if above is None:
        channels = np.zeros(len(found), np.int64)
    else:
        low, high = order[above - 1], order[above]
        channels = np.where(np.abs(found - factors[low]) < np.abs(found - factors[high]), low, high)
    apart = np.diff(np.sort(factors)).min() / 4 if len(factors) > 1 else 1e-3
    if (np.abs(found - factors[channels])[places] > apart).any() or (np.abs(after.numpy()[:, ~places]) > 0).any():
        return None
    return channels.astype(np.int64) if places.all() else _complete(channels, places, len(factors))


def _complete(channels: Codes, known: np.ndarray[tuple[int], np.dtype[np.bool_]], width: int) -> Codes | None:
    """All channels from those that are known; None where they lie in no plain order."""
    each, rest = divmod(len(channels), width)
    places = np.arange(len(channels))
    for order in () if rest else (places // each, places % width):
        if np.array_equal(order[known], channels[known]):
            return order
    return None


def _find_source(model: Runnable, layer: Layer) -> Source | None:
    """A layer or norm as a source; None where its outputs do not scale with its tensors."""
    module = model.find(layer.tensor.name).module if isinstance(model, TorchModel) else None
    if module is None or not layer.tensor.name.endswith("weight"):
        return None
    is_norm = layer.tensor.role == "norm" and len(layer.tensor.shape) == 1
    if not is_norm and not _count_groups(model, layer):
        return None
    width = layer.tensor.numel if is_norm else layer.tensor.view.sizes(layer.tensor.shape)[0]
    bias = find_own_bias(model, layer, width)
    return Source(layer, () if bias is None else (bias,), is_norm, width)


def find_own_bias(model: Runnable, layer: Layer, rows: int) -> TensorInfo | None:
    """The bias that a layer itself adds, one number for each row of its weight; None where it has none."""
    if isinstance(model, TorchModel):
        module = model.find(layer.tensor.name).module
        if not isinstance(getattr(module, "bias", None), nn.Parameter):
            return None
        found = [model.find(f"{layer.tensor.name.rpartition('.')[0]}.bias".strip(".")).info]
    else:
        found = [one.tensor for one in model.layers if one.name == layer.name and one.tensor.role == "bias"]
    return found[0] if len(found) == 1 and found[0].numel == rows else None


def _count_groups(model: Runnable, layer: Layer) -> int:
    """Groups of a layer that is a matrix product; 0 where it is none."""
    try:
        return find_spread(model, layer).groups
    except ValueError:
        return 0


def _is_batch_norm(model: Runnable, layer: Layer) -> bool:
    module = model.find(layer.tensor.name).module if isinstance(model, TorchModel) else None
    is_fixed = isinstance(module, BatchNorm) and module.running_var is not None
    return is_fixed and layer.tensor.name.endswith("weight")


def trace_all(tracer: Tracer, sources: Sequence[Source]) -> list[Flow]:
    """The flows of all sources that have one."""
    return [flow for source in sources if (flow := tracer.trace(source)) is not None]
