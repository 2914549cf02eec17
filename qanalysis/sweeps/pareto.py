"""Which points does no other beat, where one figure is to be small and another large?"""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import groupby


def pareto_front(costs: Sequence[float | None], gains: Sequence[float | None]) -> list[bool]:
    """Whether each point is on the front: no other costs at most as much, gains at least as much, and is better in one.

    Costs and gains, such as bits per weight and dB, may be infinite. Points that are equal in both share their place;
    one whose cost or gain is None or NaN is never on the front and beats nothing. ValueError for lists of different
    length.

    >>> pareto_front([2, 4, 4, 8, 8], [9.0, 20.1, 15.0, 20.1, math.inf])
    [True, True, False, False, True]
    """
    points = list(zip(costs, gains, strict=True))
    known = [
        (cost, gain, place)
        for place, (cost, gain) in enumerate(points)
        if cost is not None and gain is not None and not math.isnan(cost) and not math.isnan(gain)
    ]
    front, best = [False] * len(points), None
    for _cost, group in groupby(sorted(known), key=lambda point: point[0]):
        equal = list(group)
        most = max(gain for _, gain, _ in equal)
        if best is None or most > best:
            for _, gain, place in equal:
                front[place] = gain == most
            best = most
    return front
