"""Which range should a grid cover? Rules that map grouped values to ranges, one per group; all that is known of a rule
stands with it.

Values come as (groups, length) float32, NaN where an element is to be left out; low and high of a range are (groups,)
float32. Symmetric grids use its largest magnitude. A rule that searches asks its `GridSearch`, which knows the grid,
about candidates. A new rule is a class and its place in RANGE_RULES.
"""

from __future__ import annotations

import re
from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import MISSING, dataclass, fields
from typing import ClassVar, Protocol, get_type_hints

import numpy as np

from qanalysis.arrays import Doubles, Floats
from qanalysis.notation import quote
from qanalysis.quantizers.statistics import Range

SquaredError = Callable[[Range], Doubles]


class GridSearch(Protocol):
    """What a searching rule may ask of the grid."""

    def squared_error(self, values: Floats) -> SquaredError:
        """A function of candidate ranges to sum e^2 of each group, (groups,)."""

    def divergence_clip(self, values: Floats, bins: int) -> Floats:
        """The clip edge of each group with the least Kullback-Leibler divergence of a histogram of so many bins."""


@dataclass(frozen=True, slots=True)
class RangeRule(ABC):
    """A frozen value with a text form, NAME or NAME:ARGUMENT; called on groups it gives their ranges.

    The argument is the rule's only field, if it has one; lists of forms call it `argument`. `example` is the rule as
    lists offer it, `quick_example` where each candidate of a search costs more. `title` names it as a cure; `formula`
    and `peers` say what it does and who does so, empty where no tool does. `equal_steps` says why the rule needs equal
    steps, empty where it does not; `tries_grids`, that it lays a grid for every candidate and keeps the one of least
    error.
    """

    name: ClassVar[str]
    argument: ClassVar[str] = ""
    example: ClassVar[str]
    quick_example: ClassVar[str] = ""
    title: ClassVar[str] = ""
    peers: ClassVar[str] = ""
    equal_steps: ClassVar[str] = ""
    tries_grids: ClassVar[bool] = False

    @abstractmethod
    def __call__(self, values: Floats, *, symmetric: bool, search: GridSearch) -> Range:
        """The range of each group of values."""

    def __str__(self) -> str:
        numbers = [f":{_positional(getattr(self, field.name))}" for field in fields(self)]
        return "".join([self.name, *numbers])

    @property
    def formula(self) -> str:
        """What it covers, in words."""
        return ""

    @property
    def candidates(self) -> int:
        """How many ranges a search tries on every group; 0 for a rule that tries none."""
        return 0

    @property
    def cost(self) -> int:
        """How many times the work of minmax a sweep has with it, measured per value of an integer format.

        At worst, where that depends on the groups.
        """
        return 1

    def cost_in(self, _length: float, _largest_code: int, /) -> float:
        """The same for groups of so many elements and a grid up to so large a code."""
        return self.cost

    @property
    def needs_equal_steps(self) -> bool:
        """Whether it can not be used with a format of unequal steps."""
        return bool(self.equal_steps)

    @property
    def asks_grid(self) -> bool:
        """Whether it searches, so that grids of other widths find other ranges."""
        return self.tries_grids or self.needs_equal_steps


@dataclass(frozen=True, slots=True)
class MinMax(RangeRule):
    """Everything fits: the smallest and the largest element."""

    name: ClassVar[str] = "minmax"
    example: ClassVar[str] = "minmax"
    title: ClassVar[str] = "Range over all values"
    peers: ClassVar[str] = "the default of most tools"

    @property
    def formula(self) -> str:
        return "the group's own ends"

    def __call__(self, values: Floats, *, symmetric: bool, search: GridSearch) -> Range:
        return _extremes(values)


