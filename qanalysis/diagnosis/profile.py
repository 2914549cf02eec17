"""What does one layer look like under one scheme? Histograms, the grid, and which channels and groups carry the error.

Notation: x is a weight (float32), y its round trip, e = y - x in float64. A channel is a row of the grouping's matrix
view, a group a run of columns of it. Everything is exact: all finite elements are counted, tile by tile, so temporaries
stay small.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from qanalysis.arrays import Doubles
from qanalysis.decibels import ratio_db, ratios_db
from qanalysis.quantizers.families import integer_format
from qanalysis.quantizers.grids import Grid
from qanalysis.quantizers.grouping import Layout
from qanalysis.quantizers.quantizer import LevelQuantizer
from qanalysis.quantizers.scheme import Scheme
from qanalysis.sums import Histogram

MAX_BINS = 256
ERROR_BINS = 121
#: Steps: the bound at half a step and some room beyond it; 0.01 step per bin, one of them centred on zero.
ERROR_REACH = 0.605
TILE_ELEMENTS = 2**15  # the temporaries of a tile stay in the second-level cache
MAX_LEVELS = 256
#: A channel or column stands out from this many times the median one on: of max|x| here, of mean |x| where errors are
#: traced to it.
OUTLIER_RATIO = 3.0


@dataclass(frozen=True, eq=False)
class LayerProfile:
    """A layer under a scheme. `in_range`, `clipped` and `zeroed` split the finite weights and share their edges,
    +-max|x|.

    `clipped` as in the rows (rounded code outside the codes); `zeroed`: not zero, not clipped, comes back as zero.
    Steps are those of groups that have a signal (1 where none has); `levels` is None above 256 of them, and belongs to
    the widest group. `error_in_steps` is e over the step of its group, in LSB; `beyond_bound` counts the elements that
    are more than LSB/2 off. `group_mse` is (channels, groups per channel), NaN where a group has no finite element.
    """

    name: str
    scheme: Scheme
    groups: int
    non_finite: int
    in_range: Histogram
    clipped: Histogram
    zeroed: Histogram
    error_in_steps: Histogram
    beyond_bound: int
    step_min: float
    step_max: float
    level_low: float
    level_high: float
    level_count: int
    levels: Doubles | None
    channel_error: Doubles
    channel_power: Doubles
    channel_absmax: Doubles
    channel_count: NDArray[np.int64]
    group_mse: Doubles

    @property
    def weights(self) -> Histogram:
        """All finite weights over the same edges."""
        return self.in_range + self.clipped + self.zeroed

    @property
    def count(self) -> int:
        """Finite elements."""
        return int(self.channel_count.sum())

    @property
    def half_step_bound(self) -> float:
        """LSB/2 of the largest step."""
        return self.step_max / 2

    @property
    def within_bound(self) -> float:
        """Share of the finite elements with |e| at most LSB/2 of their group."""
        return 1 - self.beyond_bound / self.count

    @property
    def mse(self) -> float:
        """Mean e^2 over all finite elements."""
        return float(np.nansum(self.channel_error * self.channel_count) / self.count)

    @property
    def sqnr_db(self) -> float | None:
        """10 log10(sum x^2 / sum e^2): infinite without an error, None without a signal."""
        power = float(np.nansum(self.channel_power * self.channel_count) / self.count)
        return ratio_db(power, self.mse)

    @property
    def channel_sqnr_db(self) -> Doubles:
        """SQNR of each channel: inf without an error, NaN without a signal."""
        channels: Doubles = ratios_db(self.channel_power, self.channel_error)
        return channels

    @property
    def channel_share(self) -> Doubles:
        """Share of the layer's sum e^2 that each channel carries; zeros where there is no error."""
        carried = np.nan_to_num(self.channel_error) * self.channel_count
        total = carried.sum()
        return carried / total if total > 0 else np.zeros_like(carried)

    @property
    def worst_channel(self) -> int:
        """The channel that carries most of the error (the first of equals)."""
        return int(self.channel_share.argmax())

    @property
    def outlier_ratios(self) -> Doubles:
        """max|x| of each channel over the median of the channels' max|x|; ones where that median is zero."""
        median = float(np.median(self.channel_absmax))
        return self.channel_absmax / median if median > 0 else np.ones_like(self.channel_absmax)

    @property
    def outlier_channel(self) -> int:
        """The channel with the largest magnitude (the first of equals)."""
        return int(self.channel_absmax.argmax())

    @property
    def has_outlier(self) -> bool:
        """Whether the channel with the largest magnitude stands out from the median one."""
        return bool(self.outlier_ratios.max() >= OUTLIER_RATIO)

    def top_share(self, channels: int) -> float:
        """Share of the error that the `channels` worst channels carry together, 0 to 1: a point of the Lorenz curve."""
        return float(np.sort(self.channel_share)[::-1][:channels].sum())


