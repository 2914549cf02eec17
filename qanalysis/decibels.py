"""How do ratios, bits and decibels relate? The two constants of the converter formula, and ratios that keep their
edges.

A ratio without noise is infinite, one without a signal does not exist. Powers are sums or means of squares, both of one
unit.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

#: 6.0206: every bit halves the step.
DB_PER_BIT = 20 * math.log10(2)
#: 1.7609: a full-scale sine has 3/2 the power of a full-range uniform signal.
SINE_DB = 10 * math.log10(1.5)


def ratio_db(signal: float, noise: float) -> float | None:
    """10 log10 of two powers: infinite without noise, None without a signal.

    >>> ratio_db(2.0, 0.5), ratio_db(1.0, 0.0), ratio_db(0.0, 1.0)
    (6.020599913279624, inf, None)
    """
    return gain_db(signal, noise) if signal > 0 else None


def gain_db(before: float, after: float) -> float:
    """10 log10 of what a power, above zero, becomes: positive where it falls, infinite where nothing is left.

    >>> gain_db(1.0, 0.1), gain_db(1.0, 0.0)
    (10.0, inf)
    """
    if after <= 0:
        return math.inf
    ratio = before / after
    # One rounding where the quotient can be held, so that scaling x by a power of two changes no digit.
    return 10 * (math.log10(ratio) if 0 < ratio < math.inf else math.log10(before) - math.log10(after))


def ratios_db(signal: ArrayLike, noise: ArrayLike) -> Any:
    """`ratio_db` element by element, of numbers or arrays that broadcast: float64, NaN in place of None.

    NaN in either power gives NaN.

    >>> ratios_db([2.0, 1.0, 0.0], [0.5, 0.0, 1.0])
    array([6.02059991,        inf,        nan])
    """
    with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
        ratio = np.true_divide(signal, noise)
        held = np.isfinite(ratio) & (ratio > 0)
        db = 10 * np.where(held, np.log10(ratio), np.log10(signal) - np.log10(noise))
    return np.where(np.less_equal(signal, 0), np.nan, np.where(np.less_equal(noise, 0), np.inf, db))


def level_db(power: float, reference: float) -> float:
    """10 log10 of a power over a reference, a level: -inf where there is nothing, inf over nothing.

    >>> level_db(2.0, 0.5), level_db(1.0, 0.0), level_db(0.0, 1.0)
    (6.020599913279624, inf, -inf)
    """
    level = ratio_db(float(power), float(reference))
    return -math.inf if level is None else level


def enob(sqnr_db: float) -> float:
    """Bits of the ideal sine quantizer with this ratio, (SQNR - 1.7609) / 6.0206; infinite for zero error.

    >>> round(enob(6.0206 * 12 + 1.7609), 4)
    12.0
    """
    return (sqnr_db - SINE_DB) / DB_PER_BIT
