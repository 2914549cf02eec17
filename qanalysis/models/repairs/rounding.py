"""How are the weights of a draft rounded? Layer by layer in the order of a run; what a rounder can not do goes to the
nearest level.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from qanalysis.models.repairs.levels import settle
from qanalysis.models.repairs.moments import WIDEST, InputMoments, part_spreads
from qanalysis.models.repairs.spreading import Spread, find_spread
from qanalysis.models.repairs.stages import Draft, Rounder, Task
from qanalysis.models.running.runnable import Layer


def round_layers(task: Task, draft: Draft, rounder: Rounder | None) -> None:
    """Put the quantized weights of all layers into the draft; without a rounder each at its nearest level."""
    if rounder is None:
        for layer in task.layers:
            _round_nearest(task, draft, layer)
        return
    spreads = find_spreads(task, task.layers, draft)
    for layers in _order(task, spreads):
        wanted = {layer.name: spreads[layer.name] for layer in layers if layer.name in spreads}
        change = draft.change if task.is_sequential else draft.float_change
        found = task.watcher.gather(wanted, change=change) if wanted else {}
        for layer in layers:
            task.watcher.check()
            _round_nearest(task, draft, layer)
            if layer.name in found:
                _round_better(task, draft, layer, rounder, found[layer.name])
            elif layer.name in wanted:
                draft.note("it does not run on these samples; rounded to the nearest", layer.name)


def find_spreads(task: Task, layers: Sequence[Layer], draft: Draft) -> dict[str, Spread]:
    """How inputs meet weights, of the layers for which that is known; the others are noted."""
    found = dict[str, Spread]()
    for layer in layers:
        try:
            spread = find_spread(task.model, layer)
        except ValueError as error:
            draft.note(f"{error}; rounded to the nearest", layer.name)
            continue
        if spread.groups * spread.width**2 > WIDEST**2:
            draft.note(f"its input is wider than {WIDEST} features; rounded to the nearest", layer.name)
        else:
            found[layer.name] = spread
    return found


def _order(task: Task, spreads: Mapping[str, Spread]) -> list[list[Layer]]:
    """Layers that are rounded for inputs of one run."""
    if task.is_sequential:
        return [[layer] for layer in task.layers]
    parts = [set(part) for part in part_spreads(spreads)]
    watched = [[layer for layer in task.layers if layer.name in part] for part in parts]
    return [*watched, [layer for layer in task.layers if layer.name not in spreads]]


def _round_nearest(task: Task, draft: Draft, layer: Layer) -> None:
    info = layer.tensor
    values = draft.read(task.model, info)
    try:
        quantizer = task.scheme.fit(values, axis=info.view)
        draft.weights[info.name] = quantizer.decode(quantizer.encode(values))
        draft.quantizers[info.name] = quantizer
    except ValueError as error:
        draft.note(f"left as it is: {error}", layer.name)


def _round_better(task: Task, draft: Draft, layer: Layer, rounder: Rounder, moments: InputMoments) -> None:
    name = layer.tensor.name
    quantizer, matrix = draft.quantizers.get(name), moments.matrix
    if quantizer is None or matrix is None:
        return
    values = draft.read(task.model, layer.tensor)
    try:
        if not (np.isfinite(values).all() and np.isfinite(matrix).all()):
            raise ValueError("its weights or inputs are not all finite")
        rounded = rounder.round(values, quantizer, matrix, task.watcher.check)
        settled = settle(quantizer, rounded.values)
    except (ValueError, np.linalg.LinAlgError) as error:
        draft.note(f"{error}; rounded to the nearest", layer.name)
        return
    if rounded.note:
        draft.note(rounded.note, layer.name)
    if not np.array_equal(settled, draft.weights[name]):
        draft.touched.add(name)
    draft.weights[name] = settled