def profile_layer(
    x: ArrayLike, scheme: Scheme, *, axis: int = 0, bins: int | None = None, name: str = ""
) -> LayerProfile:
    """Profile of a float tensor of one or more dimensions; `axis` is its channel axis, `bins` those of the weight
    histograms.

    An odd number of bins centres one on zero; left out, it follows from the number of values, 31 to 255. NaN and
    infinite elements are left out and counted. TypeError for a tensor that holds no floats; ValueError for bins outside
    1..256, a single number, or no finite element.

    >>> profile = profile_layer([[0.9, -7.0], [0.2, 3.4]], Scheme.parse("int4"))
    >>> profile.step_max, profile.in_range.total, profile.zeroed.total, profile.worst_channel
    (1.0, 3, 1, 1)
    """
    values = np.asarray(x)
    bins = _choose_bins(values.size) if bins is None else bins
    if not 1 <= bins <= MAX_BINS:
        raise ValueError(f"bins={bins}: a histogram to draw has 1 to {MAX_BINS} bins")
    if values.dtype.kind != "f":
        raise TypeError(f"tensor {name!r} has dtype {values.dtype}: a profile needs float values")
    with np.errstate(over="ignore"):  # float64 beyond float32 counts as not finite
        values = values.astype(np.float32, copy=False)
    if not values.ndim or not np.isfinite(values).any():
        raise ValueError(
            f"tensor {name!r} of shape {values.shape}: a profile needs at least one dimension and one finite element"
        )
    layout = scheme.lay_out(values.shape, axis=axis)
    matrix = layout.to_matrix(values)
    grid = scheme.lay_grid(scheme.find_statistic(matrix, layout))
    return _profile_matrix(_Fitted(matrix, layout, grid, scheme), bins, name)


def _choose_bins(values: int) -> int:
    # A few values in a typical bin, so that a small layer shows its shape and not its noise.
    return min(255, max(31, 3 * math.isqrt(values) | 1))


def profile_bits(
    x: ArrayLike, scheme: Scheme, bits: Iterable[int] = range(2, 17), *, axis: int = 0, name: str = ""
) -> tuple[LayerProfile, ...]:
    """The same tensor under the same scheme at several bit widths, in the order asked: what a scrub over bits shows.

    Exact like `profile_layer`, so each bit width costs as much. Errors as there.
    """
    return tuple(profile_layer(x, scheme.with_format(integer_format(width)), axis=axis, name=name) for width in bits)


@dataclass(frozen=True, slots=True)
class _Fitted:
    """A tensor as a matrix, the layout of its groups, and the grid that a scheme lays over them."""

    matrix: NDArray[np.float32]
    layout: Layout
    grid: Grid
    scheme: Scheme


