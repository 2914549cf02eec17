"""How is a number with a unit written? Engineering notation: powers of a thousand as SI prefixes, for charts, tables and worked steps alike."""

from __future__ import annotations

import math

_PREFIXES = {-15: "f", -12: "p", -9: "n", -6: "µ", -3: "m", 0: "", 3: "k", 6: "M", 9: "G", 12: "T", 15: "P"}


def si(value: float, unit: str = "", *, digits: int = 3) -> str:
    """A number with `digits` significant digits, SI prefix and unit, written as axes are where there is no unit.

    >>> si(0.00134), si(2_400_000, "B"), si(0), si(float("inf"), "dB")
    ('1.34m', '2.4 MB', '0', '∞ dB')
    """
    prefix = ""
    if not math.isfinite(value):
        number = "n/a" if math.isnan(value) else "∞" if value > 0 else "−∞"
    else:
        rounded = float(f"{value:.{digits}g}")
        power = 3 * math.floor(math.log10(abs(rounded)) / 3) if rounded else 0
        prefix = _PREFIXES.get(power, "")
        number = f"{rounded / 10.0**power:.{digits}g}" if power in _PREFIXES else f"{rounded:.{digits}g}"
        number = number.replace("-", "−", 1) if value < 0 else number
    return f"{number}{' ' if unit else ''}{prefix}{unit}"


def volts(value: float, *, digits: int = 7) -> str:
    """A voltage with the digits of a worked problem.

    >>> volts(10 / 4096)
    '2.441406 mV'
    """
    return si(value, "V", digits=digits)