@dataclass(frozen=True, slots=True)
class Percentile(RangeRule):
    """The P-th percentile of |x| for symmetric grids, both P tails for the others; numpy's linear interpolation.

    A group that is not all zeros but has only zeros up to its percentile (a pruned channel) keeps its extremes: a range
    without width would lose all that is left of it.
    """

    percent: float
    name: ClassVar[str] = "percentile"
    argument: ClassVar[str] = "P"
    example: ClassVar[str] = "percentile:99.9"
    title: ClassVar[str] = "Range at the 99.9th percentile"
    peers: ClassVar[str] = "ONNX Runtime, AIMET, PPQ calibration"

    def __post_init__(self) -> None:
        if not 50 < self.percent <= 100:
            raise ValueError(
                f"range percentile:{self.percent:g}: the percentile lies above 50 and at most at 100; write for "
                f"example {self.example}"
            )

    @property
    def formula(self) -> str:
        return f"{self.percent:g} % of the values, the rest clips"

    @property
    def cost(self) -> int:
        return 10

    def __call__(self, values: Floats, *, symmetric: bool, search: GridSearch) -> Range:
        quantile = np.nanpercentile if np.isnan(values).any() else np.percentile
        if symmetric:
            high = quantile(np.abs(values), self.percent, axis=1).astype(np.float32)
            low = -high
        else:
            low, high = quantile(values, [100 - self.percent, self.percent], axis=1).astype(np.float32)
        ends = _extremes(values)
        collapsed = (low == 0) & (high == 0)
        return Range(np.where(collapsed, ends.low, low), np.where(collapsed, ends.high, high))


@dataclass(frozen=True, slots=True)
class MeanStd(RangeRule):
    """mean|x| + K std|x|, the population form; for asymmetric grids neither end goes beyond the data."""

    factor: float = 3.0
    name: ClassVar[str] = "meanstd"
    argument: ClassVar[str] = "K"
    example: ClassVar[str] = "meanstd:3"

    def __post_init__(self) -> None:
        if not 0 <= self.factor < 1e6:
            raise ValueError(f"range meanstd:{self.factor:g}: the factor K is 0 or more, and finite")

    @property
    def cost(self) -> int:
        return 10

    def __call__(self, values: Floats, *, symmetric: bool, search: GridSearch) -> Range:
        magnitude = np.abs(values.astype(np.float64))
        edge = np.nanmean(magnitude, axis=1) + self.factor * np.nanstd(magnitude, axis=1)
        edge = np.minimum(edge, np.finfo(np.float32).max).astype(np.float32)
        return _clip_at(edge, values, symmetric=symmetric)