def _profile_matrix(fitted: _Fitted, bins: int, name: str) -> LayerProfile:
    matrix, grid = fitted.matrix, fitted.grid
    absmax, counts = _measure_extents(matrix, fitted.layout)
    steps = np.where(grid.idle, np.nan, grid.step) if not grid.idle.all() else np.ones(1)
    reach = float(absmax.max()) or 1.0
    # x/step and its product with the step are rounded to float32, which moves e by 2^-23 of the code to either side of
    # LSB/2.
    bound = 0.5 + 2.0**-22 * (grid.coder.high - grid.coder.low) / grid.coder.widest_gap
    sums = _measure_errors(fitted, _Bins(reach, bound, bins))
    channel_count = counts.sum(axis=1)
    in_range, clipped, zeroed = (Histogram(-reach, reach, part) for part in sums.fates.reshape(3, -1))
    levels = grid.levels(int(np.nanargmax(steps)))
    with np.errstate(invalid="ignore"):
        return LayerProfile(
            name=name,
            scheme=fitted.scheme,
            groups=fitted.layout.groups,
            non_finite=matrix.size - int(channel_count.sum()),
            in_range=in_range,
            clipped=clipped,
            zeroed=zeroed,
            error_in_steps=Histogram(
                -ERROR_REACH, ERROR_REACH, sums.errors[1:-1], int(sums.errors[0]), int(sums.errors[-1])
            ),
            beyond_bound=int(sums.beyond),
            step_min=float(np.nanmin(steps)),
            step_max=float(np.nanmax(steps)),
            level_low=float(levels[0]),
            level_high=float(levels[-1]),
            level_count=levels.size,
            levels=levels if levels.size <= MAX_LEVELS else None,
            channel_error=sums.error_power.sum(axis=1) / channel_count,
            channel_power=sums.power / channel_count,
            channel_absmax=absmax.max(axis=1).astype(np.float64),
            channel_count=channel_count,
            group_mse=sums.error_power / counts,
        )


@dataclass(frozen=True, slots=True)
class _Tile:
    """A rectangle of the matrix that cuts no group but those that span its whole side, and the groups it touches."""

    rows: slice
    columns: slice
    groups: tuple[slice, slice]
    layout: Layout


