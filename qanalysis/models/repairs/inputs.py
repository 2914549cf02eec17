"""What do layers get while a model whose inputs are quantized, too, is repaired? What belongs to the repair, then the
quantization, on ranges of the prepared float model.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

from torch import Tensor

from qanalysis.models.activations.turns import calibrate_inputs
from qanalysis.models.repairs.stages import Draft, Task
from qanalysis.models.running.runnable import Turn


def turn_inputs(task: Task, draft: Draft) -> None:
    """Put what becomes of layers' inputs into the draft; those whose scheme does not fit stay float and are noted."""
    draft.inputs.update(draft.float_inputs)
    if task.activation_scheme is None:
        return
    watcher, scheme = task.watcher, task.activation_scheme
    layers = [layer for layer in task.layers if layer.has_real_input and layer.tensor.role not in ("bias", "norm")]
    grids = calibrate_inputs(
        task.model, watcher.calibration, layers, [scheme], batch=watcher.batch, change=draft.float_change
    )
    for layer in layers:
        watcher.check()
        try:
            turn = grids.turn(layer, scheme)
        except ValueError as error:
            draft.note(f"its input stays float: {error}", layer.name)
            continue
        own = draft.float_inputs.get(layer.name)
        draft.inputs[layer.name] = turn if own is None else partial(_apply, (own, turn))


def _apply(turns: Sequence[Turn], values: Tensor) -> Tensor:
    for turn in turns:
        values = turn(values)
    return values
