"""What becomes of a layer's input when it is quantized in a run? Static ranges from calibration, others as it runs.

An input is a matrix: rows are tokens, columns are features. `tensor` is one range and `channel=1` (or the axis of the
features) one for each feature, both from calibration; `channel` is one for each token, `group=N` and fixed blocks one
for each run of features of a token, made when it runs.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Literal

import numpy as np
import torch
from torch import Tensor

from qanalysis.arrays import Floats
from qanalysis.models.activations.features import find_feature_axis
from qanalysis.models.activations.histograms import BINS, StreamedHistogram
from qanalysis.models.activations.input_statistics import AVERAGINGS, Averaging, InputStatistics, to_tokens
from qanalysis.models.activations.static_ranges import find_static, needs_histogram
from qanalysis.models.calibration.samples import Calibration
from qanalysis.models.running.runnable import NO_CHANGE, Change, Layer, Receive, Runnable, Turn
from qanalysis.notation import quote, shorten
from qanalysis.quantizers.grids import Grid
from qanalysis.quantizers.grouping import Grouping
from qanalysis.quantizers.observing import lay_at_once
from qanalysis.quantizers.passing import pass_through
from qanalysis.quantizers.scheme import Scheme
from qanalysis.quantizers.statistics import LargestOfTensor, Statistic

#: Which values of an activation share a grid.
Extent = Literal["tensor", "feature", "token", "group"]
#: Histograms of features may take so many bytes at once; beyond, calibration runs again for the layers that are left.
HISTOGRAM_BYTES = 1 << 30


def find_extent(scheme: Scheme, feature_axis: int = 1) -> Extent:
    """Which values share a grid: `tensor` and `feature` are static, `token` and `group` are made when it runs.

    An axis is that of the matrix (tokens, features), or the tensor's own axis of the features. Raises ValueError for
    another axis, for blocks over several tokens, and for scales that are stored across tokens.

    >>> find_extent(Scheme.parse("int8 channel=1")), find_extent(Scheme.parse("int8 channel"))
    ('feature', 'token')
    """
    grouping = scheme.grouping
    if grouping == Grouping():
        return "tensor"
    if grouping.rows != 1:
        raise ValueError(
            f"{grouping}: a block over several tokens depends on what runs beside them; take group=N, within one token"
        )
    if grouping.axis is not None and grouping.axis not in (0, 1, feature_axis):
        raise ValueError(
            f"{grouping}: of an activation channel is a token and channel=1 a feature; there is no axis "
            f"{grouping.axis} to share a range along"
        )
    if grouping.axis is not None and grouping.axis > 0:
        return "feature"
    if scheme.scale.is_double:
        raise ValueError("scale=double stores scales across tokens, which is not known when one runs; leave it out")
    return "group" if grouping.columns else "token"


@dataclass(frozen=True, slots=True, eq=False)
class InputGrid:
    """How a layer's input is quantized: by which scheme, and over which statistic of calibration its grids are laid.

    `statistic` has one group for all values or one for each feature, None where grids are made when it runs, within
    each token; `outer` is then the largest magnitude of all, (1,), where the scheme asks for it.
    """

    scheme: Scheme
    statistic: Statistic | None
    outer: Floats | None = None

    def turn(self, model: Runnable, layer: Layer) -> Turn:
        """The function that quantizes the layer's input, (..., features), to the same shape and type.

        What is not finite: as `pass_through`. Draws of stochastic rounding depend on the place in the batch.
        """
        find_axis = partial(find_feature_axis, model, layer)
        if self.statistic is None:
            return lambda values: _turn_dynamic(values, find_axis(tuple(values.shape)), self.scheme, self.outer)
        grid = self.scheme.lay_grid(self.statistic)
        return lambda values: _turn_static(values, find_axis(tuple(values.shape)), self.scheme, grid)


class InputGrids:
    """What calibration learned of the inputs of layers, by layer, and the turns that follow; grids are made once."""

    def __init__(self, model: Runnable, seen: Mapping[str, InputStatistics], averaging: Averaging = "none") -> None:
        self.seen = seen
        self._model, self._averaging = model, averaging
        self._found: dict[tuple[str, str], InputGrid] = {}

    def turn(self, layer: Layer, scheme: Scheme) -> Turn:
        """The function that quantizes the layer's input, (..., features), to the same shape and type; as `find`."""
        return self.find(layer, scheme).turn(self._model, layer)

    def find(self, layer: Layer, scheme: Scheme) -> InputGrid:
        """How the layer's input is quantized.

        ValueError where the scheme does not fit: a group over several tokens, blocks that do not divide the features, a
        layer whose input is no real number or which calibration never reached.
        """
        name = quote(shorten(layer.name))
        if not layer.has_real_input:
            raise ValueError(f"layer {name} takes no real numbers; its input can not be quantized")
        seen = self.seen.get(layer.name)
        if seen is None:
            raise ValueError(
                f"layer {name} never ran as a module of its own on the calibration data, so its input is unknown"
            )
        extent = find_extent(scheme, seen.feature_axis)
        if extent in ("token", "group"):
            within_token = replace(scheme, grouping=replace(scheme.grouping, axis=None))
            within_token.lay_out((1, seen.width))
            outer = seen.tensor.largest.astype(np.float32) if scheme.has_outer_scale else None
            return InputGrid(within_token, None, outer)
        key = (layer.name, str(scheme))
        if key not in self._found:
            self._found[key] = InputGrid(scheme, self._settle(layer.name, scheme, is_per_feature=extent == "feature"))
        return self._found[key]

    def _settle(self, name: str, scheme: Scheme, *, is_per_feature: bool) -> Statistic:
        seen = self.seen[name]
        known, ends = (seen.features, seen.feature_ends) if is_per_feature else (seen.tensor, seen.tensor_ends)
        if known is None or (needs_histogram(scheme) and known.bins < BINS):
            raise ValueError(f"{scheme}: ranges of features were not calibrated for it; name it when calibrating")
        averaged = ends.range if self._averaging == "moving" else None
        return find_static(scheme, known, ends=averaged)