def _cut_tiles(layout: Layout, elements: int = TILE_ELEMENTS) -> Iterator[_Tile]:
    width = _tile_side(elements, layout.columns, layout.block_columns)
    height = _tile_side(max(1, elements // width), layout.rows, layout.block_rows)
    for top in range(0, layout.rows, height):
        for left in range(0, layout.columns, width):
            bottom, right = min(top + height, layout.rows), min(left + width, layout.columns)
            groups = (
                _groups_between(top, bottom, layout.block_rows),
                _groups_between(left, right, layout.block_columns),
            )
            shape = (bottom - top, right - left)
            part = Layout(shape, 0, *shape, min(layout.block_rows, shape[0]), min(layout.block_columns, shape[1]))
            yield _Tile(slice(top, bottom), slice(left, right), groups, part)


def _tile_side(target: int, length: int, block: int) -> int:
    if target >= length or block == length:
        return max(1, min(target, length))
    return max(block, target // block * block)


def _groups_between(start: int, stop: int, block: int) -> slice:
    return slice(start // block, -(-stop // block))


def _over_block_columns(reduce: np.ufunc, values: NDArray[Any], layout: Layout) -> NDArray[Any]:
    """`reduce` along each row within its groups: (rows, columns) to (rows, groups per row)."""
    return np.asarray(reduce.reduceat(values, np.arange(0, layout.columns, layout.block_columns), axis=1))


def _measure_extents(matrix: NDArray[np.float32], layout: Layout) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
    """Largest finite magnitude and number of finite elements by row and group column, both (rows, groups per row)."""
    shape = (layout.rows, layout.group_columns)
    absmax, counts = np.zeros(shape, np.float32), np.zeros(shape, np.int64)
    for tile in _cut_tiles(layout):
        magnitude = np.abs(matrix[tile.rows, tile.columns])
        finite = np.isfinite(magnitude)
        magnitude[~finite] = 0
        place = (tile.rows, tile.groups[1])
        np.maximum(absmax[place], _over_block_columns(np.maximum, magnitude, tile.layout), out=absmax[place])
        counts[place] += _over_block_columns(np.add, finite.astype(np.int64), tile.layout)
    return absmax, counts


@dataclass(frozen=True, slots=True)
class _Bins:
    """Where to count: weights in `count` bins over +-reach, errors in steps in ERROR_BINS bins and beyond +-bound."""

    reach: float
    bound: float
    count: int

    def count_fates(self, x: Doubles, clipped: NDArray[np.bool_], zeroed: NDArray[np.bool_]) -> NDArray[np.int64]:
        """Counts (3 * bins,): the bins of the weights in range, then of the clipped, then of the zeroed ones."""
        # Scaled down by a few units of the last place, so that x = reach stays in the last bin.
        place = ((x + self.reach) * (self.count * (1 - 2.0**-50) / (2 * self.reach))).astype(np.intp)
        moved = np.flatnonzero(clipped)
        bins_of_clipped = place[moved]
        place += zeroed * (2 * self.count)
        place[moved] = bins_of_clipped + self.count
        return np.bincount(place, minlength=3 * self.count)

    def count_errors(self, in_steps: NDArray[np.float32]) -> NDArray[np.int64]:
        """Counts (ERROR_BINS + 2,): below, the bins, above."""
        place = in_steps * np.float32(ERROR_BINS / (2 * ERROR_REACH)) + np.float32(ERROR_BINS / 2 + 1)
        return np.bincount(np.clip(place, 0, ERROR_BINS + 1).astype(np.intp), minlength=ERROR_BINS + 2)


@dataclass(frozen=True, slots=True)
class _Sums:
    error_power: Doubles
    power: Doubles
    fates: NDArray[np.int64]
    errors: NDArray[np.int64]
    beyond: NDArray[np.int64]


def _measure_errors(fitted: _Fitted, bins: _Bins) -> _Sums:
    matrix, layout = fitted.matrix, fitted.layout
    sums = _Sums(
        np.zeros((layout.rows, layout.group_columns)),
        np.zeros(layout.rows),
        np.zeros(3 * bins.count, np.int64),
        np.zeros(ERROR_BINS + 2, np.int64),
        np.zeros((), np.int64),
    )
    # A stochastic draw depends on the element's place in the whole tensor, so that may not be cut.
    for tile in _cut_tiles(layout, matrix.size if fitted.scheme.rounding.is_stochastic else TILE_ELEMENTS):
        values = matrix[tile.rows, tile.columns]
        here = _quantizer_of(tile, fitted)
        restored, clipped = here.inspect(values)
        x = values.astype(np.float64)
        e = restored - x
        finite = np.isfinite(values)
        keep = slice(None) if finite.all() else finite.reshape(-1)
        in_steps = (
            (restored - values) / tile.layout.spread(np.where(here.step > 0, here.step, np.float32(1)))
        ).reshape(-1)[keep]
        zeroed = (restored == 0) & (values != 0)
        sums.fates[:] += bins.count_fates(x.reshape(-1)[keep], clipped.reshape(-1)[keep], zeroed.reshape(-1)[keep])
        sums.errors[:] += bins.count_errors(in_steps)
        sums.beyond[...] += np.count_nonzero(np.abs(in_steps) > bins.bound)
        x[~finite] = e[~finite] = 0
        sums.power[tile.rows] += np.einsum("ij,ij->i", x, x)
        sums.error_power[tile.rows, tile.groups[1]] += _over_block_columns(np.add, e * e, tile.layout)
    return sums


def _quantizer_of(tile: _Tile, fitted: _Fitted) -> LevelQuantizer:
    """The quantizer of the tile's groups."""
    shape = (fitted.layout.group_rows, fitted.layout.group_columns)
    grid = fitted.grid.take(lambda part: part.reshape(shape)[tile.groups].reshape(-1))
    return LevelQuantizer(grid, tile.layout, fitted.scheme.rounding)
