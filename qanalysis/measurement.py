"""What does one tensor lose under each scheme? Pieces in, one row per scheme out.

First pass: the ranges of groups that cross pieces. Second pass: each piece is read once, its own groups are fitted, and
every scheme's sums are taken while it is in cache. A range rule other than minmax on a crossing group holds the tensor whole.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from concurrent.futures import Executor
from contextlib import nullcontext
from dataclasses import dataclass, replace

import numpy as np

from qanalysis import kernels
from qanalysis.checkpoints.source import CheckpointError, TensorInfo, TensorSource
from qanalysis.chunks import Chunk, cut_chunks
from qanalysis.formats import Floats, Grid
from qanalysis.grouping import Layout
from qanalysis.metrics import ErrorStats
from qanalysis.quantizer import ROUNDINGS
from qanalysis.ranges import MinMax
from qanalysis.results import Row, Status
from qanalysis.scheme import Scheme
from qanalysis.theory import absmax_groups_sqnr_db

Read = Callable[[int, int], Floats]
Range = tuple[Floats, Floats]
Job = tuple[Scheme, Layout]

# A tensor that must be held whole and has more values than this is held alone.
LARGE_VALUES = 1 << 24
# Between these magnitudes float32 lanes hold squares without overflow or loss; other pieces are scaled by a power of two.
SAFE_MAGNITUDES = (2.0**-40, 2.0**40)


class Cancelled(Exception):  # noqa: N818  nothing went wrong
    """The user ended the sweep."""


@dataclass(frozen=True, slots=True)
class Measured:
    """One tensor's rows in the order of the schemes, with the sums behind them (None where nothing was measured)."""

    info: TensorInfo
    rows: tuple[Row, ...]
    stats: tuple[ErrorStats | None, ...]


@dataclass(frozen=True, slots=True)
class Workshop:
    """What measuring needs besides data: the pool that works on pieces, the stop sign, the lock for large tensors."""

    pool: Executor
    cancel: threading.Event
    large: threading.Lock

    def check(self) -> None:
        """Raise Cancelled once the stop sign is set."""
        if self.cancel.is_set():
            raise Cancelled


def measure_tensor(source: TensorSource, info: TensorInfo, schemes: Sequence[Scheme], *, workshop: Workshop) -> Measured:
    """Measure one tensor under every scheme. What can not be measured gives rows with a status and a reason.

    Raises Cancelled soon after the workshop's stop sign is set.
    """
    workshop.check()
    refusal = _refuse(info)
    if refusal:
        return _give_up(info, schemes, *refusal)
    layouts, reasons = _lay_out(info, schemes)
    stats: list[ErrorStats | None] = [None] * len(schemes)
    try:
        for axis in dict.fromkeys(layout.axis for layout in layouts.values()):
            places = [place for place, layout in layouts.items() if layout.axis == axis]
            for place, sums in zip(places, _measure_view(source, info, [(schemes[place], layouts[place]) for place in places], workshop), strict=True):
                stats[place] = sums
    except (CheckpointError, OSError) as error:
        return _give_up(info, schemes, "failed", str(error))
    except MemoryError:
        return _give_up(info, schemes, "failed", f"{info.name!r}: {info.numel} values do not fit in memory; use range=minmax or a machine with more")
    rows = [
        describe_row(info, scheme, sums, layout=layouts.get(place), reason=reasons.get(place, ""))
        for place, (scheme, sums) in enumerate(zip(schemes, stats, strict=True))
    ]
    return Measured(info, tuple(rows), tuple(stats))


def _refuse(info: TensorInfo) -> tuple[Status, str] | None:
    if not info.decodes:
        return "unsupported", f"dtype {info.dtype} does not hold real numbers that can be measured"
    if not info.shape:
        return "unsupported", "a 0-d tensor is one number; there is nothing to group"
    if not info.numel:
        return "empty", "the tensor has no elements"
    return None


def _give_up(info: TensorInfo, schemes: Sequence[Scheme], status: Status, reason: str) -> Measured:
    rows = tuple(replace(describe_row(info, scheme, None), status=status, reason=reason) for scheme in schemes)
    return Measured(info, rows, (None,) * len(schemes))


def _lay_out(info: TensorInfo, schemes: Sequence[Scheme]) -> tuple[dict[int, Layout], dict[int, str]]:
    layouts: dict[int, Layout] = {}
    reasons: dict[int, str] = {}
    for place, scheme in enumerate(schemes):
        try:
            layout = scheme.grouping.lay_out(info.shape, axis=info.channel_axis)
        except ValueError as error:
            reasons[place] = str(error)
            continue
        layouts[place] = layout
        wanted = scheme.grouping.columns
        if wanted is not None and wanted > layout.columns:
            reasons[place] = f"{scheme.grouping} is longer than the row of {layout.columns}: one ragged group per row"
    return layouts, reasons


