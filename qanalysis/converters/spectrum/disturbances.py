"""What else than the tone, its harmonics and noise is in a record: slow content, or modulation of the tone?

Both are found in the residual of the sine fit, where no lobe of a window hides them and no end of the record is
weighted down. A line's height is that of its bin in the plain DFT of the residual, bins counted from DC or from the
tone.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from qanalysis.arrays import Doubles
from qanalysis.converters.spectrum.coherence import fold_cycles

DisturbanceKind = Literal["drift", "line", "settling", "amplitude", "phase", "beside"]
#: Chance of noise to pass for one of them, by model tried: some sixty independent ones are.
CHANCE = 2e-6
_HIGHEST_FOLDED = 9  # harmonics of higher orders are rarely above the noise
_SAME = 0.4  # periods per record within which two lines are one


@dataclass(frozen=True, slots=True)
class Disturbance:
    """Something found in the residual of a tone, in the unit of the residual.

    Parameters
    ----------
    kind : drift, a slow line, settling at the start, modulation of amplitude or phase, or lines beside the tone that
        are neither.
    cycles : periods per record of the line or the modulation; of a drift 0.
    size : peak to peak of a drift; amplitude of a line; start of a settling; depth of a modulation, a share or rad.
    place, height : bin and mean square of its largest line.
    power : mean square of all of it.
    unseen : the part of `power` that the window of the view does not see.
    time_constant, until : of a settling, in samples; the sample from which on it is below the noise.
    """

    kind: DisturbanceKind
    cycles: float
    size: float
    place: int
    height: float
    power: float
    unseen: float
    time_constant: float = 0.0
    until: int = 0

    @property
    def is_slow(self) -> bool:
        """Whether it lies beside DC, and not beside the tone."""
        return self.kind in {"drift", "line", "settling"}

    def holds(self, place: int, tone: float, reach: int, samples: int) -> bool:
        """Whether the line at a bin is one of its lines, which reach so many bins more to each side of their own."""
        if self.kind == "drift":
            return place <= 2 + reach
        if self.kind == "settling":
            return place <= 1 + samples / (2 * math.pi * self.time_constant) + reach
        away = place - self.cycles if self.kind == "line" else abs(place - tone) - self.cycles
        return abs(away) <= 1 + reach


@dataclass(frozen=True, slots=True)
class Scene:
    """What the search knows of its record: the residual (samples,), the tones in periods per record, strongest first,
    and the window (points,) as the averages see it; None where none is laid over the record.
    """

    residual: Doubles
    tones: Sequence[float]
    window: Doubles | None
    side_bins: int

    def is_distortion(self, cycles: float) -> bool:
        """Whether a line so far from DC is a harmonic of a tone, or a product of two of order 2 or 3."""
        samples = self.residual.size
        places = [order * tone for tone in self.tones for order in range(2, _HIGHEST_FOLDED + 1)]
        if len(self.tones) > 1:
            first, second = self.tones[:2]
            places += [second - first, first + second, 2 * first - second, 2 * second - first]
        return any(abs(fold_cycles(abs(place), samples) - cycles) <= _SAME for place in places)

    def hide(self, values: Doubles) -> float:
        """How much less of the mean square of averages (points,) the window sees, about its weighted mean."""
        power = float(values @ values) / values.size
        if self.window is None:
            return 0.0
        window = self.window
        squares = window**2
        rest = values - float(window @ values) / float(window.sum())
        return power - float(squares @ rest**2) / float(squares.sum())
