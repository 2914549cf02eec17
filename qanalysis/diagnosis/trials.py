"""What does a layer lose under another scheme, without its outliers, or rotated? Real round trips of its matrix view.

A row is a channel of the scheme's grouping, e = y - x in float64, sums run over finite elements. Draws (rows of a
sample, signs of a rotation) are seeded, so the same layer always gives the same figures.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.linalg import hadamard

from qanalysis.arrays import Doubles, Floats
from qanalysis.diagnosis.profile import OUTLIER_RATIO
from qanalysis.quantizers.grouping import Layout
from qanalysis.quantizers.matrix_view import Axes
from qanalysis.quantizers.scheme import Scheme
from qanalysis.sweeps.row import Row
from qanalysis.sweeps.sweep import sweep

SAMPLE_VALUES = 1 << 21
PIECE = 1 << 16
SEED = 0
LARGEST_RADIX_EXPONENT = 7


@dataclass(frozen=True, eq=False)
class LayerView:
    """A layer as rows and columns (C order, NaN where it is not finite), and the scheme that applies to this matrix."""

    matrix: Floats
    scheme: Scheme

    @property
    def layout(self) -> Layout:
        """The scheme's groups on the matrix."""
        return self.scheme.grouping.lay_out(self.matrix.shape)

    @property
    def signal(self) -> float:
        """Sum of x^2."""
        return _sum_squares(self.matrix)


@dataclass(frozen=True, slots=True)
class Trial:
    """What a round trip gave: sum of e^2, storage, and the row with all figures where a sweep made it."""

    error: float
    bits_per_weight: float
    row: Row | None = None


def view_layer(x: ArrayLike, scheme: Scheme, *, axis: Axes = 0) -> LayerView:
    """The matrix that `scheme` groups, of a float tensor; `axis` is its channel axis, which the scheme may override."""
    with np.errstate(over="ignore"):  # float64 beyond float32 counts as not finite
        values = np.asarray(x, np.float32)
    matrix = np.ascontiguousarray(scheme.grouping.lay_out(values.shape, axis=axis).to_matrix(values))
    finite = np.isfinite(matrix)
    return LayerView(
        matrix if finite.all() else np.where(finite, matrix, np.float32(np.nan)),
        scheme if scheme.grouping.axis is None else replace(scheme, grouping=replace(scheme.grouping, axis=None)),
    )


def try_schemes(matrix: Floats, schemes: Sequence[Scheme]) -> list[Trial | None]:
    """One trial per scheme; None where a scheme does not fit the matrix. A matrix without a signal has no error."""
    trials: list[Trial | None] = []
    for row in sweep({"layer": matrix}, schemes) if schemes else ():
        measured = row.status in ("ok", "zero") and row.bits_per_weight is not None
        error = (row.mse or 0.0) * (row.numel - (row.non_finite or 0))
        trials.append(Trial(error, row.bits_per_weight, row) if measured and row.bits_per_weight is not None else None)
    return trials


