"""How is what calibration learned of layers' inputs written down and read back? As JSON, each range to its last bit."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import fields
from typing import Any

import numpy as np

from qanalysis.arrays import Floats
from qanalysis.models.activations.turns import InputGrid
from qanalysis.quantizers.scheme import Scheme
from qanalysis.quantizers.statistics import DoubledScale, LargestOfTensor, MeanMagnitude, Range, Statistic, Threshold

_KINDS: dict[str, type[Statistic]] = {
    "range": Range,
    "mean magnitude": MeanMagnitude,
    "threshold": Threshold,
    "largest of tensor": LargestOfTensor,
    "doubled scale": DoubledScale,
}
_WORDS = {kind: word for word, kind in _KINDS.items()}


def describe_inputs(inputs: Mapping[str, InputGrid]) -> dict[str, Any]:
    """Scheme and calibrated numbers of each layer's input, as plain values.

    >>> grid = InputGrid(Scheme.parse("int8"), Range(np.float32([-1]), np.float32([0.5])))
    >>> describe_inputs({"fc": grid})
    {'fc': {'scheme': 'int8', 'over': 'range', 'low': [-1.0], 'high': [0.5]}}
    """
    return {layer: _describe(grid) for layer, grid in inputs.items()}


def _describe(grid: InputGrid) -> dict[str, Any]:
    told: dict[str, Any] = {"scheme": str(grid.scheme)}
    if grid.outer is not None:
        told["outer"] = _list(grid.outer)
    if grid.statistic is not None:
        told["over"] = _WORDS[type(grid.statistic)]
        told |= {part.name: _list(getattr(grid.statistic, part.name)) for part in fields(grid.statistic)}
    return told


def _list(values: Floats) -> list[float]:
    return [float(value) for value in values]  # a float32 as float64, whose text reads back to the same


def read_inputs(told: Any) -> dict[str, InputGrid]:
    """The inverse of `describe_inputs`; ValueError for anything else."""
    try:
        items = list(told.items())
    except AttributeError:
        raise ValueError("the inputs of its layers are not told as they should be") from None
    return {layer: _read(layer, one) for layer, one in items}


def _read(layer: str, told: Any) -> InputGrid:
    try:
        kind = _KINDS[told["over"]] if "over" in told else None
        numbers = {part.name: np.asarray(told[part.name], np.float32) for part in fields(kind)} if kind else {}
        outer = np.asarray(told["outer"], np.float32) if "outer" in told else None
        scheme = Scheme.parse(told["scheme"])
    except (KeyError, TypeError, AttributeError, OverflowError) as error:
        raise ValueError(f"the input of {layer} is not told as it should be ({type(error).__name__})") from None
    arrays = [array for array in (*numbers.values(), outer) if array is not None]
    sizes = {array.shape for array in arrays}
    if len(sizes) > 1 or any(array.ndim != 1 or not array.size or not np.isfinite(array).all() for array in arrays):
        raise ValueError(f"the input of {layer} is not told by lists of finite numbers of one length")
    return InputGrid(scheme, kind(**numbers) if kind is not None else None, outer)
