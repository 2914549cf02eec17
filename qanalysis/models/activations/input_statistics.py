"""What does calibration know of a layer's input? Histograms over all of it, and of each feature, and averaged ends.

Values go through and are forgotten; only counts, sums and extremes stay.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

import numpy as np
from torch import Tensor

from qanalysis.arrays import Doubles, Floats
from qanalysis.models.activations.histograms import StreamedHistogram
from qanalysis.quantizers.statistics import Range

#: How the ends of a range come from batches: over all values, or as an exponential moving average of batches' ends.
Averaging = Literal["none", "moving"]
AVERAGINGS: tuple[Averaging, ...] = ("none", "moving")
#: What the ends so far keep of themselves at each batch.
MOMENTUM = 0.9
#: Bins of each sign over all values: more than of a feature, as one outlier sets the span of all.
TENSOR_BINS = 1 << 14


@dataclass(slots=True, eq=False)
class Ends:
    """Smallest and largest value of each group, the first batch's, then moved by a tenth toward each next batch's."""

    low: Doubles | None = None
    high: Doubles | None = None

    def add(self, low: Doubles, high: Doubles) -> None:
        """The ends of one more batch, (groups,)."""
        self.low = low if self.low is None else MOMENTUM * self.low + (1 - MOMENTUM) * low
        self.high = high if self.high is None else MOMENTUM * self.high + (1 - MOMENTUM) * high

    @property
    def range(self) -> Range | None:
        """The averaged ends, None where nothing was seen."""
        if self.low is None or self.high is None:
            return None
        return Range(self.low.astype(np.float32), self.high.astype(np.float32))


@dataclass(slots=True, eq=False)
class InputStatistics:
    """What was seen of an input of `width` features along `feature_axis`: `tensor` over all of it, `features` one
    group for each (None where nobody asks), their averaged ends, and how many tokens.
    """

    width: int
    feature_axis: int = 1
    tensor: StreamedHistogram = field(default_factory=lambda: StreamedHistogram(1, TENSOR_BINS))
    features: StreamedHistogram | None = None
    tensor_ends: Ends = field(default_factory=Ends)
    feature_ends: Ends = field(default_factory=Ends)
    tokens: int = 0

    def add(self, tokens: Floats) -> None:
        """One batch as a matrix (tokens, features); ValueError for another width."""
        if tokens.shape[1] != self.width:
            raise ValueError(f"an input of {tokens.shape[1]} features after one of {self.width}; both must be alike")
        if not len(tokens):
            return
        self.tokens += len(tokens)
        self.tensor.add(tokens.reshape(-1, 1))
        if self.features is not None:
            self.features.add(tokens)
        known = np.where(np.isfinite(tokens), tokens, np.float32(np.nan))
        if np.isfinite(known).any(axis=0).all():
            low, high = np.nanmin(known, axis=0).astype(np.float64), np.nanmax(known, axis=0).astype(np.float64)
            self.feature_ends.add(low, high)
            self.tensor_ends.add(low.min(keepdims=True), high.max(keepdims=True))


def to_tokens(values: Tensor, feature_axis: int) -> Floats:
    """An activation as its matrix (tokens, features), float32; a lone vector is one token."""
    if values.ndim < 2:
        values, feature_axis = values.reshape(1, -1), 1
    moved = values.detach().float().movedim(feature_axis, -1)
    matrix: Floats = moved.reshape(-1, moved.shape[-1]).contiguous().numpy()
    return matrix


def name_type(values: Tensor) -> str:
    """The number type of an activation in numpy's spelling.

    >>> name_type(Tensor([1.0]))
    'float32'
    """
    return str(values.dtype).removeprefix("torch.")
