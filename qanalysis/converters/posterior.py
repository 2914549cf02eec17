"""Does a model, or a quantizer, reproduce a series well enough?

Mean relative error, posterior-error ratio C, small-error frequency P, GM(1,1).

Notation: x is the original (measured), y its model (predicted, quantized), e = y - x, S1 and S2 the population standard
deviations of x and e. Two readings of each figure are in use and stand side by side under their own names: |e| over |x|
or over |y|; S2/S1 or its square.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from qanalysis.arrays import Doubles

#: Three quarters of a normal distribution's mass lie below this many deviations: half of it within plus and minus.
QUARTILE = 0.6745
#: What the grades can not do, to be said wherever one is shown.
GRADE_NOTE = (
    "The grades are lenient: a 2-bit converter of a full-scale sine already has C = 0.29 and P = 1, "
    "which is grade 1. They do not tell good from bad. "
    "The mean of the error is removed first, so look at the bias beside them."
)


@dataclass(frozen=True, slots=True)
class Grade:
    """One grade of the posterior check: it is reached where P > `p_over` and C < `c_below`,
    C being a ratio of standard deviations.
    """

    number: int
    word: str
    p_over: float
    c_below: float


#: Best first. Published tables agree on the first row and differ in the last ones.
GRADES = (
    Grade(1, "good", 0.95, 0.35),
    Grade(2, "qualified", 0.80, 0.50),
    Grade(3, "barely qualified", 0.70, 0.65),
    Grade(4, "unqualified", -math.inf, math.inf),
)


@dataclass(frozen=True, slots=True)
class RelativeErrors:
    """Mean relative error in both readings; each leaves out, and counts, the elements whose own denominator is 0."""

    count: int
    non_finite: int
    of_measured: float | None
    of_measured_count: int
    of_predicted: float | None
    of_predicted_count: int


def measure_relative_errors(x: ArrayLike, y: ArrayLike) -> RelativeErrors:
    """Mean |e| over |x|, the textbook's reading, and over |y|,
    the reading that divides by the prediction; x, y of one shape.

    Pairs with a value that is not finite are left out and counted; a mean of nothing is None. ValueError for unequal
    shapes.

    >>> errors = measure_relative_errors([10, 20, 30], [9, 22, 30])
    >>> round(errors.of_measured, 8), round(errors.of_predicted, 8)
    (0.06666667, 0.06734007)
    """
    x, y, non_finite = _pair_finite(x, y)
    magnitude = np.abs(y - x)
    means = [_mean_ratio(magnitude, np.abs(base)) for base in (x, y)]
    return RelativeErrors(x.size, non_finite, *means[0], *means[1])


def _mean_ratio(magnitude: Doubles, base: Doubles) -> tuple[float | None, int]:
    used = base > 0
    count = int(np.count_nonzero(used))
    with np.errstate(over="ignore"):  # an error over a subnormal value may lie beyond float64: infinite
        return (float(np.mean(magnitude[used] / base[used])) if count else None), count


@dataclass(frozen=True, slots=True)
class Posterior:
    """The posterior check of a model: S1, S2, the bias (mean e) that both ignore, and P.

    Undefined figures are None: x constant or empty.
    """

    count: int
    non_finite: int
    std_x: float | None
    std_e: float | None
    bias: float | None
    small_error_frequency: float | None

    @property
    def c_std(self) -> float | None:
        """C = S2/S1, the ratio of standard deviations: the one that the grades are made for."""
        return None if self.std_e is None or not self.std_x else self.std_e / self.std_x

    @property
    def c_var(self) -> float | None:
        """Var(e)/Var(x) = C^2, the other reading: never to be held against the limits of C."""
        return None if self.c_std is None else self.c_std**2

    @property
    def sqnr_ac_db(self) -> float | None:
        """-20 log10 C: signal over error power, both without their means; infinite where C is 0."""
        if self.c_std is None:
            return None
        return -20 * math.log10(self.c_std) if self.c_std else math.inf

    @property
    def grade_of_c(self) -> Grade | None:
        """The grade by C alone."""
        c = self.c_std
        return None if c is None else next((grade for grade in GRADES if c < grade.c_below), GRADES[-1])

    @property
    def grade_of_p(self) -> Grade | None:
        """The grade by P alone."""
        p = self.small_error_frequency
        return None if p is None else next(grade for grade in GRADES if p > grade.p_over)

    @property
    def grade(self) -> Grade | None:
        """The worse of the two."""
        if self.grade_of_c is None or self.grade_of_p is None:
            return None
        return max(self.grade_of_c, self.grade_of_p, key=lambda grade: grade.number)


def judge_posterior(x: ArrayLike, y: ArrayLike, *, absolute: bool = False) -> Posterior:
    """C, c, P and the grade of the model `y` of the series `x` (one shape, any number of dimensions).

    P is the share of elements with |e - mean e| < 0.6745 S1. `absolute` takes |e| for e, as some programs do. Pairs
    with a value that is not finite are left out and counted. Where x is constant, S1 is 0 and ratio, frequency and
    grade are None. ValueError for unequal shapes. Source: the posterior check of grey models.

    >>> x = np.array([2.67, 3.13, 3.25, 3.36, 3.56, 3.72])
    >>> check = judge_posterior(x, np.rint(x / 0.5) * 0.5)
    >>> round(check.c_std, 8), round(check.c_var, 8), check.grade.word
    (0.38627685, 0.1492098, 'qualified')
    """
    x, y, non_finite = _pair_finite(x, y)
    if not x.size:
        return Posterior(0, non_finite, None, None, None, None)
    error = y - x
    bias = float(np.mean(error))
    residual = np.abs(error) if absolute else error
    std_x, std_e = _deviation(x), _deviation(residual)
    near = float(np.mean(np.abs(residual - np.mean(residual)) < QUARTILE * std_x)) if std_x else None
    return Posterior(x.size, non_finite, std_x, std_e, bias, near)


def _deviation(values: Doubles) -> float:
    """Population standard deviation; exactly 0 for equal values, which a rounded mean would miss."""
    return 0.0 if values.min() == values.max() else float(np.std(values))


def _pair_finite(x: ArrayLike, y: ArrayLike) -> tuple[Doubles, Doubles, int]:
    first, second = np.asarray(x, np.float64), np.asarray(y, np.float64)
    if first.shape != second.shape:
        raise ValueError(f"shapes {first.shape} and {second.shape}: the original and its model need one shape")
    finite = np.isfinite(first) & np.isfinite(second)
    count = int(np.count_nonzero(finite))
    if count == finite.size:
        return first.ravel(), second.ravel(), 0
    return first[finite], second[finite], finite.size - count


@dataclass(frozen=True, slots=True)
class GreyModel:
    """GM(1,1): the running sum of a series grows as exp(-a k) toward b/a.

    `first` is the series' first value, which the model keeps.
    """

    a: float
    b: float
    first: float

    def predict(self, count: int) -> Doubles:
        """The model's series (count,), beyond the fitted values too;
        differences of the running sum, taken without cancellation.

        >>> GreyModel(0.0, 2.0, 1.0).predict(3)
        array([1., 2., 2.])
        """
        if count < 1:
            raise ValueError(f"count {count}: a series has at least one value")
        growth = math.expm1(self.a) / self.a if self.a else 1.0
        with np.errstate(over="ignore"):
            series: Doubles = (self.b - self.a * self.first) * growth * np.exp(-self.a * np.arange(count))
        series[0] = self.first
        return series


def fit_grey_model(x: ArrayLike) -> GreyModel:
    """The GM(1,1) of a series (n,): least squares of x[k] = -a z[k] + b,
    z[k] the mean of the running sum at k - 1 and k.

    ValueError for fewer than 4 values, values that are not finite, or more than one dimension. Source: Deng 1982.

    >>> model = fit_grey_model([2.67, 3.13, 3.25, 3.36, 3.56, 3.72])
    >>> round(model.a, 8), round(model.b, 8)
    (-0.04396098, 2.9256166)
    """
    series = np.asarray(x, np.float64)
    if series.ndim != 1 or series.size < 4:
        raise ValueError(f"series of shape {series.shape}: GM(1,1) is fitted to one row of at least 4 values")
    if not np.isfinite(series).all():
        raise ValueError(
            f"series with {np.count_nonzero(~np.isfinite(series))} values that are not finite: "
            "leave them out or fill them first"
        )
    total = np.cumsum(series)
    background = (total[1:] + total[:-1]) / 2
    solution = np.linalg.lstsq(np.column_stack([-background, np.ones_like(background)]), series[1:], rcond=None)[0]
    return GreyModel(float(solution[0]), float(solution[1]), float(series[0]))
