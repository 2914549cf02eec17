"""How are outliers of inputs made harmless? Features are divided by factors, and what meets them is multiplied.

Source: Xiao et al., "SmoothQuant: Accurate and Efficient Post-Training Quantization for Large Language Models",
arXiv 2211.10438: s_j = max|a_j|^α / max|w_j|^(1 − α). The division goes into the norm or layer before, for all layers
behind it alike, where factors pass from there; else the layer's input is divided as the model runs.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np
import torch
from torch import Tensor

from qanalysis.arrays import Codes, Doubles, Floats
from qanalysis.models.activations.features import find_feature_axis
from qanalysis.models.repairs.flows import Flow, Sink, Tracer, trace_all
from qanalysis.models.repairs.repair import Repair
from qanalysis.models.repairs.scaling import keeps_outputs, make_reader, scale_flow
from qanalysis.models.repairs.spreading import find_spread
from qanalysis.models.repairs.stages import Draft, Preparation, Task
from qanalysis.models.running.runnable import Layer

_LEAST, _MOST = 1e-4, 1e4
_KEPT_NUMBERS = 1 << 18  # of an input, on which exponents are compared


@dataclass(slots=True, eq=False)
class _Seen:
    """The largest magnitude of each feature of an input along `axis`, and some samples of it."""

    axis: int
    largest: Doubles
    kept: Tensor

    def add(self, values: Tensor) -> None:
        """One more batch."""
        self.largest = np.maximum(self.largest, _find_largest(values, self.axis))


@dataclass(frozen=True, slots=True, eq=False)
class _Group:
    """Layers that share their factors; `flow` says where the division goes, None for the layer's own input."""

    sinks: tuple[Sink, ...]
    width: int
    flow: Flow | None = None


@dataclass(frozen=True, slots=True)
class Smoothing(Preparation):
    """Smoothing by the exponent α; of several that one is taken, layer by layer, whose quantized layers' outputs are
    nearest to the float ones on some samples, or none where no factors serve best.
    """

    alphas: tuple[float, ...] = (0.5,)

    def prepare(self, task: Task, draft: Draft) -> None:
        layers = [layer for layer in task.layers if layer.has_real_input and _is_product(task, layer)]
        seen = _watch(task, layers)
        if task.activation_scheme is None:
            draft.note("inputs stay float here; smoothing is for models whose inputs are quantized, too")
        groups = _group(task, [layer for layer in layers if layer.name in seen], seen)
        for group in groups:
            task.watcher.check()
            own = {sink.layer.name: seen[sink.layer.name] for sink in group.sinks if sink.layer.name in seen}
            candidates = [self._find_factors(task, draft, group, own, alpha) for alpha in self.alphas]
            if len(candidates) > 1:
                candidates.insert(0, np.ones(group.width))
            lost = [_measure(task, draft, group, own, one) if len(candidates) > 1 else 0.0 for one in candidates]
            _apply(task, draft, group, own, candidates[int(np.argmin(lost))])
        if not keeps_outputs(task, draft):
            draft.clear()
            draft.note("smoothed layers did not keep the float model's outputs; nothing was smoothed")
        elif draft.float_inputs:
            names = sorted(draft.float_inputs)
            for name in names:
                draft.note("no norm or layer before it takes the division: its input is divided as it runs", name)

    def _find_factors(
        self, task: Task, draft: Draft, group: _Group, seen: Mapping[str, _Seen], alpha: float
    ) -> Doubles:
        read = make_reader(task, draft)
        inputs = np.zeros(group.width)
        for sink in group.sinks:
            if sink.layer.name in seen:
                np.maximum.at(inputs, sink.channels, seen[sink.layer.name].largest)
        weights = np.max([sink.measure(read, group.width) for sink in group.sinks], axis=0)
        return find_factors(inputs, weights, alpha)


def find_factors(inputs: Doubles, weights: Doubles, alpha: float) -> Doubles:
    """Each feature's s from the largest magnitudes of the input and of what meets it; 1 where one of both is 0.

    >>> find_factors(np.array([16.0, 0.0]), np.array([4.0, 1.0]), 0.5).tolist()
    [2.0, 1.0]
    """
    both = (inputs > 0) & (weights > 0) & np.isfinite(inputs)
    factors = np.where(both, inputs, 1.0) ** alpha / np.where(both, weights, 1.0) ** (1 - alpha)
    return np.clip(factors, _LEAST, _MOST)


def _is_product(task: Task, layer: Layer) -> bool:
    try:
        find_spread(task.model, layer)
    except ValueError:
        return False
    return True