def sample_rows(view: LayerView, outliers: NDArray[np.intp]) -> NDArray[np.intp]:
    """Numbers of the rows, about 2^21 values together, that stand for a larger layer; all rows of a smaller one.

    Whole rows (whole blocks of rows, where groups are blocks) drawn at random. Those with the extreme values and the
    `outliers` are always among them, so that ranges which rows share stay what they are.
    """
    rows, columns = view.matrix.shape
    if view.matrix.size <= SAMPLE_VALUES or rows == 1:
        return np.arange(rows)
    height = view.layout.block_rows if view.layout.block_rows < rows else 1
    low, high = np.fmin.reduce(view.matrix, axis=1), np.fmax.reduce(view.matrix, axis=1)
    needed = np.unique(np.append(outliers, [np.nanargmin(low), np.nanargmax(high)]) // height)
    others = np.setdiff1d(np.arange(-(-rows // height)), needed)
    drawn = np.random.default_rng(SEED).permutation(others)[: max(0, SAMPLE_VALUES // (columns * height) - needed.size)]
    blocks = np.sort(np.append(needed, drawn)).astype(np.intp)
    chosen: NDArray[np.intp] = (blocks[:, np.newaxis] * height + np.arange(height)).reshape(-1)
    return np.asarray(chosen[chosen < rows])


@dataclass(frozen=True, eq=False)
class Outliers:
    """Rows or columns whose mean |x| is at least three times the median one; `ratios` to that median of all, ones where
    it is zero.

    Means, because a single large value makes no outlier of the column that it happens to stand in.
    """

    ratios: Doubles

    @property
    def places(self) -> NDArray[np.intp]:
        """Which ones."""
        return np.flatnonzero(self.ratios >= OUTLIER_RATIO)


def find_outliers(view: LayerView) -> tuple[Outliers, Outliers]:
    """Outliers among the rows, and among the columns of the other rows.

    >>> matrix = np.float32([[1, 1, -4], [1, 1, 4], [90, -90, 90]])
    >>> rows, columns = find_outliers(LayerView(matrix, Scheme.parse("int4")))
    >>> rows.places, columns.places
    (array([2]), array([2]))
    """
    magnitude = np.abs(view.matrix)
    np.nan_to_num(magnitude, copy=False, nan=0.0)
    rows = Outliers(_over_median(magnitude.mean(axis=1)))
    return rows, Outliers(_over_median(np.delete(magnitude, rows.places, axis=0).mean(axis=0)))


def _over_median(means: NDArray[np.float32]) -> Doubles:
    median = float(np.median(means))
    return means.astype(np.float64) / median if median > 0 else np.ones(means.size)


def try_rotation(view: LayerView) -> Trial | None:
    """The scheme on the rows after a randomised Walsh-Hadamard rotation, rotated back; None for rows of odd length.

    Signs are drawn per column, then blocks of the largest power of two that divides the row are transformed (as QuaRot
    and SpinQuant do; Ashkboos et al. 2024). Elements that are not finite are rotated as zeros. Storage is that of the
    scheme alone.
    """
    if view.matrix.shape[1] % 2:
        return None
    signs = np.random.default_rng(SEED).choice(np.array([-1, 1], np.float32), view.matrix.shape[1])
    rotated = transform(np.nan_to_num(view.matrix, nan=0.0) * signs)
    restored = transform(view.scheme.fit(rotated).round_trip(rotated)) * signs
    return Trial(_sum_squares(restored - view.matrix), math.nan)


def transform(matrix: Floats) -> Floats:
    """The orthonormal Walsh-Hadamard transform of each row in blocks of the largest power of two that divides it; its
    own inverse.

    >>> transform(np.float32([[3, 1, 1, 3, 0, 0, 0, 0, 1, 1, 1, 1]])).tolist()
    [[4.0, 0.0, 0.0, 2.0, 0.0, 0.0, 0.0, 0.0, 2.0, 0.0, 0.0, 0.0]]
    """
    exponent = rotation_block(matrix.shape[1]).bit_length() - 1
    parts = -(-exponent // LARGEST_RADIX_EXPONENT) or 1
    radices = [1 << ((exponent + part) // parts) for part in range(parts)]
    blocks = matrix.reshape(-1, *radices)
    # The transform of a product of lengths is the product of transforms: small matrix products in place of log2 passes.
    for place, radix in enumerate(radices, start=1):
        small = hadamard(radix, dtype=np.float32) / np.float32(math.sqrt(radix))
        blocks = np.moveaxis(np.tensordot(blocks, small, axes=(place, 0)), -1, place)
    return np.ascontiguousarray(blocks).reshape(matrix.shape)


def rotation_block(columns: int) -> int:
    """The largest power of two that divides a row's length."""
    return columns & -columns


def try_keeping(view: LayerView, percents: Sequence[float]) -> list[Trial | None]:
    """The scheme on all but the largest p percent of |x|, which are kept in 16 bits with their place; None where that
    is no value.

    Kept values are left out of the range and take whichever of float16 and bfloat16 errs less. Each is stored beside
    the codes: 16 bits and its place in the layer, log2 of the number of elements rounded up.
    """
    magnitude = np.nan_to_num(np.abs(view.matrix), nan=-1.0).reshape(-1)
    finite = int(np.count_nonzero(magnitude >= 0))
    counts = [round(finite * percent / 100) for percent in percents]
    order = (
        np.argpartition(magnitude, sorted({magnitude.size - count for count in counts if count}))
        if any(counts)
        else magnitude
    )
    trials: list[Trial | None] = []
    for count in counts:
        kept = order[magnitude.size - count :]
        trials.append(
            _try_without(view, kept, bits=16 + math.ceil(math.log2(magnitude.size))) if 0 < count < finite else None
        )
    return trials


def try_keeping_columns(view: LayerView, columns: NDArray[np.intp]) -> Trial | None:
    """The scheme on all but some columns, which are kept in 16 bits beside their codes (LLM.int8(); Dettmers et al.
    2022).
    """
    places = np.arange(view.matrix.size).reshape(view.matrix.shape)[:, columns].reshape(-1)
    return _try_without(view, places[np.isfinite(view.matrix.reshape(-1)[places])], bits=16)


def _try_without(view: LayerView, kept: NDArray[np.intp], *, bits: int) -> Trial | None:
    rest = view.matrix.copy()
    values = rest.reshape(-1)[kept].astype(np.float64)
    rest.reshape(-1)[kept] = np.nan
    trial = try_schemes(rest, [view.scheme])[0]
    return trial and Trial(
        trial.error + _narrow_error(values), trial.bits_per_weight + kept.size * bits / view.matrix.size
    )


def _narrow_error(values: Doubles) -> float:
    import ml_dtypes

    with np.errstate(over="ignore"):
        return min(
            _sum_squares(values.astype(kind).astype(np.float64) - values) for kind in (np.float16, ml_dtypes.bfloat16)
        )


def _sum_squares(values: NDArray[np.floating]) -> float:
    """Sum of squares in float64 of what is not NaN, piece by piece, so that temporaries stay in cache."""
    flat, total = values.reshape(-1), 0.0
    for start in range(0, flat.size, PIECE):
        piece = flat[start : start + PIECE].astype(np.float64)
        squares = float(piece @ piece)
        total += float(np.nansum(piece * piece)) if math.isnan(squares) else squares
    return total
