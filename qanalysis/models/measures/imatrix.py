"""Which weights does an importance matrix give to a model's tensors, and what importance matrix does a model have?"""

from __future__ import annotations

import re
import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from torch import Tensor

from qanalysis.arrays import Doubles
from qanalysis.checkpoints.gguf_names import GgufName, match_names, name_for_gguf
from qanalysis.checkpoints.imatrix import Imatrix, Importance
from qanalysis.checkpoints.source import TensorInfo
from qanalysis.models.calibration.samples import Calibration
from qanalysis.models.measures.input_moments import gather_inputs
from qanalysis.models.measures.input_sums import LayerInputs, Limits
from qanalysis.models.measures.uses import Use, cut_use, make_whole_use
from qanalysis.models.running.runnable import Layer, Runnable
from qanalysis.models.running.torch_model import TorchModel
from qanalysis.notation import quote

#: What a stack of the gate and the other projection in one is called in GGUF; llama.cpp may keep them apart, and either
#: has the inputs of both.
_FUSED = re.compile(r"(?<=\.ffn)_gate(_up)?(?=_exps\.)")
_PARTS = ("_gate", "_up", "_gate_up")


@dataclass(frozen=True, slots=True, eq=False)
class Weights:
    """Mean squares (width,) of the inputs of each part of a tensor, and what to know of them, empty for nothing."""

    squares: Mapping[Use, Doubles]
    note: str = ""


class ImportedWeights:
    """The weights of an importance matrix for the tensors of a model, found by their names or those of GGUF."""

    def __init__(self, model: Runnable, imatrix: Imatrix) -> None:
        self._imatrix = imatrix
        self._own = {layer.tensor.name: layer.tensor for layer in model.layers}
        self._model = model
        names = [name for info in self._own.values() for name in (info.name, *info.aliases)]
        self._matched = match_names(names, imatrix.entries)

    def find(self, layer: Layer) -> Weights:
        """The weights of a layer's tensor as it lies in memory."""
        info = self._own[layer.tensor.name]
        matched = next((self._matched[name] for name in (info.name, *info.aliases) if name in self._matched), None)
        if matched is None:
            return Weights({}, f"the importance matrix {quote(self._imatrix.name)} has no entry for it")
        try:
            use = make_whole_use(info, self._find_memory(info))
            return _weigh(use, matched, self._imatrix.entries[matched.name])
        except ValueError as error:
            return Weights({}, f"entry {quote(matched.name)} of the importance matrix does not fit: {error}")

    def _find_memory(self, info: TensorInfo) -> Tensor | None:
        return self._model.find(info.name).value.detach() if isinstance(self._model, TorchModel) else None


def _weigh(use: Use, matched: GgufName, entry: Importance) -> Weights:
    rows = entry.split(use.width)
    if matched.expert is not None:
        if matched.expert >= len(rows.squares):
            raise ValueError(f"it has {len(rows.squares)} experts")
        one = slice(matched.expert, matched.expert + 1)
        rows = Importance(rows.squares[one], rows.counts[one])
    parts = cut_use(use, len(rows.squares))
    squares = {part: row for part, row, count in zip(parts, rows.squares, rows.counts, strict=True) if count}
    unmet = len(parts) - len(squares)
    if not squares:
        return Weights({}, f"entry {quote(matched.name)} of the importance matrix holds no data for it")
    return Weights(squares, f"{unmet} of its {len(parts)} matrices have no data and are left out" if unmet else "")


def collect_imatrix(
    model: Runnable,
    calibration: Calibration,
    layers: Sequence[Layer],
    *,
    batch: int = 64,
    cancel: threading.Event | None = None,
) -> Imatrix:
    """The model's own statistics as an importance matrix, under the names that GGUF has for the tensors, or their own
    where it has none. Tensors that are only looked up, and those whose parts are of several sizes, are left out.

    Raises ValueError where the model does not run.
    """
    inputs = gather_inputs(model, calibration, layers, batch=batch, limits=Limits(0, 0), cancel=cancel)
    infos = {layer.tensor.name: layer.tensor for layer in layers}
    found = {name: one for name, one in ((name, _stack(infos[name], one)) for name, one in inputs.found.items()) if one}
    names = name_for_gguf(list(found))
    entries, experts = dict[str, Importance](), dict[str, dict[int, Importance]]()
    for name, one in found.items():
        matched = names.get(name, GgufName(name))
        if name.endswith(".gate_up_proj"):
            entries |= {_FUSED.sub(part, matched.name): one for part in _PARTS}
        elif matched.expert is None:
            entries[matched.name] = one
        else:
            experts.setdefault(matched.name, {})[matched.expert] = one
    entries |= {name: _merge(some) for name, some in experts.items()}
    return Imatrix(entries, model.name, chunks=len(calibration))


def _stack(info: TensorInfo, inputs: LayerInputs) -> Importance | None:
    """The mean squares of a tensor's parts, one row each where they are alike, those that met nothing too."""
    uses = [use for use, one in inputs.moments.items() if one.count]
    sizes = {(use.outputs, use.width) for use in uses}
    if len(sizes) != 1:
        return None
    outputs, width = sizes.pop()
    parts = info.numel // (outputs * width)
    squares, counts = np.zeros((parts, width)), np.zeros(parts)
    for use in uses:
        place = use.offset // (outputs * width)
        squares[place] += inputs.moments[use].squares
        counts[place] += inputs.moments[use].count
    return Importance(squares / np.maximum(counts, 1)[:, None], counts)


def _merge(experts: Mapping[int, Importance]) -> Importance:
    """Single experts as one stack."""
    width = next(iter(experts.values())).squares.shape[1]
    squares, counts = np.zeros((max(experts) + 1, width)), np.zeros(max(experts) + 1)
    for number, one in experts.items():
        squares[number], counts[number] = one.squares[0], one.counts[0]
    return Importance(squares, counts)
