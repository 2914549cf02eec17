"""Does a record rise, or fall, evenly all along? It is then a ramp, a counter or a time axis, and no tone.

A polynomial of degree 3 is fitted to averages of the record; its terms of degree 2 and 3 count where they are beyond
noise. A ramp's slope nowhere falls below half of its steepest, and averages leave next to nothing of what the
polynomial does not explain. A tone beside it that holds a hundredth of its power or more makes it a drift.
"""

from __future__ import annotations

import numpy as np

from qanalysis.arrays import Doubles
from qanalysis.converters.findings import Finding
from qanalysis.converters.spectrum.thinning import WHITE, draw_trend, project_trends, thin_head

#: Code of the finding that a record rises or falls evenly.
RAMP = "ramp-not-tone"
_DEGREE = 3
_STEADY = 0.5  # of the steepest slope
_CERTAIN = 4.0  # deviations of noise
_BUMPS = 0.003  # of the ramp's power, in the averages
_TONE = 0.01  # of the ramp's power
_GRID = 65


def is_even(centred: Doubles) -> bool:
    """Whether a record (samples,) of mean 0 rises or falls evenly all along; noise may hide much of it.

    >>> [is_even(record - record.mean()) for record in (np.arange(999.0), np.sin(np.arange(999) * np.pi / 999))]
    [True, False]
    """
    thinned = thin_head(centred)
    values = thinned.values
    shares = project_trends(values, _DEGREE)
    rest = values - draw_trend(values.size, shares)
    left, power = float(rest @ rest), float(shares[1] ** 2)
    # Second differences of neighbours know noise from slow shapes: 6 of their variance, of an average's overlap 7/6.
    bends = np.diff(values[::2], 2)
    noise = float(bends @ bends) / bends.size / 6
    if not power > (_CERTAIN * 2) ** 2 * noise / WHITE:
        return False
    sure = np.abs(shares) > _CERTAIN * np.sqrt(noise / WHITE)
    shares = np.where(sure, shares, 0.0)
    slopes = np.diff(draw_trend(_GRID, shares)) * np.sign(shares[1])
    hiss = noise * (values.size + _CERTAIN * np.sqrt(2 * values.size))
    return bool(slopes.min() >= _STEADY * slopes.max() and left <= hiss + _BUMPS * power)


def remove_line(centred: Doubles) -> Doubles:
    """What is left of a record (samples,) of mean 0 beside its best straight line."""
    times = np.arange(centred.size) - (centred.size - 1) / 2
    rest: Doubles = centred - times * (float(times @ centred) / float(times @ times))
    return rest


def is_drift(whole: float, tone: float) -> bool:
    """Whether a tone of the power `tone` beside a ramp makes it a drift; `whole` is the record's mean square."""
    return tone > _TONE * whole


def judge_ramp(centred: Doubles) -> Finding:
    """A ramp has no dynamic figures."""
    times = np.arange(centred.size) - (centred.size - 1) / 2
    slope = float(times @ centred) / float(times @ times)
    text = (
        f"The record {'rises' if slope > 0 else 'falls'} evenly all along: a ramp, a counter or a time axis, and no "
        "tone. SINAD, SNR, THD, SFDR and ENOB need a tone: choose another column or channel, or test a ramp's "
        "linearity."
    )
    return Finding(RAMP, text, slope)
