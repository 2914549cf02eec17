"""What becomes of a layer's weight under a scheme? Its quantized values, kept while they are asked for again."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Sequence

from qanalysis.arrays import Floats
from qanalysis.checkpoints.source import TensorInfo
from qanalysis.models.running.runnable import Change, Layer, Runnable
from qanalysis.models.sensitivity.cells import Cell
from qanalysis.quantizers.passing import pass_through
from qanalysis.quantizers.scheme import Scheme


class Quantized:
    """The quantized tensors of a model, made when asked for; up to `keep_bytes` of them are kept."""

    def __init__(self, model: Runnable, *, keep_bytes: int = 1 << 29) -> None:
        self._model, self._keep_bytes = model, keep_bytes
        self._kept = OrderedDict[tuple[str, str], Floats]()
        self._held = 0

    def find(self, info: TensorInfo, scheme: Scheme) -> Floats:
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

    def change(self, cell: Cell) -> Change:
        """What a cell changes; ValueError where its scheme fits none of its layers."""
        return Change(self.weights_of(cell.changed, cell.scheme))

    def weights_of(self, layers: Sequence[Layer], scheme: Scheme) -> dict[str, Floats]:
        """The quantized weights of some layers by tensor."""
        return {layer.tensor.name: self.find(layer.tensor, scheme) for layer in layers}


def quantize(values: Floats, scheme: Scheme, info: TensorInfo) -> Floats:
    """A tensor's round trip through a scheme over its own matrix view; ValueError where the scheme does not fit.

    What is not finite stays as it is.
    """
    fitted = scheme.fit(values, axis=info.view)
    return pass_through(values, fitted.grid, fitted.layout, fitted.rounding).y
