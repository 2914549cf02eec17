"""Which static range would each rule choose for an activation, and what would it cost? Told from its histogram."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from qanalysis.decibels import ratio_db
from qanalysis.models.activations.activation_sums import ActivationSums
from qanalysis.models.activations.histograms import StreamedHistogram
from qanalysis.models.activations.static_ranges import HistogramSearch, find_static
from qanalysis.quantizers.grouping import Grouping
from qanalysis.quantizers.ranges import MinMax, RangeRule, parse_range
from qanalysis.quantizers.scheme import Scheme
from qanalysis.quantizers.statistics import Range

#: What every activation is tried with, beside the averaged ends.
RULES: tuple[RangeRule, ...] = tuple(
    map(parse_range, ("minmax", "percentile:99.9", "percentile:99.99", "meanstd:3", "mse:100", "kl:2048"))
)
MOVING = "moving average"
#: Integers wider than this have bins that are coarser than their steps.
_WIDEST_BITS = 8


def choose_formats(schemes: Sequence[Scheme]) -> list[Scheme]:
    """The integers among some schemes with one static range over all values, each once."""
    found = [
        replace(scheme, grouping=Grouping(), range=MinMax())
        for scheme in schemes
        if scheme.format.is_integer and scheme.format.bits <= _WIDEST_BITS
    ]
    return list(dict.fromkeys(found))


def list_ranges(sums: ActivationSums, schemes: Sequence[Scheme]) -> list[dict[str, Any]]:
    """The range of every rule under each scheme of `choose_formats`: its ends, the share of values beyond them, and the
    SQNR in dB, the last two as the histogram tells them; nothing where no value is finite.

    The moving average depends on the batches in which values came, no other does.
    """
    if not sums.count:
        return []
    seen, found = sums.histogram, list[dict[str, Any]]()
    for scheme in schemes:
        for rule in RULES:
            with_rule = replace(scheme, range=rule)
            found.append(_describe(str(rule), with_rule, find_static(with_rule, seen), seen))
        found.append(_describe(MOVING, scheme, find_static(scheme, seen, ends=sums.ends.range), seen))
    return found


def _describe(rule: str, scheme: Scheme, statistic: object, seen: StreamedHistogram) -> dict[str, Any]:
    if not isinstance(statistic, Range):
        raise TypeError(f"{scheme} is laid over {type(statistic).__name__}; integers are laid over ranges")
    points, weights = seen.points[0], seen.weights[0]
    low, high = float(statistic.low[0]), float(statistic.high[0])
    if scheme.symmetry.signed:
        high = float(statistic.largest[0])
        low = -high
    error = float(HistogramSearch(scheme, seen).squared_error(np.zeros((1, 0), np.float32))(statistic)[0])
    beyond = int(weights[(points < low) | (points > high)].sum())
    return {
        "scheme": str(replace(scheme, range=MinMax())),
        "rule": rule,
        "low": low,
        "high": high,
        "beyond_share": beyond / int(weights.sum()),
        "sqnr_db": ratio_db(float(seen.squares[0]), error),
    }
