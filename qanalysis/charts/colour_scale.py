"""Which colour has a value? The limits of a table of cells, by the values or by their logarithm, and the axis of it."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from qanalysis.arrays import Doubles
from qanalysis.charts.cell_table import CellTable
from qanalysis.charts.palette import MAGNITUDE, SIGNED, Theme
from qanalysis.charts.wording import name_power


@dataclass(frozen=True)
class ColourScale:
    """How values become colours: the limits, in the metric's unit or as log10 of it where `logarithmic`."""

    low: float
    high: float
    logarithmic: bool

    @classmethod
    def of(cls, table: CellTable) -> ColourScale:
        """From the least to the largest finite value, by the logarithm where less is better and more than a factor of
        100 lies between two positive ends.

        0 to 1 without any finite value; one wide where all are equal.
        """
        finite = table.values[np.isfinite(table.values)]
        if not finite.size:
            return cls(0.0, 1.0, False)
        low, high = float(finite.min()), float(finite.max())
        if table.measure.better == "lower" and low > 0 and high > 100 * low:
            return cls(math.log10(low), math.log10(high), True)
        return cls(low, high if high > low else low + 1, False)

    def place(self, values: Doubles) -> NDArray[np.float32]:
        """Values (layers, columns) on the colour axis; infinite ones, and zero on a logarithmic axis, at its ends, NaN
        as itself.
        """
        with np.errstate(divide="ignore", invalid="ignore"):
            placed = np.log10(values) if self.logarithmic else values
        return np.where(np.isnan(placed), np.nan, np.clip(placed, self.low, self.high)).astype(np.float32)

    def axis(self, table: CellTable, theme: Theme) -> dict[str, object]:
        """The colour axis: signed values about a neutral middle, everything else from dark to bright, bright where it
        is good.

        Signed are values of both signs of a metric without a good direction. On a logarithmic axis whole powers of
        ten are named, with the metric's unit.
        """
        measure = table.measure
        signed = measure.better is None and self.low < 0 < self.high
        unit = f" ({measure.unit})" if measure.unit else ""
        bar: dict[str, object] = {"title": {"text": f"{measure.label}{unit}"}}
        length = max(110, min(320, table.row_height * len(table.tensors)))
        bar |= {"lenmode": "pixels", "len": length, "y": 1, "yanchor": "top"}
        if self.logarithmic:
            powers = list(range(math.ceil(self.low), math.floor(self.high) + 1))
            bar |= {"tickvals": powers, "ticktext": [name_power(10.0**power, measure.unit) for power in powers]}
        reach = max(-self.low, self.high)
        limits = (-reach, reach) if signed else (self.low, self.high)
        return {
            "colorscale": SIGNED[theme] if signed else MAGNITUDE,
            "reversescale": measure.better == "lower",
            "cmin": limits[0],
            "cmax": limits[1],
            "colorbar": bar,
        }
