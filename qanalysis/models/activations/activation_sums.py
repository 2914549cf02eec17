"""What are the values of one activation like? Plain sums over its tokens, which add, and the figures that follow.

An activation is a matrix (tokens, features). Figures are None where the sums do not define them.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import Any, Self

import numpy as np

from qanalysis.arrays import Doubles, Floats
from qanalysis.models.activations.histograms import StreamedHistogram
from qanalysis.models.activations.input_statistics import Ends

#: A feature is an outlier where its largest magnitude is more than so many times the median one of all features.
OUTLIER_FACTOR = 6.0
#: The features that carry most energy, of which the share is told: a hundredth of all, at least one.
TOP_SHARE = 0.01
#: Bins of each sign of all values.
_BINS = 1 << 12
#: So many outliers are named, the largest first.
_MOST_NAMED = 16
DEFINITIONS = {
    "crest_db": "20 log10(max |x| / RMS)",
    "excess_kurtosis": "m4 / m2^2 - 3, central moments; 0 of a normal distribution",
    "outlier_features": f"features whose max |x| is more than {OUTLIER_FACTOR:g} times the median of all features' "
    "(features that are always 0 left out of the median)",
    "top_energy_share": "share of sum x^2 in the 1 % of features with the most, at least one feature",
    "zero_share": "share of values that are exactly 0",
}


@dataclass(slots=True, eq=False)
class ActivationSums:
    """Sums over tokens of `width` features.

    `features` holds extremes, counts and sums of each feature (one bin of each sign), `histogram` all values;
    `powers` are the sums of x, x², x³ and x⁴, float64; `ends` are averaged over calls, of which there were `calls`.
    """

    width: int
    features: StreamedHistogram = field(init=False)
    histogram: StreamedHistogram = field(default_factory=lambda: StreamedHistogram(1, _BINS))
    powers: Doubles = field(default_factory=lambda: np.zeros(4))
    ends: Ends = field(default_factory=Ends)
    tokens: int = 0
    calls: int = 0
    zeros: int = 0

    def __post_init__(self) -> None:
        self.features = StreamedHistogram(self.width, 1)

    def add(self, tokens: Floats) -> None:
        """One more call, (tokens, width); what is not finite is left out of all sums. ValueError for another width."""
        if tokens.shape[1:] != (self.width,):
            raise ValueError(f"an activation of {tokens.shape[-1]} features after one of {self.width}; both must agree")
        self.calls += 1
        self.tokens += len(tokens)
        self.features.add(tokens)
        self.histogram.add(tokens.reshape(-1, 1))
        finite = tokens[np.isfinite(tokens)]
        if finite.size:
            self.ends.add(np.array([finite.min()], np.float64), np.array([finite.max()], np.float64))
        for part in np.array_split(tokens, max(tokens.size >> 20, 1)):
            values = part[np.isfinite(part)].astype(np.float64)
            self.zeros += int((values == 0).sum())
            square = values * values
            self.powers += [values.sum(), square.sum(), (square * values).sum(), (square * square).sum()]

    def __add__(self, other: Self) -> Self:
        """The sums over the tokens of both; ValueError for another width. Averaged ends have an order, and go."""
        both = type(self)(self.width)
        both.features, both.histogram = self.features + other.features, self.histogram + other.histogram
        both.powers = self.powers + other.powers
        both.tokens, both.calls = self.tokens + other.tokens, self.calls + other.calls
        both.zeros = self.zeros + other.zeros
        return both

    @property
    def count(self) -> int:
        """Finite values."""
        return int(self.histogram.count[0])

    @property
    def absmax(self) -> Doubles:
        """The largest magnitude of each feature, (width,)."""
        return self.features.largest

    @property
    def energies(self) -> Doubles:
        """Sum of x² of each feature, (width,)."""
        return self.features.squares

    @property
    def rms(self) -> float | None:
        """Root mean square of all values."""
        return math.sqrt(self.powers[1] / self.count) if self.count else None

    @property
    def crest_db(self) -> float | None:
        """20 log10(max |x| / RMS)."""
        largest = float(self.histogram.largest[0])
        return 20 * math.log10(largest / self.rms) if self.rms else None

    @property
    def excess_kurtosis(self) -> float | None:
        """m4 / m2² - 3 about the mean; None without a spread."""
        if not self.count:
            return None
        mean, second, third, fourth = self.powers / self.count
        variance = second - mean**2
        # Below the rounding of the sums there is no spread to speak of.
        if variance <= 1e-12 * second:
            return None
        central = fourth - 4 * mean * third + 6 * mean**2 * second - 3 * mean**4
        return float(central / variance**2 - 3)

    @property
    def times_median(self) -> Doubles:
        """Each feature's largest magnitude over the median one, (width,); zeros where all are 0."""
        alive = self.absmax[self.absmax > 0]
        return self.absmax / np.median(alive) if alive.size else np.zeros(self.width)

    @property
    def top_energy_share(self) -> float | None:
        """Share of the energy in the hundredth of the features with the most, at least one feature."""
        total = self.energies.sum()
        top = max(math.ceil(TOP_SHARE * self.width), 1)
        return float(np.sort(self.energies)[-top:].sum() / total) if total else None

    def describe(self) -> dict[str, Any]:
        """The figures as a document holds them."""
        ratios, total = self.times_median, self.energies.sum()
        order = np.argsort(-ratios, kind="stable")
        outliers = order[ratios[order] > OUTLIER_FACTOR]
        ends = (float(self.histogram.low[0]), float(self.histogram.high[0])) if self.count else (None, None)
        return {
            "tokens": self.tokens,
            "calls": self.calls,
            "features": self.width,
            "low": ends[0],
            "high": ends[1],
            "mean": float(self.powers[0] / self.count) if self.count else None,
            "rms": self.rms,
            "zero_share": self.zeros / self.count if self.count else None,
            "non_finite": int(self.histogram.non_finite[0]),
            "crest_db": self.crest_db,
            "excess_kurtosis": self.excess_kurtosis,
            "top_energy_share": self.top_energy_share,
            "outlier_features": len(outliers),
            "outliers": [
                {
                    "feature": int(feature),
                    "absmax": float(self.absmax[feature]),
                    "times_median": float(ratios[feature]),
                    "energy_share": float(self.energies[feature] / total),
                }
                for feature in outliers[:_MOST_NAMED]
            ],
        }
