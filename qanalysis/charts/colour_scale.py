"""Which colour has a value? The limits of a table of cells, by the values or by their logarithm, and the axis of it."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from qanalysis.arrays import Doubles
from qanalysis.charts.cell_table import CellTable
from qanalysis.charts.palette import MAGNITUDE, SIGNED, Theme
from qanalysis.charts.wording import name_power
from qanalysis.notation import as_told, plain


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

    def place(self, values: Doubles, unit: str) -> list[list[float]]:
        """Values (layers, columns) of a unit on the colour axis, as they are told: rounded to the digits that people
        read, so that a place says its value.

        A logarithmic place has five decimals, from which four digits of the value follow. Infinite values lie at the
        ends of the axis, NaN is itself.
        """
        return [[self._place(value, unit) for value in layer] for layer in values.tolist()]

    def _place(self, value: float, unit: str) -> float:
        if math.isinf(value):
            return self.high if value > 0 else self.low
        told = as_told(value, unit)
        return round(math.log10(told), 5) if self.logarithmic and not math.isnan(told) else told

    def axis(self, table: CellTable, theme: Theme) -> dict[str, object]:
        """The colour axis: signed values about a neutral middle, everything else from dark to bright, bright where it
        is good.

        Signed are values of both signs of a metric without a good direction. Round numbers stand beside
        it; on a logarithmic axis whole powers of ten, with the metric's unit.
        """
        measure = table.measure
        signed = measure.better is None and self.low < 0 < self.high
        unit = f" ({measure.unit})" if measure.unit else ""
        bar: dict[str, object] = {"title": {"text": f"{measure.label}{unit}"}}
        length = max(110, min(320, table.row_height * len(table.tensors)))
        bar |= {"lenmode": "pixels", "len": length, "y": 1, "yanchor": "top"}
        reach = max(-self.low, self.high)
        limits = (-reach, reach) if signed else (self.low, self.high)
        if self.logarithmic:
            powers = list(range(math.ceil(self.low), math.floor(self.high) + 1))
            bar |= {"tickvals": powers, "ticktext": [name_power(10.0**power, measure.unit) for power in powers]}
        else:
            ticks = find_ticks(*limits)
            bar |= {"tickvals": ticks, "ticktext": [plain(tick) for tick in ticks]}
        return {
            "colorscale": SIGNED[theme] if signed else MAGNITUDE,
            "reversescale": measure.better == "lower",
            "cmin": limits[0],
            "cmax": limits[1],
            "colorbar": bar,
        }


def find_ticks(low: float, high: float) -> list[float]:
    """Round numbers between two limits, low < high: three to six, multiples of 1, 2 or 5 times a power of ten.

    >>> find_ticks(3.2, 48.9), find_ticks(-0.11, 0.11)
    ([10.0, 20.0, 30.0, 40.0], [-0.1, -0.05, 0.0, 0.05, 0.1])
    """
    power = 10.0 ** math.floor(math.log10((high - low) / 3))
    step = max(factor * power for factor in (1, 2, 5) if factor * power <= (high - low) / 3)
    return [float(f"{place * step:.12g}") for place in range(math.ceil(low / step), math.floor(high / step) + 1)]