def _measure_view(source: TensorSource, info: TensorInfo, jobs: Sequence[Job], workshop: Workshop) -> list[ErrorStats]:
    chunks = list(cut_chunks([layout for _scheme, layout in jobs]))
    crossing = [chunks[0].crosses(layout) for _scheme, layout in jobs]
    must_hold = any(crosses and scheme.range != MinMax() for crosses, (scheme, _layout) in zip(crossing, jobs, strict=True))
    whole = must_hold or jobs[0][1].axis != 0 or not source.is_sliceable(info)
    with workshop.large if whole and info.numel > LARGE_VALUES else nullcontext():
        read = _reader(source, info, jobs[0][1], whole=whole)
        ranges = _find_crossing_ranges(read, chunks, jobs, crossing, workshop)
        futures = [workshop.pool.submit(_measure_chunk, read, chunk, jobs, ranges, workshop) for chunk in chunks]
        totals = [ErrorStats()] * len(jobs)
        for future in futures:
            totals = [total + part for total, part in zip(totals, future.result(), strict=True)]
    return totals


def _reader(source: TensorSource, info: TensorInfo, layout: Layout, *, whole: bool) -> Read:
    if not whole:
        return lambda start, stop: source.read_slice(info, start, stop)
    flat = np.ascontiguousarray(layout.to_matrix(source.read(info))).reshape(-1)
    return lambda start, stop: flat[start:stop]


def _find_crossing_ranges(read: Read, chunks: Sequence[Chunk], jobs: Sequence[Job], crossing: Sequence[bool], workshop: Workshop) -> list[Range | None]:
    crossing_jobs = [job for crosses, job in zip(crossing, jobs, strict=True) if crosses]
    extremes = {layout: (np.zeros(layout.groups, np.float32), np.zeros(layout.groups, np.float32)) for scheme, layout in crossing_jobs if scheme.range == MinMax()}
    if extremes:
        parts = [(chunk, workshop.pool.submit(_find_extremes, read, chunk, list(extremes), workshop)) for chunk in chunks]
        for chunk, part in parts:
            for layout, (low, high) in zip(extremes, part.result(), strict=True):
                for total, own, widen in zip(extremes[layout], (low, high), (np.minimum, np.maximum), strict=True):
                    window = chunk.take(total, layout)
                    widen(window, own.reshape(window.shape), out=window)
    ranges: list[Range | None] = [None] * len(jobs)
    for place, (crosses, (scheme, layout)) in enumerate(zip(crossing, jobs, strict=True)):
        if crosses and scheme.range == MinMax():
            ranges[place] = extremes[layout]
        elif crosses:
            ranges[place] = scheme.find_range(read(0, chunks[-1].stop).reshape(layout.rows, layout.columns), layout, check=workshop.check)
    return ranges


def _find_extremes(read: Read, chunk: Chunk, layouts: Sequence[Layout], workshop: Workshop) -> list[Range]:
    workshop.check()
    values, _bad, _largest = _clean(read(chunk.start, chunk.stop))
    return [_extremes_of(values, chunk.localize(layout)) for layout in layouts]


def _extremes_of(values: Floats, local: Layout) -> Range:
    # Every grid holds 0, so a range may start from there.
    low, high = np.zeros(local.groups, np.float32), np.zeros(local.groups, np.float32)
    kernels.extremes(values, local.columns, local.block_rows, local.block_columns, low, high)
    return low, high


def _clean(values: Floats) -> tuple[Floats, int, float]:
    """The values with 0 in place of what is not finite (0 has no error on any grid here), how many, and max |x|."""
    bad, largest = kernels.scan(values)
    return (np.where(np.isfinite(values), values, np.float32(0)) if bad else values), bad, float(largest)


def _measure_chunk(read: Read, chunk: Chunk, jobs: Sequence[Job], ranges: Sequence[Range | None], workshop: Workshop) -> list[ErrorStats]:
    workshop.check()
    raw = read(chunk.start, chunk.stop)
    values, bad, largest = _clean(raw)
    piece = _prepare(values, bad, _choose_exponent(largest, ranges))
    extremes: dict[Layout, Range] = {}
    stats = []
    for (scheme, layout), crossing_range in zip(jobs, ranges, strict=True):
        workshop.check()
        local = chunk.localize(layout)
        if crossing_range is not None:
            found: Range = (chunk.take(crossing_range[0], layout).reshape(-1), chunk.take(crossing_range[1], layout).reshape(-1))
        elif scheme.range == MinMax():
            found = extremes[local] = extremes.get(local) or _extremes_of(values, local)
        else:
            found = scheme.find_range(raw.reshape(local.rows, local.columns), local, check=workshop.check)
        grid = scheme.lay_grid(*found)
        owns_groups = crossing_range is None or chunk.begins_groups(layout)
        stats.append(_take_sums(piece, scheme, grid, local, chunk.start) + _count_storage(scheme, values.size, grid, owns_groups=owns_groups))
    return stats


@dataclass(frozen=True, slots=True)
class _Piece:
    """A chunk ready for the kernels: finite values times 2^exponent, 1/|x|, and the sums that no scheme changes."""

    values: Floats
    reciprocal: Floats
    exponent: int
    tiny: int
    signal: ErrorStats


