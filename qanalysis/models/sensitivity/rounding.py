"""How many digits does a document keep of what is no row? Nine, so that figures can be found from it again."""

from __future__ import annotations

import math
from typing import Any

from qanalysis.arrays import Doubles

_DIGITS = 9


def round_figure(value: float | None) -> float | None:
    """Nine significant digits; None where the figure is not finite.

    >>> round_figure(1 / 3), round_figure(float("inf"))
    (0.333333333, None)
    """
    return None if value is None or not math.isfinite(value) else float(f"{value:.{_DIGITS}g}")


def round_all(values: Doubles | Any) -> list[float | None]:
    """The same of each of many."""
    return [round_figure(value) for value in values.tolist()]
