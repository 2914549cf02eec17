"""What error should a quantizer have, and what is the least it could have?

Lines over bits (dB of signal power over error power, unit variance): the full-range uniform 6.02 b, the sine,
Lloyd-Max, Panter-Dite, Shannon; and the prediction for groups of Gaussian values scaled by their largest magnitude.
Rates may be real ("bits per weight"), grids need whole bits. Errors are taken as uniform over a step where a formula
says fine-step.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cache, lru_cache

import numpy as np
from scipy.special import erfc

from qanalysis.arrays import Doubles
from qanalysis.decibels import DB_PER_BIT, SINE_DB, gain_db
from qanalysis.theory.distributions import GAUSSIAN, Distribution
from qanalysis.theory.optimal_grids import MAX_BITS, check_bits, grid_mse, lloyd_max

#: Noise of a fine uniform grid with ideal lossless coding over the Shannon bound at the same rate (Gish and Pierce
#: 1968): 1.4233, 1.533 dB.
ENTROPY_CODED_GAP = math.pi * math.e / 6.0


def _check_rate(bits: float) -> float:
    if not 0.0 <= bits < math.inf:
        message = f"bits={bits!r} is no rate: use a finite number of bits per value, 0 or more"
        raise ValueError(message)
    return bits


def uniform_sqnr_db(bits: float) -> float:
    """A full-range uniform signal on 2^bits mid-rise steps: 6.0206 b, exactly 20 log10 2 per bit.

    >>> round(uniform_sqnr_db(8), 4)
    48.1648
    """
    return DB_PER_BIT * _check_rate(bits)


def sine_sqnr_db(bits: float) -> float:
    """A full-scale sine on 2^bits steps, fine-step: 6.0206 b + 1.7609 (about 0.5 dB too high at 4 bits, 0.01 at 16).

    >>> round(sine_sqnr_db(12), 2)
    74.01
    """
    return uniform_sqnr_db(bits) + SINE_DB


def panter_dite_db(bits: float, distribution: Distribution | str) -> float:
    """The best scalar grid as bits grow (Panter and Dite 1951); Lloyd-Max comes from above to it: 0.49 dB at 4 bits,
    0.04 at 8 (Gaussian).

    >>> round(panter_dite_db(8, "gaussian"), 3)
    43.818
    """
    return uniform_sqnr_db(bits) - 10.0 * math.log10(Distribution.parse(distribution).panter_dite_factor)


def shannon_db(bits: float, distribution: Distribution | str) -> float:
    """What no coder of `bits` per independent value can pass: D(R) of the Gaussian; for the others the Shannon lower
    bound on D.

    >>> round(shannon_db(4, "gaussian"), 3), round(shannon_db(4, "laplace"), 3)
    (24.082, 24.711)
    """
    return uniform_sqnr_db(bits) - 10.0 * math.log10(Distribution.parse(distribution).shannon_factor)


@dataclass(frozen=True, slots=True)
class BestScalar:
    """SQNR of the best scalar grid, and whether it is computed ("lloyd-max") or the asymptote ("panter-dite")."""

    sqnr_db: float
    rule: str


def best_scalar_sqnr_db(bits: int, distribution: Distribution | str) -> BestScalar:
    """The best scalar grid at any whole `bits` from 1: Lloyd-Max up to 16, above that the asymptote, by then exact to
    0.0002 dB.

    >>> best_scalar_sqnr_db(8, "laplace").rule, best_scalar_sqnr_db(24, "laplace").rule
    ('lloyd-max', 'panter-dite')
    """
    if bits > MAX_BITS:
        return BestScalar(panter_dite_db(bits, distribution), "panter-dite")
    return BestScalar(lloyd_max(bits, distribution).sqnr_db, "lloyd-max")


def binary_sqnr_db(distribution: Distribution | str) -> float:
    """Codes +-1 with the best scale, E|x|: D = 1 - E|x|^2, 1 - 2/pi for the Gaussian. The same grid as 1-bit Lloyd-Max.

    >>> round(binary_sqnr_db("gaussian"), 3)
    4.396
    """
    return -10.0 * math.log10(1.0 - Distribution.parse(distribution).mean_abs ** 2)


def loaded_gaussian_sqnr_db(bits: int, clip_sigma: float) -> float:
    """A Gaussian on 2^b mid-rise steps that saturate at +-`clip_sigma` standard deviations; bits 1 to 16, ValueError
    beyond.

    >>> round(loaded_gaussian_sqnr_db(8, 4), 2)
    40.55
    """
    if not 0.0 < clip_sigma < math.inf:
        message = f"clip_sigma={clip_sigma!r} is no range: use a finite number of standard deviations above 0"
        raise ValueError(message)
    level_count = 2 ** check_bits(bits)
    return -10.0 * math.log10(grid_mse(level_count, 2.0 * clip_sigma / level_count, GAUSSIAN))


@cache
def _tail_nodes() -> tuple[Doubles, Doubles, Doubles]:
    """Gauss-Legendre nodes x on panels of width 1 from 0 to 16, weights, and P(|X| > x) of N(0, 1), which ends below
    1e-56.
    """
    nodes, weights = np.polynomial.legendre.leggauss(24)
    x = (np.arange(16)[:, np.newaxis] + 0.5 * (nodes + 1.0)).ravel()
    return x, np.tile(0.5 * weights, 16), np.asarray(erfc(x / math.sqrt(2.0)))


@lru_cache(maxsize=4096)
def expected_max_square(group_length: int) -> float:
    """E[max x^2] of `group_length` independent N(0, 1) values, to a relative 1e-12 for lengths up to 1e15; ValueError
    below 1.

    The integral of 2x P(max |x| > x) over x > 0.

    >>> round(expected_max_square(1), 12), round(expected_max_square(128), 3)
    (1.0, 8.148)
    """
    if not 1 <= group_length < math.inf:
        message = f"group_length={group_length!r} is no group: use a whole number of values, 1 or more"
        raise ValueError(message)
    x, weights, tail = _tail_nodes()
    return float(np.sum(weights * 2.0 * x * -np.expm1(group_length * np.log1p(-tail))))


def _largest_code(bits: int) -> int:
    return int(2 ** (check_bits(bits, lowest=2) - 1) - 1)


def _absmax_noise(bits: int, group_length: int) -> float:
    """Mean squared error per value of a group: step^2/12 on all values but the largest, which a level meets exactly."""
    return expected_max_square(group_length) / (12.0 * _largest_code(bits) ** 2) * (group_length - 1) / group_length


def absmax_group_sqnr_db(bits: int, group_length: int) -> float:
    """Gaussian values in groups, each scaled so that its largest magnitude is code q = 2^(b-1) - 1: -10
    log10(E[max^2]/(12 q^2) (g-1)/g).

    Fine-step: exact within 0.01 dB from 3 bits on; 2 bits measure higher, by 0.1 dB at 8 values, 0.6 at 128, 1.2 at
    1024. A group of one value is exact: infinite. ValueError for bits outside 2 to 16 or a length below 1.

    >>> round(absmax_group_sqnr_db(4, 128), 2), absmax_group_sqnr_db(4, 1)
    (18.62, inf)
    """
    return absmax_groups_sqnr_db(bits, {group_length: 1})


def absmax_groups_sqnr_db(bits: int, lengths: Mapping[int, int] | Iterable[tuple[int, int]]) -> float:
    """`absmax_group_sqnr_db` of a tensor cut into groups of several lengths, `lengths` = {length: how many groups} or
    such pairs.

    Error powers are pooled over all values. ValueError as there, for a negative count, and where no value is left.

    >>> round(absmax_groups_sqnr_db(4, {128: 3, 16: 1}), 2)
    18.7
    """
    pairs = list(lengths.items() if isinstance(lengths, Mapping) else lengths)
    if any(count < 0 for _, count in pairs) or not any(count for _, count in pairs):
        message = (
            f"lengths={pairs!r} has no values: give (length, count) pairs with counts of 0 or more, one of them "
            "positive"
        )
        raise ValueError(message)
    noise = sum(length * count * _absmax_noise(bits, length) for length, count in pairs)
    return gain_db(sum(length * count for length, count in pairs), noise)