@dataclass(frozen=True, slots=True)
class MeanSquaredError(RangeRule):
    """The best of N clip fractions 1/N..1 of the extremes by sum e^2; a tie keeps the wider range, so never worse than
    minmax.

    Stochastic rounding is judged by nearest-even, as the draws belong to places that a search does not know.
    """

    fractions: int = 100
    name: ClassVar[str] = "mse"
    argument: ClassVar[str] = "N"
    example: ClassVar[str] = "mse:100"
    quick_example: ClassVar[str] = "mse:20"
    title: ClassVar[str] = "Range of least squared error"
    peers: ClassVar[str] = "torch HistogramObserver, PPQ, Model-Optimizer"
    tries_grids: ClassVar[bool] = True

    def __post_init__(self) -> None:
        if not 1 <= self.fractions <= 10_000:
            raise ValueError(f"range mse:{self.fractions}: the number of clip fractions N is 1 to 10000")

    @property
    def formula(self) -> str:
        return f"the clip of least squared error among {self.fractions}"

    @property
    def candidates(self) -> int:
        return self.fractions

    @property
    def cost(self) -> int:
        return max(self.fractions // 2, 1)

    def __call__(self, values: Floats, *, symmetric: bool, search: GridSearch) -> Range:
        ends = _extremes(values)
        best_low, best_high = ends.low, ends.high
        error_of = search.squared_error(values)
        least = error_of(ends)
        for part in range(self.fractions - 1, 0, -1):
            fraction = np.float32(part / self.fractions)
            clipped = Range(ends.low * fraction, ends.high * fraction)
            error = error_of(clipped)
            better = error < least
            least = np.where(better, error, least)
            best_low = np.where(better, clipped.low, best_low)
            best_high = np.where(better, clipped.high, best_high)
        return Range(best_low, best_high)


@dataclass(frozen=True, slots=True)
class KullbackLeibler(RangeRule):
    """The clip edge whose quantized |x| histogram of BINS bins diverges least from the clipped one.

    A group has at most 4 bins per element: more would be empty, and a search over them slow.
    """

    bins: int = 2048
    name: ClassVar[str] = "kl"
    argument: ClassVar[str] = "BINS"
    example: ClassVar[str] = "kl:2048"
    equal_steps: ClassVar[str] = "compares histograms of equal ones"

    def __post_init__(self) -> None:
        if not 16 <= self.bins <= 65536:
            raise ValueError(f"range kl:{self.bins}: the number of histogram bins is 16 to 65536")

    @property
    def cost(self) -> int:
        return 1000

    def cost_in(self, length: float, largest_code: int, /) -> float:
        # Each bin beyond the codes is a candidate, which steps through the codes; measured, within a factor of two.
        candidates = max(self._limit_bins(int(length)) - largest_code, 0)
        return 10 + candidates * (4 * largest_code + 20) / length

    def _limit_bins(self, length: int) -> int:
        return min(self.bins, max(16, 4 * length))

    def __call__(self, values: Floats, *, symmetric: bool, search: GridSearch) -> Range:
        edge = search.divergence_clip(values, self._limit_bins(values.shape[1]))
        return _clip_at(edge, values, symmetric=symmetric)


#: Every rule by its name, in the order of lists.
RANGE_RULES: dict[str, type[RangeRule]] = {
    rule.name: rule for rule in (MinMax, Percentile, MeanStd, MeanSquaredError, KullbackLeibler)
}


def list_forms(*, equal_steps: bool = True) -> list[str]:
    """The text forms of all rules, or of those that do without equal steps.

    >>> list_forms(equal_steps=False)
    ['minmax', 'percentile:P', 'meanstd:K', 'mse:N']
    """
    rules = [rule for rule in RANGE_RULES.values() if equal_steps or not rule.equal_steps]
    return [f"{rule.name}:{rule.argument}" if rule.argument else rule.name for rule in rules]


def parse_range(text: str) -> RangeRule:
    """A range rule from its text form; ValueError names the forms.

    >>> parse_range("percentile:99.9"), str(parse_range("mse"))
    (Percentile(percent=99.9), 'mse:100')
    """
    name, colon, argument = text.partition(":")
    rule = RANGE_RULES.get(name)
    if rule is None or (colon and not rule.argument):
        raise ValueError(f"range {quote(text)} is unknown; rules are {', '.join(list_forms())}")
    if not colon:
        if any(field.default is MISSING for field in fields(rule)):
            raise ValueError(f"range {quote(name)} needs its {rule.argument}, for example {rule.example}")
        return rule()
    number = get_type_hints(rule)[fields(rule)[0].name]
    if not re.fullmatch(r"\d{1,400}(\.\d{1,400})?" if number is float else r"\d{1,18}", argument):
        rule_text = "a number of 0 or more" if number is float else "a whole number of 1 or more"
        raise ValueError(f"range {quote(text)}: {quote(argument)} is not {rule_text}; write for example {rule.example}")
    make: Callable[[float], RangeRule] = rule
    return make(number(argument))


def shorten_range(rule: RangeRule) -> str:
    """The text form with a default argument left out: "mse" for mse:100."""
    defaults = [field.default for field in fields(rule)]
    given = [getattr(rule, field.name) for field in fields(rule)]
    return rule.name if given == defaults else str(rule)


def _positional(number: float) -> str:
    # The shortest digits that read back as the same number, without an exponent.
    return np.format_float_positional(number, trim="-")


def _clip_at(edge: Floats, values: Floats, *, symmetric: bool) -> Range:
    """Up to a magnitude to both sides; where signs are not alike, neither end goes beyond the data."""
    if symmetric:
        return Range(-edge, edge)
    ends = _extremes(values)
    return Range(np.maximum(ends.low, -edge), np.minimum(ends.high, edge))


def _extremes(values: Floats) -> Range:
    # fmin and fmax pass over NaN; a group of nothing but NaN has the range 0..0.
    low, high = np.fmin.reduce(values, axis=1), np.fmax.reduce(values, axis=1)
    return Range(np.nan_to_num(low, nan=0.0), np.nan_to_num(high, nan=0.0))
