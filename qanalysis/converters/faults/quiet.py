"""Is what the sine fit leaves of a record so small everywhere that no sample and no stretch of it can be out of place?

Single samples count as wrong from eight deviations or three steps on, a tone as broken from 0.5 % of its amplitude on:
half of that at least is left on one side of the break, whatever sine is fitted.
"""

from __future__ import annotations

from qanalysis.arrays import Doubles
from qanalysis.converters.faults.sparkles import FEWEST, LIMIT_STEPS, OUTLYING, foretell_spread
from qanalysis.converters.spectrum.sinefit import SineFit, leave_tone

_ROOM = 0.75  # of the least error of a wrong sample, for noise on top of it
_LEAST_BREAK = 0.0015  # of the amplitude: a quarter turn between samples shows 0.7 of a half of 0.5 %


def is_quiet(values: Doubles, fit: SineFit, step: float) -> bool:
    """Whether nothing that `values` (samples,) hold beside the tone of `fit`, in their unit, can be a fault of samples;
    `step` is the LSB, 0 without one.
    """
    if values.size < FEWEST:
        return False
    rest = leave_tone(values, fit)
    peak = max(float(rest.max()), -float(rest.min()))
    if peak > _LEAST_BREAK * fit.amplitude:
        return False
    return peak <= _ROOM * max(LIMIT_STEPS * step, OUTLYING * foretell_spread(values, step))
