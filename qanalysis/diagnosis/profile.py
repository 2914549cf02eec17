"""What does one layer look like under one scheme? Histograms, the grid, and which channels and groups carry the error.

Notation: x is a weight (float32), y its round trip, e = y - x in float64. A channel is a row of the grouping's matrix
view, a group a run of columns of it. Everything is exact: all finite elements are counted; how is in `tallies`.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from qanalysis.arrays import Doubles
from qanalysis.decibels import ratio_db, ratios_db
from qanalysis.diagnosis.tallies import Bins, Measured, measure_matrix
from qanalysis.notation import quote
from qanalysis.quantizers.families import integer_format
from qanalysis.quantizers.matrix_view import Axes
from qanalysis.quantizers.scheme import Scheme
from qanalysis.sums import Histogram

MAX_BINS = 256
ERROR_BINS = 121
#: Steps: the bound at half a step and some room beyond it; 0.01 step per bin, one of them centred on zero.
ERROR_REACH = 0.605
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
    x: ArrayLike, scheme: Scheme, *, axis: Axes = 0, bins: int | None = None, name: str = ""
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
    return _profile(x, (scheme,), axis=axis, bins=bins, name=name)[0]


def _choose_bins(values: int) -> int:
    # A few values in a typical bin, so that a small layer shows its shape and not its noise.
    return min(255, max(31, 3 * math.isqrt(values) | 1))


def profile_bits(
    x: ArrayLike, scheme: Scheme, bits: Iterable[int] = range(2, 17), *, axis: Axes = 0, name: str = ""
) -> tuple[LayerProfile, ...]:
    """The same tensor under the same scheme at several bit widths, in the order asked.

    Exact like `profile_layer`; tile by tile, all widths look at the values while they are in cache. Errors as there.
    """
    schemes = tuple(scheme.with_format(integer_format(width)) for width in bits)
    return _profile(x, schemes, axis=axis, bins=None, name=name) if schemes else ()


def _profile(
    x: ArrayLike, schemes: Sequence[Scheme], *, axis: Axes, bins: int | None, name: str
) -> tuple[LayerProfile, ...]:
    values = np.asarray(x)
    bins = _choose_bins(values.size) if bins is None else bins
    if not 1 <= bins <= MAX_BINS:
        raise ValueError(f"bins={bins}: a histogram to draw has 1 to {MAX_BINS} bins")
    if values.dtype.kind != "f":
        raise TypeError(f"tensor {quote(name)} has dtype {values.dtype}: a profile needs float values")
    with np.errstate(over="ignore"):  # float64 beyond float32 counts as not finite
        values = values.astype(np.float32, copy=False)
    measured = None
    if values.ndim and values.size:
        layout = schemes[0].lay_out(values.shape, axis=axis)
        measured = measure_matrix(layout.to_matrix(values), layout, schemes, Bins(bins, ERROR_BINS, ERROR_REACH))
    if measured is None:
        raise ValueError(
            f"tensor {quote(name)} of shape {values.shape}: a profile needs at least one dimension and one finite "
            "element"
        )
    return tuple(_describe(measured, place, scheme, name) for place, scheme in enumerate(schemes))


def _describe(measured: Measured, place: int, scheme: Scheme, name: str) -> LayerProfile:
    """The profile under one of the schemes."""
    found, grid, tally = measured.survey, measured.grids[place], measured.tally
    counts, channel_count = found.counts, found.counts.sum(axis=1)
    reach = float(found.absmax.max()) or 1.0
    in_range, clipped, zeroed = (Histogram(-reach, reach, part) for part in tally.fates[place])
    below, *_, above = errors = tally.errors[place]
    steps = grid.step if grid.unused is None else np.where(grid.unused, np.float32(0), grid.step)
    active = steps if grid.unused is None else steps[~grid.unused]
    active = active if active.size else np.ones(1, np.float32)
    levels = grid.levels(int(steps.argmax()))
    with np.errstate(invalid="ignore"):
        return LayerProfile(
            name=name,
            scheme=scheme,
            groups=grid.scale.size,
            non_finite=measured.size - int(channel_count.sum()),
            in_range=in_range,
            clipped=clipped,
            zeroed=zeroed,
            error_in_steps=Histogram(-ERROR_REACH, ERROR_REACH, errors[1:-1], int(below), int(above)),
            beyond_bound=int(tally.beyond[place]),
            step_min=float(active.min()),
            step_max=float(active.max()),
            level_low=float(levels[0]),
            level_high=float(levels[-1]),
            level_count=levels.size,
            levels=levels if levels.size <= MAX_LEVELS else None,
            channel_error=tally.squares[place].sum(axis=1) / channel_count,
            channel_power=found.power.sum(axis=1) / channel_count,
            channel_absmax=found.absmax.astype(np.float64),
            channel_count=channel_count.astype(np.int64),
            group_mse=tally.squares[place] / counts,
        )
