"""Which range should a grid cover? Rules that map grouped values to (low, high), one pair per group.

Values come as (groups, length) float32, NaN where an element is to be left out; low and high come back as (groups,) float32.
Symmetric grids use max(-low, high). A rule that searches asks its `GridSearch`, which knows the grid, about candidates.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from qanalysis.arrays import Floats

Bounds = tuple[Floats, Floats]
SquaredError = Callable[[Floats, Floats], NDArray[np.float64]]
DivergenceClip = Callable[[Floats, int], Floats]


@dataclass(frozen=True, slots=True)
class GridSearch:
    """What a searching rule may ask of the grid.

    `squared_error(values)` gives a function of a candidate (low, high) to sum e^2 of each group; `divergence_clip(values,
    bins)` the clip edge of least Kullback-Leibler divergence.
    """

    squared_error: Callable[[Floats], SquaredError]
    divergence_clip: DivergenceClip


class RangeRule(Protocol):
    """A frozen value with a text form; called on groups it gives their ranges."""

    def __call__(self, values: Floats, *, symmetric: bool, search: GridSearch) -> Bounds: ...


@dataclass(frozen=True, slots=True)
class MinMax:
    """Everything fits: the smallest and the largest element."""

    def __str__(self) -> str:
        return "minmax"

    def __call__(self, values: Floats, *, symmetric: bool, search: GridSearch) -> Bounds:
        return _extremes(values)


@dataclass(frozen=True, slots=True)
class Percentile:
    """The P-th percentile of |x| for symmetric grids, both P tails for the others; numpy's linear interpolation.

    A group that is not all zeros but has only zeros up to its percentile (a pruned channel) keeps its extremes: a range
    without width would lose all that is left of it.
    """

    percent: float

    def __post_init__(self) -> None:
        if not 50 < self.percent <= 100:
            raise ValueError(f"range percentile:{self.percent:g}: the percentile lies above 50 and at most at 100; write for example percentile:99.9")

    def __str__(self) -> str:
        return f"percentile:{_positional(self.percent)}"

    def __call__(self, values: Floats, *, symmetric: bool, search: GridSearch) -> Bounds:
        quantile = np.nanpercentile if np.isnan(values).any() else np.percentile
        if symmetric:
            high = quantile(np.abs(values), self.percent, axis=1).astype(np.float32)
            low = -high
        else:
            low, high = quantile(values, [100 - self.percent, self.percent], axis=1).astype(np.float32)
        least, most = _extremes(values)
        collapsed = (low == 0) & (high == 0)
        return np.where(collapsed, least, low), np.where(collapsed, most, high)


@dataclass(frozen=True, slots=True)
class MeanStd:
    """mean|x| + K std|x|, the population form; for asymmetric grids neither end goes beyond the data."""

    factor: float = 3.0

    def __post_init__(self) -> None:
        if not 0 <= self.factor < 1e6:
            raise ValueError(f"range meanstd:{self.factor:g}: the factor K is 0 or more, and finite")

    def __str__(self) -> str:
        return f"meanstd:{_positional(self.factor)}"

    def __call__(self, values: Floats, *, symmetric: bool, search: GridSearch) -> Bounds:
        low, high = _extremes(values)
        magnitude = np.abs(values.astype(np.float64))
        edge = np.minimum(np.nanmean(magnitude, axis=1) + self.factor * np.nanstd(magnitude, axis=1), np.finfo(np.float32).max).astype(np.float32)
        return (-edge, edge) if symmetric else (np.maximum(low, -edge), np.minimum(high, edge))


@dataclass(frozen=True, slots=True)
class MeanSquaredError:
    """The best of N clip fractions 1/N..1 of the extremes by sum e^2; a tie keeps the wider range, so never worse than minmax.

    Stochastic rounding is judged by nearest-even, as the draws belong to places that a search does not know.
    """

    fractions: int = 100

    def __post_init__(self) -> None:
        if not 1 <= self.fractions <= 10_000:
            raise ValueError(f"range mse:{self.fractions}: the number of clip fractions N is 1 to 10000")

    def __str__(self) -> str:
        return f"mse:{self.fractions}"

    def __call__(self, values: Floats, *, symmetric: bool, search: GridSearch) -> Bounds:
        low, high = _extremes(values)
        error_of = search.squared_error(values)
        best_low, best_high, least = low, high, error_of(low, high)
        for part in range(self.fractions - 1, 0, -1):
            fraction = np.float32(part / self.fractions)
            error = error_of(low * fraction, high * fraction)
            better = error < least
            least = np.where(better, error, least)
            best_low = np.where(better, low * fraction, best_low)
            best_high = np.where(better, high * fraction, best_high)
        return best_low, best_high


@dataclass(frozen=True, slots=True)
class KullbackLeibler:
    """The clip edge whose quantized |x| histogram of BINS bins diverges least from the clipped one.

    A group has at most 4 bins per element: more would be empty, and a search over them slow.
    """

    bins: int = 2048

    def __post_init__(self) -> None:
        if not 16 <= self.bins <= 65536:
            raise ValueError(f"range kl:{self.bins}: the number of histogram bins is 16 to 65536")

    def __str__(self) -> str:
        return f"kl:{self.bins}"

    def __call__(self, values: Floats, *, symmetric: bool, search: GridSearch) -> Bounds:
        low, high = _extremes(values)
        edge = search.divergence_clip(values, min(self.bins, max(16, 4 * values.shape[1])))
        return (-edge, edge) if symmetric else (np.maximum(low, -edge), np.minimum(high, edge))


RANGE_RULES: dict[str, tuple[Callable[..., RangeRule], Callable[[str], float] | None]] = {
    "minmax": (MinMax, None),
    "percentile": (Percentile, float),
    "meanstd": (MeanStd, float),
    "mse": (MeanSquaredError, int),
    "kl": (KullbackLeibler, int),
}


_EXAMPLES = {"percentile": "percentile:99.9", "meanstd": "meanstd:3", "mse": "mse:100", "kl": "kl:2048"}


def parse_range(text: str) -> RangeRule:
    """A range rule from its text form; ValueError names the forms.

    >>> parse_range("percentile:99.9"), str(parse_range("mse"))
    (Percentile(percent=99.9), 'mse:100')
    """
    name, colon, argument = text.partition(":")
    if name not in RANGE_RULES or (colon and RANGE_RULES[name][1] is None):
        raise ValueError(f"range {text!r} is unknown; rules are minmax, percentile:P, meanstd:K, mse:N, kl:BINS")
    rule, read_argument = RANGE_RULES[name]
    if not colon or read_argument is None:
        if name == "percentile":
            raise ValueError("range 'percentile' needs its P, for example percentile:99.9")
        return rule()
    if not re.fullmatch(r"\d+(\.\d+)?" if read_argument is float else r"\d+", argument):
        rule_text = "a number of 0 or more" if read_argument is float else "a whole number of 1 or more"
        raise ValueError(f"range {text!r}: {argument!r} is not {rule_text}; write for example {_EXAMPLES[name]}")
    return rule(read_argument(argument))


def shorten_range(rule: RangeRule) -> str:
    """The text form with a default argument left out: "mse" for mse:100."""
    text = str(rule)
    name = text.partition(":")[0]
    return name if name != "percentile" and RANGE_RULES[name][0]() == rule else text


def _positional(number: float) -> str:
    # The shortest digits that read back as the same number, without an exponent.
    return np.format_float_positional(number, trim="-")


def _extremes(values: Floats) -> Bounds:
    # fmin and fmax pass over NaN; a group of nothing but NaN has the range 0..0.
    low, high = np.fmin.reduce(values, axis=1), np.fmax.reduce(values, axis=1)
    return np.nan_to_num(low, nan=0.0), np.nan_to_num(high, nan=0.0)
