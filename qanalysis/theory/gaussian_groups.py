"""How large is the error of Gaussian groups whose grid follows their extremes? Integrals in place of experiments.

A group holds `length` independent N(0, 1) values and gets the grid that its largest magnitude M, or its smallest and
largest value a and b, ask for. Given those, the other values are Gaussians cut off at -M..M or a..b, and their squared
error is a closed form on every cell of the grid; what is left is an integral over M or (a, b), done at well spread
points of their distribution functions.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cache, lru_cache
from typing import Literal, NamedTuple

import numpy as np
from scipy.special import ndtr, ndtri

from qanalysis.arrays import Doubles
from qanalysis.theory.distributions import GAUSSIAN

#: What a grid follows: the largest magnitude, the same with its sign, or the smallest and the largest value.
Follows = Literal["absmax", "signed-max", "extremes"]
# More equal cells than these are fine: their mean squared errors are step^2/12 (stochastic: /6) to 0.001 dB.
MOST_EXACT_CELLS = 32
# Largest magnitudes at which a scale is looked at for jumps, and the smallest relative jump that gets a border of its
# own.
SCAN_POINTS, SMALLEST_JUMP = 1024, 0.02
# Pairs of extremes for their own errors, and pairs times cells for all others'.
LATTICE_POINTS, EDGE_BUDGET = 10_946, 72_000


@dataclass(frozen=True, slots=True, eq=False)
class Grids:
    """One grid per group, all (groups,): x is coded as the unit (x - origin) * inverse, and unit u decodes to u * scale
    + centre.
    """

    scale: Doubles
    inverse: Doubles
    origin: Doubles
    centre: Doubles


Lay = Callable[[Doubles, Doubles], Grids]


class Cells(NamedTuple):
    """Between which units which squared error is expected: sign (u - first)(u - second) + flat; n cells have n - 1
    inner edges.
    """

    edges: Doubles
    first: Doubles
    second: Doubles
    sign: Doubles
    flat: Doubles


def cut_cells(levels: Doubles, *, stochastic: bool = False) -> Cells:
    """The cells of ascending unit `levels` under nearest rounding, or under stochastic rounding to the neighbours in
    proportion.

    >>> cut_cells(np.array([-1.0, 0.0, 1.0])).edges.tolist()
    [-0.5, 0.5]
    """
    if stochastic:  # variance of the draw between neighbours p, q: (u - p)(q - u)
        first, second = np.concatenate([levels[:1], levels]), np.concatenate([levels, levels[-1:]])
        sign = np.where(first == second, 1.0, -1.0)
        return Cells(levels, first, second, sign, np.zeros(first.size))
    return Cells(0.5 * (levels[1:] + levels[:-1]), levels, levels, np.ones(levels.size), np.zeros(levels.size))


def _merge_fine(cells: Cells) -> Cells:
    """The same with one flat cell in place of many equal ones."""
    gaps = np.diff(cells.edges)
    if cells.first.size <= MOST_EXACT_CELLS or not np.allclose(gaps, gaps[0], rtol=1e-12, atol=0.0):
        return cells
    ends = [0, -1]
    flat = gaps[0] ** 2 / (12.0 if cells.sign[1] > 0 else 6.0)
    inner = (np.insert(part[ends], 1, value) for part, value in zip(cells[1:], (0.0, 0.0, 0.0, flat), strict=True))
    return Cells(cells.edges[ends], *inner)


def group_mse(length: int, cells: Cells, lay: Lay, *, follows: Follows = "absmax") -> float:
    """Mean squared error per value of groups of `length` (1 or more) N(0, 1) values under the grids `lay(low, high)`.

    `lay` gets arrays of ranges: -M..M for "absmax", the signed maximum twice for "signed-max", a..b for "extremes".
    Good to 0.001 dB, 0.01 with "extremes".

    >>> ternary = cut_cells(np.array([-1.0, 0.0, 1.0]))
    >>> round(group_mse(2, ternary, lambda low, high: Grids(high, 1 / high, 0 * high, 0 * high)), 4)
    0.0682
    """
    inner = _merge_fine(cells)
    if follows == "extremes" and length > 1:
        return _sum_over_extremes(length, cells, inner, lay) / length
    if length == 1:
        weights, low, high = _draw_largest(1, np.empty(0), panels=256)
        return 0.5 * float(weights @ (_error_at(low, cells, lay(low, low)) + _error_at(high, cells, lay(high, high))))
    is_mirrored = follows == "signed-max"  # -M and M have mirrored grids, and the same error
    ends: Lay = (lambda low, _high: lay(low, low)) if is_mirrored else lay
    borders = _find_jumps(length, ends)
    # The largest value's own error can swing from one level to the next: it is cheap, and gets many points.
    weights, low, high = _draw_largest(length, borders, panels=256)
    grids = ends(low, high)
    at_ends = [_error_at(end, cells, grids) for end in ((low,) if is_mirrored else (low, high))]
    known = float(weights @ np.mean(at_ends, axis=0))
    weights, low, high = _draw_largest(length, borders, panels=16)
    return (known + (length - 1) * float(weights @ mean_inside(low, high, cells=inner, grids=ends(low, high)))) / length


def _sum_over_extremes(length: int, cells: Cells, inner: Cells, lay: Lay) -> float:
    low, high = _draw_extremes(length, LATTICE_POINTS)
    grids = lay(low, high)
    known = np.mean(_error_at(low, cells, grids) + _error_at(high, cells, grids))
    low, high = _draw_extremes(length, EDGE_BUDGET // inner.first.size)
    return float(known + (length - 2) * np.mean(mean_inside(low, high, cells=inner, grids=lay(low, high))))


@cache
def _rule() -> tuple[Doubles, Doubles]:
    nodes, weights = np.polynomial.legendre.leggauss(16)
    return 0.5 * (nodes + 1.0), 0.5 * weights


def _spread_rule(breaks: Doubles) -> tuple[Doubles, Doubles]:
    """Nodes and weights of 16 points between each two neighbours of `breaks`."""
    nodes, weights = _rule()
    widths = np.diff(breaks)
    return (breaks[:-1, np.newaxis] + np.outer(widths, nodes)).ravel(), np.outer(widths, weights).ravel()


def _quantile_of_largest(u: Doubles, length: int) -> Doubles:
    """M with P(max |x| <= M) = u."""
    return np.asarray(-ndtri(-0.5 * np.expm1(np.log(u) / length)))


def _find_jumps(length: int, lay: Lay) -> Doubles:
    """Where in 0..1, the distribution function of M, the scale jumps as a power of two does."""
    scan = (np.arange(SCAN_POINTS) + 0.5) / SCAN_POINTS
    jumps = np.flatnonzero(_find_steps(scan, length, lay) > SMALLEST_JUMP)
    if not jumps.size:
        return np.empty(0)
    closer = scan[jumps, np.newaxis] + np.arange(SCAN_POINTS // 4 + 1) / (SCAN_POINTS**2 // 4)
    return np.asarray(closer[np.arange(jumps.size), _find_steps(closer, length, lay).argmax(axis=1)])


def _draw_largest(length: int, borders: Doubles, *, panels: int) -> tuple[Doubles, Doubles, Doubles]:
    """Weights, -M and M, by a rule that no border runs through."""
    u, weights = _spread_rule(np.union1d(np.linspace(0.0, 1.0, panels + 1), borders))
    largest = _quantile_of_largest(u, length)
    return weights, -largest, largest


def _find_steps(u: Doubles, length: int, lay: Lay) -> Doubles:
    """Relative change of the scale from each u to the next along the last axis."""
    largest = _quantile_of_largest(u.ravel(), length)
    scale = np.abs(lay(-largest, largest).scale).reshape(u.shape)
    with np.errstate(
        divide="ignore", invalid="ignore"
    ):  # a scale too small to store is 0, and no jump between two such
        return np.asarray(np.abs(np.diff(np.log(scale), axis=-1)))


@lru_cache(maxsize=64)
def _draw_extremes(length: int, most: int) -> tuple[Doubles, Doubles]:
    """Smallest and largest of `length` (2 or more) values at equally likely points, at most `most`: a Fibonacci lattice
    in two distribution functions.

    The largest is drawn first, then the smallest of the others below it. Unlike a product rule, a lattice has no rows
    of points for a jump of the scale to run along.
    """
    before, points = 1, 1
    while before + points <= min(most, LATTICE_POINTS):
        before, points = points, before + points
    index = np.arange(points)
    u, v = (index + 0.5) / points, (index * before % points + 0.5) / points
    high = -ndtri(-np.expm1(np.log(u) / length))
    return ndtri(ndtr(high) * -np.expm1(np.log(v) / (length - 1))), high


def _error_at(x: Doubles, cells: Cells, grids: Grids) -> Doubles:
    cell = np.searchsorted(cells.edges, (x - grids.origin) * grids.inverse)
    first, second = (part[cell] * grids.scale + grids.centre for part in (cells.first, cells.second))
    return np.asarray(cells.sign[cell] * (x - first) * (x - second) + cells.flat[cell] * np.square(grids.scale))


def mean_inside(low: Doubles, high: Doubles, *, cells: Cells, grids: Grids) -> Doubles:
    """Mean squared error of one N(0, 1) value known to lie in low..high, (groups,)."""
    scale, centre = grids.scale[:, np.newaxis], grids.centre[:, np.newaxis]
    edges = np.empty((low.size, cells.first.size + 1))
    edges[:, 0], edges[:, -1] = low, high
    with np.errstate(divide="ignore"):  # nothing is coded by an inverse of 0: all values lie between the edges about 0
        inner = cells.edges / grids.inverse[:, np.newaxis] + grids.origin[:, np.newaxis]
    np.clip(inner, low[:, np.newaxis], high[:, np.newaxis], out=edges[:, 1:-1])
    density = GAUSSIAN.pdf(edges)
    mass, mean = np.diff(ndtr(edges)), -np.diff(density)
    square = mass - np.diff(edges * density)
    first, second = cells.first * scale + centre, cells.second * scale + centre
    # Fine cells: rounding, and decoding by another scale than was coded by; a step beyond all values makes them 0.
    drift = (cells.flat > 0) * np.square(1.0 - scale * grids.inverse[:, np.newaxis])
    fine = np.minimum(cells.flat * np.square(scale) * mass + drift * square, square)
    error = cells.sign * (square - (first + second) * mean + first * second * mass) + fine
    # Where the window is too narrow to hold mass in float64, it holds no error either.
    return np.asarray(np.maximum(error.sum(axis=1), 0.0) / np.maximum(mass.sum(axis=1), np.finfo(np.float64).tiny))