def _watch(task: Task, layers: Sequence[Layer]) -> dict[str, _Seen]:
    found, by_name = dict[str, _Seen](), {layer.name: layer for layer in layers}

    def receive(name: str, values: Tensor) -> None:
        if name in found:
            found[name].add(values)
        elif values.ndim and values.numel():
            axis = find_feature_axis(task.model, by_name[name], tuple(values.shape))
            many = max(_KEPT_NUMBERS // max(values[0].numel(), 1), 1)
            found[name] = _Seen(axis, _find_largest(values, axis), values[:many].clone())

    task.watcher.watch(list(by_name), receive)
    return found


def _find_largest(values: Tensor, axis: int) -> Doubles:
    known = values.where(values.isfinite(), torch.zeros_like(values))
    largest: Doubles = known.abs().movedim(axis, -1).reshape(-1, values.shape[axis]).amax(0).double().numpy()
    return largest


def _group(task: Task, layers: Sequence[Layer], seen: Mapping[str, _Seen]) -> list[_Group]:
    """Layers by where their division goes, in the order of the run."""
    watcher = task.watcher
    tracer = Tracer(task.model, watcher.calibration.blocks[0], task.seed, watcher.check)
    wanted, done, groups = {layer.name for layer in layers}, set[str](), list[_Group]()
    for flow in trace_all(tracer, tracer.sources):
        names = {sink.layer.name for sink in flow.sinks}
        if names & wanted and not names & done:
            groups.append(_Group(flow.sinks, flow.source.width, flow))
            done |= names
    for layer in layers:
        if layer.name not in done:
            channels: Codes = np.arange(len(seen[layer.name].largest))
            sink = Sink(layer, channels, find_spread(task.model, layer).groups)
            groups.append(_Group((sink,), len(channels)))
    return groups


def _measure(task: Task, draft: Draft, group: _Group, seen: Mapping[str, _Seen], factors: Doubles) -> float:
    """The squared error of the layers' outputs on the samples kept, inputs and weights quantized."""
    read, lost = make_reader(task, draft), 0.0
    for sink in group.sinks:
        name, info = sink.layer.name, sink.layer.tensor
        if name not in seen:
            continue
        spread = find_spread(task.model, sink.layer)
        own, axis = seen[name].kept, seen[name].axis
        weights = [read(info), sink.scale(read, factors)]
        try:
            weights[1] = task.scheme.fit(weights[1], axis=info.view).round_trip(weights[1])
            smoothed = _quantize_input(task, _divide(axis, factors[sink.channels], own), axis)
        except ValueError:
            continue
        exact, changed = (
            spread.lay_out(values).double() @ _to_columns(info.view.to_matrix(one), spread.groups)
            for values, one in zip((own, smoothed), weights, strict=True)
        )
        lost += float((changed - exact).square().sum())
    return lost


def _to_columns(matrix: Floats, groups: int) -> Tensor:
    """(groups, width, rows) of a weight's matrix."""
    parted = torch.from_numpy(np.ascontiguousarray(matrix)).double().reshape(groups, -1, matrix.shape[1])
    return parted.transpose(1, 2)


def _quantize_input(task: Task, values: Tensor, axis: int) -> Tensor:
    """As on a grid over these samples alone."""
    if task.activation_scheme is None:
        return values
    moved = values.movedim(axis, -1)
    tokens = moved.reshape(-1, moved.shape[-1]).float().contiguous().numpy()
    return (
        torch.from_numpy(task.activation_scheme.fit(tokens).round_trip(tokens)).reshape(moved.shape).movedim(-1, axis)
    )


def _apply(task: Task, draft: Draft, group: _Group, seen: Mapping[str, _Seen], factors: Doubles) -> None:
    if (factors == 1).all():
        return
    if group.flow is not None:
        scale_flow(task, draft, group.flow, factors)
        return
    (sink,) = group.sinks
    draft.prepare(sink.layer.tensor.name, sink.scale(make_reader(task, draft), factors))
    axis = seen[sink.layer.name].axis
    from_end = axis - seen[sink.layer.name].kept.ndim  # a lone sample has an axis less in front
    draft.float_inputs[sink.layer.name] = partial(_divide, from_end, factors[sink.channels])


def _divide(axis: int, factors: Doubles, values: Tensor) -> Tensor:
    """Every feature along an axis divided by its factor."""
    shape = [1] * values.ndim
    shape[axis] = -1
    return values / torch.from_numpy(factors).to(values.dtype).reshape(shape)


SMOOTHQUANT = Repair(
    "smoothquant", "moves outliers from inputs into weights, half of the way (α = 0.5)", preparation=Smoothing()
)
SMOOTHQUANT_BEST = Repair(
    "smoothquant:best",
    "as smoothquant, each layer by the α from 0 to 1 that serves it best, or not at all",
    preparation=Smoothing(tuple(step / 10 for step in range(11))),
)
