"""How far is each layer's output from that of the float model? Energies over all batches, which add."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable

import torch
from torch import Tensor

from qanalysis.models.running.runnable import Receive


class FloatOutputs:
    """What the layers of the float model return for one batch, call by call, with their energies."""

    def __init__(self) -> None:
        self._calls = dict[str, list[tuple[Tensor, float]]]()

    def receive(self, layer: str, values: Tensor) -> None:
        """The next output of a layer."""
        self._calls.setdefault(layer, []).append((values.clone(), _energy(values)))

    def compare(self, errors: LayerErrors, rescale: Callable[[str, Tensor], Tensor]) -> Receive:
        """What adds the outputs of a changed run to `errors`; outputs of another shape or call count are left out.

        `rescale` brings a layer's output to the scale that it has in the float model.
        """
        seen = Counter[str]()

        def receive(layer: str, values: Tensor) -> None:
            calls = self._calls.get(layer, [])
            place = seen[layer]
            seen[layer] += 1
            if place < len(calls) and calls[place][0].shape == values.shape:
                own, energy = calls[place]
                errors.add(layer, energy, _energy(rescale(layer, values) - own))

        return receive


class LayerErrors:
    """Energy of each layer's output and of its error, summed over batches."""

    def __init__(self) -> None:
        self._signal, self._error = dict[str, float](), dict[str, float]()

    def add(self, layer: str, signal: float, error: float) -> None:
        """Energies of one more output."""
        self._signal[layer] = self._signal.get(layer, 0.0) + signal
        self._error[layer] = self._error.get(layer, 0.0) + error

    @property
    def relative(self) -> dict[str, float]:
        """√(Σe² / Σo²) by layer; layers without a signal are left out."""
        return {
            layer: math.sqrt(self._error[layer] / signal)
            for layer, signal in self._signal.items()
            if signal > 0 and math.isfinite(self._error[layer])
        }


def _energy(values: Tensor) -> float:
    """Σ x²: the norm of each row in its own type, a tenth of the time of float64, and the rest in float64."""
    rows = values.detach().reshape(-1, values.shape[-1] if values.ndim else 1)
    return float(torch.linalg.vector_norm(rows, dim=-1).double().square().sum())
