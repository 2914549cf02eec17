"""How do ratios, bits and decibels relate? The two constants of the converter formula, and ratios that keep their edges.

A ratio without noise is infinite, one without a signal does not exist.
"""

from __future__ import annotations

import math

#: 6.0206: every bit halves the step.
DB_PER_BIT = 20 * math.log10(2)
#: 1.7609: a full-scale sine has 3/2 the power of a full-range uniform signal.
SINE_DB = 10 * math.log10(1.5)


def ratio_db(signal: float, noise: float) -> float | None:
    """10 log10 of two powers: infinite without noise, None without a signal.

    >>> ratio_db(2.0, 0.5), ratio_db(1.0, 0.0), ratio_db(0.0, 1.0)
    (6.020599913279624, inf, None)
    """
    if signal <= 0:
        return None
    if noise <= 0:
        return math.inf
    ratio = signal / noise
    # One rounding where the quotient can be held, so that scaling x by a power of two changes no digit.
    return 10 * (math.log10(ratio) if 0 < ratio < math.inf else math.log10(signal) - math.log10(noise))


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