def _prepare(values: Floats, bad: int, exponent: int) -> _Piece:
    scaled = np.ldexp(values, exponent) if exponent else values
    reciprocal = np.empty_like(scaled)
    sum_x, sum_x2, nonzero, tiny = kernels.moments(scaled, reciprocal)
    signal = ErrorStats(count=values.size - bad, non_finite=bad, relative_count=nonzero, sum_x=sum_x, sum_x2=sum_x2)
    return _Piece(scaled, reciprocal, exponent, tiny, signal)


def _choose_exponent(largest: float, ranges: Sequence[Range | None]) -> int:
    reach = max([largest, *(float(max(-found[0].min(), found[1].max())) for found in ranges if found is not None)])
    low, high = SAFE_MAGNITUDES
    return 0 if reach == 0 or low <= reach <= high else -int(np.frexp(reach)[1])


def _take_sums(piece: _Piece, scheme: Scheme, grid: Grid, local: Layout, start: int) -> ErrorStats:
    step, inverse = np.ldexp(grid.step, piece.exponent), np.ldexp(grid.inverse, -piece.exponent)
    shared = slice(0, 1) if scheme.symmetry.signed else slice(None)
    columns, block_rows, block_columns = (piece.values.size, 1, piece.values.size) if local.groups == 1 else (local.columns, local.block_rows, local.block_columns)
    place = (piece.values, piece.reciprocal, columns, block_rows, block_columns, step, inverse)
    sums = np.zeros(kernels.SUMS)
    mode = list(ROUNDINGS).index(scheme.rounding.name)
    kernels.accumulate(*place, grid.low_code[shared], grid.high_code[shared], mode, scheme.rounding.seed, start, sums)
    if piece.tiny:
        kernels.add_tiny_relative(*place, grid.low_code, grid.high_code, sums)
    values = sums.tolist()
    taken = replace(
        piece.signal,
        sum_e=values[kernels.SUM_E],
        sum_e2=values[kernels.SUM_E2],
        sum_xe=values[kernels.SUM_XE],
        sum_abs_e=values[kernels.SUM_ABS_E],
        sum_relative=values[kernels.SUM_RELATIVE],
        sum_e2_in_steps=values[kernels.SUM_E2_IN_STEPS],
        clipped_e2=values[kernels.CLIPPED_E2],
        clipped=int(values[kernels.CLIPPED]),
        zeroed=int(values[kernels.ZERO_CODES]) - (piece.values.size - piece.signal.relative_count),
        max_abs_e=values[kernels.MAX_ABS_E],
    )
    return taken.scaled(2.0**-piece.exponent) if piece.exponent else taken


def _count_storage(scheme: Scheme, values: int, grid: Grid, *, owns_groups: bool) -> ErrorStats:
    per_value, per_group = scheme.storage_bits
    if not owns_groups:
        return ErrorStats(storage_bits=per_value * values)
    steps = grid.step[~grid.idle].astype(np.float64)
    return ErrorStats(
        groups=steps.size,
        step_sum=float(steps.sum()),
        step_low=float(steps.min(initial=np.inf)),
        step_high=float(steps.max(initial=0.0)),
        storage_bits=per_value * values + per_group * grid.step.size,
    )


_MEASURED = (
    "bits_per_weight size_bytes step_min step_mean step_max half_step_bound max_abs_error mean_abs_error bias mse rmse_in_steps sqnr_db sqnr_ac_db enob relative_l2 "
    "mean_relative_error relative_count cosine error_signal_correlation clipped_fraction zeroed_fraction rounding_share clipping_share shannon_gap_db non_finite"
).split()


def describe_row(info: TensorInfo, scheme: Scheme, stats: ErrorStats | None, *, layout: Layout | None = None, reason: str = "") -> Row:
    """The row of one tensor (or of a total, named by `info`) under one scheme; no figures where nothing was measured."""
    row = Row(
        tensor=info.name,
        kind=info.kind,
        shape="x".join(map(str, info.shape)),
        dtype=info.dtype,
        numel=info.numel,
        scheme=str(scheme),
        format=str(scheme.format),
        bits=scheme.format.bits,
        grouping=str(scheme.grouping),
        symmetry=scheme.symmetry.name,
        range=str(scheme.range),
        scale=scheme.scale.name,
        reason=reason,
    )
    if stats is None:
        return replace(row, status="unsupported")
    if not stats.count:
        return replace(row, status="non-finite", non_finite=stats.non_finite, reason="no element is finite")
    if not stats.relative_count:
        zeros = "every finite element is 0" if stats.non_finite else "every element is 0"
        return replace(row, status="zero", bits_per_weight=stats.bits_per_weight, size_bytes=stats.size_bytes, non_finite=stats.non_finite, reason=zeros)
    return replace(row, theory_sqnr_db=_predict(scheme, layout), **{name: getattr(stats, name) for name in _MEASURED})


def _predict(scheme: Scheme, layout: Layout | None) -> float | None:
    """The prediction for a Gaussian at the real group lengths; only absmax ranges on the symmetric grid have one yet."""
    if layout is None or scheme.symmetry.name != "sym" or scheme.range != MinMax():
        return None
    return absmax_groups_sqnr_db(scheme.format.bits, layout.length_counts)
