"""What does a cell change? Weights become their quantized values, inputs are quantized as they come."""

from __future__ import annotations

from collections import Counter, OrderedDict
from collections.abc import Mapping
from dataclasses import dataclass

from qanalysis.arrays import Floats
from qanalysis.checkpoints.source import TensorInfo
from qanalysis.models.activations.turns import InputGrids
from qanalysis.models.running.runnable import Change, Layer, Runnable, Turn
from qanalysis.models.sensitivity.cells import Cell
from qanalysis.notation import quote, shorten
from qanalysis.quantizers.passing import pass_through
from qanalysis.quantizers.scheme import Scheme

#: Quantized tensors are kept up to so many bytes, so that the next chunk of samples need not make them again.
KEEP_BYTES = 1 << 29

_NO_INPUT = "its input holds no real numbers, such as the tokens of an embedding: there is nothing to quantize"


@dataclass(frozen=True, slots=True, eq=False)
class Made:
    """A change, and what to know of it: which layers stay as they are, since the scheme does not fit them."""

    change: Change
    note: str = ""


class Changes:
    """The changes of a model, made when asked for. `inputs` are the grids of inputs where activations are a target."""

    def __init__(self, model: Runnable, inputs: InputGrids | None = None, *, keep_bytes: int = KEEP_BYTES) -> None:
        self._model, self._inputs, self._keep_bytes = model, inputs, keep_bytes
        self._weights = Counter(layer.name for layer in model.layers if layer.tensor.role == "weight")
        self._kept = OrderedDict[tuple[str, str], Floats]()
        self._held = 0

    def quantize(self, info: TensorInfo, scheme: Scheme) -> Floats:
        """The values of a tensor under a scheme, its shape; ValueError where the scheme does not fit it."""
        key = (info.name, str(scheme))
        if key in self._kept:
            self._kept.move_to_end(key)
            return self._kept[key]
        values = quantize(self._model.read(info), scheme, info)
        self._kept[key] = values
        self._held += values.nbytes
        while self._held > self._keep_bytes and len(self._kept) > 1:
            self._held -= self._kept.popitem(last=False)[1].nbytes
        return values

    def make(self, cell: Cell) -> Made:
        """What a cell changes. Of several layers those stay as they are that the scheme does not fit, and the note
        counts them; ValueError where it fits none.
        """
        refusals = dict[str, str]()
        weights, inputs = dict[str, Floats](), dict[str, Turn]()
        for layer in cell.changed:
            try:
                if cell.target != "activations":
                    weights[layer.tensor.name] = self.quantize(layer.tensor, cell.scheme)
                if cell.target != "weights" and layer.has_real_input:
                    inputs[layer.name] = self._turn(layer, cell.scheme)
            except ValueError as error:
                weights.pop(layer.tensor.name, None)
                refusals[layer.tensor.name] = str(error)
        if cell.changed and not weights and not inputs:
            raise ValueError(next(iter(refusals.values()), _NO_INPUT))
        told = [_count(refusals, len(cell.changed)), *_tell_rounding(cell, weights), self._tell_shared(cell)]
        if inputs and cell.scheme.rounding.is_stochastic:
            told.append("draws over inputs depend on how many samples run at once")
        if cell.target == "both" and not inputs:
            told.append("its input holds no real numbers: the weights alone are quantized")
        return Made(Change(weights, inputs), "; ".join(filter(None, told)))

    def _tell_shared(self, cell: Cell) -> str:
        """Whose input is quantized where a module, such as a recurrent one, has several weights."""
        name = cell.layer.name
        if (
            cell.target == "weights"
            or len(cell.changed) != 1
            or self._weights[name] < 2
            or not cell.layer.has_real_input
        ):
            return ""
        return f"quantized is the input of {quote(shorten(name))}, which has {self._weights[name]} weights"

    def _turn(self, layer: Layer, scheme: Scheme) -> Turn:
        if self._inputs is None:
            raise ValueError(f"layer {quote(shorten(layer.name))}: its input was not calibrated; name its target")
        return self._inputs.turn(layer, scheme)


def _tell_rounding(cell: Cell, weights: Mapping[str, Floats]) -> list[str]:
    """In which narrow types the model holds what was quantized."""
    kinds = {layer.tensor.dtype for layer in cell.changed if layer.tensor.name in weights and not layer.tensor.stored}
    narrow = sorted(kinds - {"float32", "float64"})
    return [f"quantized values are rounded to {' and '.join(narrow)}, as the model holds them"] if narrow else []


def _count(refusals: dict[str, str], layers: int) -> str:
    if not refusals:
        return ""
    name, why = next(iter(refusals.items()))
    return f"{len(refusals)} of {layers} layers stay as they are, first {quote(shorten(name))}: {why}"


def quantize(values: Floats, scheme: Scheme, info: TensorInfo) -> Floats:
    """A tensor's round trip through a scheme over its own matrix view; ValueError where the scheme does not fit.

    What is not finite stays as it is.
    """
    fitted = scheme.fit(values, axis=info.view)
    return pass_through(values, fitted.grid, fitted.layout, fitted.rounding).y