def calibrate_inputs(
    model: Runnable,
    calibration: Calibration,
    layers: Sequence[Layer],
    schemes: Sequence[Scheme],
    *,
    batch: int = 64,
    averaging: Averaging = "none",
    histogram_bytes: int = HISTOGRAM_BYTES,
    change: Change = NO_CHANGE,
) -> InputGrids:
    """Run all samples, the model as it is or under a change, and learn of the layers' inputs what the schemes ask;
    values are not kept.

    Ends of range=minmax are exact over all values, or with averaging="moving" an exponential moving average over
    batches, momentum 0.9: that one alone depends on `batch`. Histograms of features take at most `histogram_bytes` at
    once, or one layer's: beyond, the samples run again for the layers that are left. ValueError as `Runnable.watch`.
    """
    if averaging not in AVERAGINGS:
        raise ValueError(f"averaging {quote(averaging)}: it is one of {', '.join(AVERAGINGS)}")
    bins = max((_count_feature_bins(scheme) for scheme in schemes), default=0)
    by_name = {layer.name: layer for layer in layers if layer.has_real_input}
    seen, left = dict[str, InputStatistics](), list(by_name)
    while left:
        run = partial(_run_all, model, calibration, batch=batch, change=change)
        found, left = _gather(model, run, [by_name[name] for name in left], bins, histogram_bytes)
        seen |= found
    return InputGrids(model, seen, averaging)


def _count_feature_bins(scheme: Scheme) -> int:
    """Bins that each feature needs: none, one where extremes and means are enough, or all."""
    grouping = scheme.grouping
    if grouping.rows != 1 or not grouping.axis:
        return 0
    return BINS if needs_histogram(scheme) else 1


def _run_all(
    model: Runnable,
    calibration: Calibration,
    layers: Sequence[str],
    receive: Receive,
    *,
    batch: int,
    change: Change,
) -> None:
    for part in calibration.batches(batch):
        model.watch(part, layers, receive, change=change)


def _gather(
    model: Runnable, run: Callable[[Sequence[str], Receive], None], layers: Sequence[Layer], bins: int, most_bytes: int
) -> tuple[dict[str, InputStatistics], list[str]]:
    """Statistics of as many layers as there is room for, and the names of the others."""
    by_name = {layer.name: layer for layer in layers}
    seen, left, held = dict[str, InputStatistics](), dict[str, None](), 0

    def receive(name: str, values: Tensor) -> None:
        nonlocal held
        axis = find_feature_axis(model, by_name[name], tuple(values.shape))
        if name not in seen and name not in left:
            width = values.shape[axis] if values.ndim else 1
            needed = width * bins * 2 * 16
            if seen and held + needed > most_bytes:
                left[name] = None
            else:
                held += needed
                features = StreamedHistogram(width, bins) if bins else None
                seen[name] = InputStatistics(width, axis, features=features)
        if name in seen:
            seen[name].add(to_tokens(values, axis))

    run(list(by_name), receive)
    return seen, list(left)


def _turn_static(values: Tensor, axis: int, scheme: Scheme, grid: Grid) -> Tensor:
    """On the one grid of the tensor, or on those of its features along the axis."""
    x = _to_array(values)
    if x.ndim < 2:
        x, axis = x.reshape(1, -1), 1
    if not x.size:
        return values
    layout = Grouping().lay_out(x.shape) if grid.scale.size == 1 else Grouping(1).lay_out(x.shape, axis=axis)
    return _to_tensor(pass_through(x, grid, layout, scheme.rounding).y, values)


def _turn_dynamic(values: Tensor, axis: int, scheme: Scheme, outer: Floats | None) -> Tensor:
    """On grids of each token, or of runs of its features; `outer` is the largest magnitude of all, (1,)."""
    if not values.numel():
        return values
    tokens = to_tokens(values, axis)
    layout = scheme.lay_out(tokens.shape)
    if outer is None:
        grid = lay_at_once(tokens, scheme, layout)
    else:
        found = scheme.find_statistic(tokens, layout)
        if not isinstance(found, LargestOfTensor):
            raise TypeError(f"{scheme} asks for {type(found).__name__} where an outer scale was expected")
        grid = scheme.lay_grid(replace(found, tensor=np.full_like(found.largest, outer[0])))
    y = torch.from_numpy(pass_through(tokens, grid, layout, scheme.rounding).y)
    if values.ndim < 2:
        return y.reshape(values.shape).to(values.dtype)
    moved = values.movedim(axis, -1).shape
    return y.reshape(moved).movedim(-1, axis).to(values.dtype)


def _to_array(values: Tensor) -> Floats:
    array: Floats = values.detach().float().contiguous().numpy()
    return array


def _to_tensor(y: Floats, like: Tensor) -> Tensor:
    return torch.from_numpy(np.ascontiguousarray(y)).reshape(like.shape).to(like.dtype)
