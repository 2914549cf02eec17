"""What does one tensor lose under each scheme? Pieces in, one row per scheme out.

First pass: the ranges of groups that cross pieces. Second pass: each piece is read once, its own groups are fitted, and
every scheme's sums are taken while it is in cache. A range rule other than minmax on a crossing group holds the tensor whole.
"""

from __future__ import annotations

import math
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import Executor
from contextlib import nullcontext
from dataclasses import dataclass, replace
from functools import lru_cache, partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from qanalysis.arrays import Floats
from qanalysis.checkpoints.source import CheckpointError, TensorInfo, TensorSource
from qanalysis.kernels import codes
from qanalysis.kernels.coded import accumulate_coded
from qanalysis.kernels.lanes import LARGEST_TAME, SMALLEST_TAME
from qanalysis.kernels.scans import extremes as widen_extremes
from qanalysis.kernels.scans import scan
from qanalysis.kernels.uniform import accumulate, accumulate_rounded
from qanalysis.quantizers.grids import Grid
from qanalysis.quantizers.grouping import Layout
from qanalysis.quantizers.rounding import Rounding
from qanalysis.quantizers.scheme import Scheme
from qanalysis.quantizers.statistics import Range, Statistic
from qanalysis.sums import ErrorStats
from qanalysis.sweeps.chunks import Chunk, cut_chunks
from qanalysis.sweeps.row import COLUMNS, Row, Status
from qanalysis.theory.predictions import predict_sqnr_db

Read = Callable[[int, int], Floats]
Job = tuple[Scheme, Layout]

# A tensor that must be held whole and has more values than this is held alone.
LARGE_VALUES = 1 << 24


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
    """What measuring needs besides data: the pool that works on pieces, how many may compute at once, the stop sign, the lock for large tensors."""

    pool: Executor
    turns: threading.Semaphore
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
            layout = scheme.lay_out(info.shape, axis=info.channel_axis)
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
    crossing = [scheme.is_tensor_scaled or chunks[0].crosses(layout) for scheme, layout in jobs]
    must_hold = any(crosses and not scheme.takes_extremes for crosses, (scheme, _layout) in zip(crossing, jobs, strict=True))
    whole = must_hold or jobs[0][1].axis != 0 or not source.is_sliceable(info)
    with workshop.large if whole and info.numel > LARGE_VALUES else nullcontext():
        read = _reader(source, info, jobs[0][1], whole=whole)
        ranges = _find_crossing_ranges(read, chunks, jobs, crossing, workshop)
        if len(chunks) == 1:
            return _add_tensor_bits(_take_turn(read, chunks[0], jobs, ranges, workshop), jobs)
        futures = [workshop.pool.submit(_take_turn, read, chunk, jobs, ranges, workshop) for chunk in chunks]
        totals = [ErrorStats()] * len(jobs)
        for future in futures:
            totals = [total + part for total, part in zip(totals, future.result(), strict=True)]
    return _add_tensor_bits(totals, jobs)


def _add_tensor_bits(stats: Sequence[ErrorStats], jobs: Sequence[Job]) -> list[ErrorStats]:
    bits = [scheme.tensor_bits(layout.groups) for scheme, layout in jobs]
    return [replace(sums, storage_bits=sums.storage_bits + extra) if extra else sums for sums, extra in zip(stats, bits, strict=True)]


def _reader(source: TensorSource, info: TensorInfo, layout: Layout, *, whole: bool) -> Read:
    if not whole:
        return lambda start, stop: source.read_slice(info, start, stop)
    flat = np.ascontiguousarray(layout.to_matrix(source.read(info))).reshape(-1)
    return lambda start, stop: flat[start:stop]


def _find_crossing_ranges(read: Read, chunks: Sequence[Chunk], jobs: Sequence[Job], crossing: Sequence[bool], workshop: Workshop) -> list[Statistic | None]:
    pooled = [_pool(scheme, layout) for scheme, layout in jobs]
    wanted = [layout for crosses, (scheme, _layout), layout in zip(crossing, jobs, pooled, strict=True) if crosses and scheme.takes_extremes]
    extremes = {layout: Range(np.zeros(layout.groups, np.float32), np.zeros(layout.groups, np.float32)) for layout in wanted}
    if extremes:
        parts = [(chunk, workshop.pool.submit(_find_extremes, read, chunk, list(extremes), workshop)) for chunk in chunks]
        for chunk, part in parts:
            for layout, found in zip(extremes, part.result(), strict=True):
                for total, own, widen in zip((extremes[layout].low, extremes[layout].high), (found.low, found.high), (np.minimum, np.maximum), strict=True):
                    window = chunk.take(total, layout)
                    widen(window, own.reshape(window.shape), out=window)
    ranges: list[Statistic | None] = [None] * len(jobs)
    for place, (crosses, (scheme, layout)) in enumerate(zip(crossing, jobs, strict=True)):
        if crosses and scheme.takes_extremes:
            ends = extremes[pooled[place]]
            ranges[place] = ends if scheme.has_outer_scale else scheme.settle(ends)
        elif crosses:
            ranges[place] = scheme.find_statistic(read(0, chunks[-1].stop).reshape(layout.rows, layout.columns), layout, check=workshop.check)
    return ranges


def _pool(scheme: Scheme, layout: Layout) -> Layout:
    """The groups whose ranges a scheme must know before any piece: the tensor as a whole where only its largest magnitude matters."""
    return replace(layout, block_rows=layout.rows, block_columns=layout.columns) if scheme.has_outer_scale else layout


def _find_extremes(read: Read, chunk: Chunk, layouts: Sequence[Layout], workshop: Workshop) -> list[Range]:
    with workshop.turns:
        workshop.check()
        values, _bad, _largest = _clean(read(chunk.start, chunk.stop))
        return [_extremes_of(values, chunk.localize(layout)) for layout in layouts]


def _extremes_of(values: Floats, local: Layout) -> Range:
    # Every grid holds 0, so a range may start from there.
    low, high = np.zeros(local.groups, np.float32), np.zeros(local.groups, np.float32)
    widen_extremes(values, local.columns, local.block_rows, local.block_columns, low, high)
    return Range(low, high)


def _clean(values: Floats) -> tuple[Floats, int, float]:
    """The values with 0 in place of what is not finite (0 has no error on any grid here), how many, and max |x|."""
    bad, largest = scan(values)
    return (np.where(np.isfinite(values), values, np.float32(0)) if bad else values), bad, float(largest)


def _take_groups(chunk: Chunk, layout: Layout, part: Floats) -> Floats:
    return chunk.take(part, layout).reshape(-1)


def _take_turn(read: Read, chunk: Chunk, jobs: Sequence[Job], ranges: Sequence[Statistic | None], workshop: Workshop) -> list[ErrorStats]:
    with workshop.turns:
        return _measure_chunk(read, chunk, jobs, ranges, workshop)


def _measure_chunk(read: Read, chunk: Chunk, jobs: Sequence[Job], ranges: Sequence[Statistic | None], workshop: Workshop) -> list[ErrorStats]:
    workshop.check()
    raw = read(chunk.start, chunk.stop)
    values, bad, largest = _clean(raw)
    locals_of = {layout: chunk.localize(layout) for _scheme, layout in jobs}
    extremes: dict[Layout, Range] = {}
    grids = []
    for (scheme, layout), crossing_range in zip(jobs, ranges, strict=True):
        local = locals_of[layout]
        found: Statistic
        if scheme.has_outer_scale and isinstance(crossing_range, Range):
            found = scheme.settle(_extremes_of(values, local), largest=crossing_range.largest[0])
        elif crossing_range is not None:
            found = crossing_range.take(partial(_take_groups, chunk, layout))
        elif scheme.takes_extremes:
            if local not in extremes:
                extremes[local] = _extremes_of(values, local)
            found = extremes[local]
        else:
            found = scheme.find_statistic(raw.reshape(local.rows, local.columns), local, check=workshop.check)
        grids.append(scheme.lay_grid(found))
    owned = [found is None or chunk.begins_groups(layout) for found, (_scheme, layout) in zip(ranges, jobs, strict=True)]
    bench = _Bench(values, raw if bad else values[:0], chunk.start, largest)
    pieces = [_Piece(scheme, locals_of[layout], grid, owns) for (scheme, layout), grid, owns in zip(jobs, grids, owned, strict=True)]
    return [_name_sums(values.size, bad, moments, line, piece) for piece, (moments, line) in zip(pieces, bench.take_sums(pieces), strict=True)]


@dataclass(frozen=True, slots=True)
class _Piece:
    """A scheme's grid on a chunk, the layout of its groups there, and whether the chunk is the one to count their steps and storage."""

    scheme: Scheme
    layout: Layout
    grid: Grid
    owns_groups: bool


@dataclass(frozen=True, slots=True)
class _Bench:
    """A chunk's values, with 0 where `raw` is not finite (`raw` is empty where all are), its place in the tensor, and max |x|."""

    values: Floats
    raw: Floats
    start: int
    largest: float

    def take_sums(self, pieces: Sequence[_Piece]) -> list[tuple[list[float], list[float]]]:
        """The kernels' moments of the chunk and its sums under each grid, in the order that `kernels` names."""
        integers = [piece for piece in pieces if piece.scheme.format.is_integer]
        coded = [piece for piece in pieces if not piece.scheme.format.is_integer]
        found: dict[int, tuple[list[float], list[float]]] = {}
        for part, take in ((integers, self._take_integers), (coded, self._take_coded)):
            if part:
                moments, sums = np.zeros(len(codes.MOMENTS)), np.zeros((len(part), len(codes.SUMS)))
                take(part, moments, sums)
                found |= {id(piece): (moments.tolist(), line) for piece, line in zip(part, sums.tolist(), strict=True)}
        return [found[id(piece)] for piece in pieces]

    def _blocks(self, layout: Layout) -> tuple[int, int, int]:
        return (self.values.size, 1, self.values.size) if layout.groups == 1 else (layout.columns, layout.block_rows, layout.block_columns)

    def _take_integers(self, pieces: Sequence[_Piece], moments: NDArray[np.float64], sums: NDArray[np.float64]) -> None:
        geometry = np.empty((len(pieces), codes.GEOMETRY), np.int64)
        ends = [piece.grid.ends for piece in pieces]
        first = pair = 0
        for line, piece, (low, _high) in zip(geometry, pieces, ends, strict=True):
            rounding = piece.scheme.rounding
            line[:] = *self._blocks(piece.layout), first, rounding.mode, rounding.seed, _has_tame_steps(piece.grid, self.largest), pair, int(low.size > 1)
            first += piece.grid.scale.size
            pair += low.size
        step, inverse = np.concatenate([piece.grid.scale for piece in pieces]), np.concatenate([piece.grid.inverse for piece in pieces])
        low_codes, high_codes = np.concatenate([low for low, _ in ends]), np.concatenate([high for _, high in ends])
        take = accumulate if all(piece.scheme.rounding == Rounding() for piece in pieces) else accumulate_rounded
        take(self.values, self.start, geometry, step, inverse, low_codes, high_codes, moments, sums)
        # The kernel counts every y = 0, and on these grids x = 0 always gives y = 0.
        sums[:, codes.ZEROED] -= self.values.size - moments[codes.NONZERO]

    def _take_coded(self, pieces: Sequence[_Piece], moments: NDArray[np.float64], sums: NDArray[np.float64]) -> None:
        geometry = np.empty((len(pieces), codes.GEOMETRY), np.int64)
        parameters = np.zeros((len(pieces), codes.MOST_PARAMETERS), np.float32)
        first = 0
        for line, own, piece in zip(geometry, parameters, pieces, strict=True):
            coder, rounding = piece.grid.coder, piece.scheme.rounding
            line[:] = *self._blocks(piece.layout), first, rounding.mode, rounding.seed, _has_tame_steps(piece.grid, self.largest), coder.kind, 0
            own[: len(coder.parameters)] = coder.parameters
            first += piece.grid.scale.size
        parts = np.ascontiguousarray(np.concatenate([piece.grid.parts for piece in pieces], axis=1))
        accumulate_coded(self.values, self.raw, self.start, geometry, parts, parameters, moments, sums)


def _has_tame_steps(grid: Grid, largest: float) -> bool:
    """Whether errors, and errors over steps, can be squared in float32: a stored scale may be far from the data's."""
    # The step of a group without a signal is 1, which is tame for anything that is.
    limit = float(LARGEST_TAME)
    # Where 0 is no number of the format, the smallest step has errors even in a tile of zeros.
    least = float(SMALLEST_TAME) if grid.coder.kind == codes.SIGN or grid.centre else 0.0
    return grid.largest <= limit and largest <= limit * grid.smallest and grid.smallest >= least


def _name_sums(size: int, bad: int, moments: Sequence[float], sums: Sequence[float], piece: _Piece) -> ErrorStats:
    """One chunk's sums under one scheme; steps and their storage are counted by the chunk where the groups begin."""
    grid, owns_groups = piece.grid, piece.owns_groups
    per_value, per_group = piece.scheme.storage_bits
    steps = grid.step if grid.unused is None else grid.step[~grid.unused]
    return ErrorStats(
        count=size - bad,
        non_finite=bad,
        relative_count=int(moments[codes.NONZERO]),
        sum_x=moments[codes.SUM_X],
        sum_x2=moments[codes.SUM_X2],
        sum_e=sums[codes.SUM_E],
        sum_e2=sums[codes.SUM_E2],
        sum_xe=sums[codes.SUM_XE],
        sum_abs_e=sums[codes.SUM_ABS_E],
        sum_relative=sums[codes.SUM_RELATIVE],
        sum_e2_in_steps=sums[codes.SUM_E2_IN_STEPS],
        clipped_e2=sums[codes.CLIPPED_E2],
        clipped=int(sums[codes.CLIPPED]),
        zeroed=int(sums[codes.ZEROED]),
        max_abs_e=sums[codes.MAX_ABS_E],
        groups=steps.size if owns_groups else 0,
        step_sum=float(steps.sum(dtype=np.float64)) if owns_groups else 0.0,
        step_low=grid.smallest if owns_groups else math.inf,
        step_high=grid.largest if owns_groups else 0.0,
        storage_bits=per_value * size + (per_group * grid.scale.size if owns_groups else 0),
    )


_FIGURES = tuple(column for column in COLUMNS if hasattr(ErrorStats, column) and column != "numel")


def describe_row(info: TensorInfo, scheme: Scheme, stats: ErrorStats | None, *, layout: Layout | None = None, reason: str = "") -> Row:
    """The row of one tensor (or of a total, named by `info`) under one scheme; no figures where nothing was measured."""
    status: Status = "ok"
    figures: dict[str, Any] = {}
    if stats is None:
        status = "unsupported"
    elif not stats.count:
        status, reason, figures = "non-finite", "no element is finite", {"non_finite": stats.non_finite}
    elif not stats.relative_count:
        status, reason = "zero", "every finite element is 0" if stats.non_finite else "every element is 0"
        figures = {name: getattr(stats, name) for name in ("bits_per_weight", "size_bytes", "non_finite")}
    else:
        figures = {name: getattr(stats, name) for name in _FIGURES} | {"theory_sqnr_db": _predict(scheme, layout, stats)}
    shape = "x".join(map(str, info.shape))
    return Row(info.name, info.kind, shape, info.dtype, info.numel, *_describe_scheme(scheme), **figures, status=status, reason=reason)


@lru_cache(maxsize=4096)
def _describe_scheme(scheme: Scheme) -> tuple[str, str, int, str, str, str, str]:
    """The columns scheme, format, bits, grouping, symmetry, range, scale."""
    return str(scheme), str(scheme.format), scheme.format.bits, str(scheme.grouping), scheme.symmetry.name, str(scheme.range), scheme.scale.name


def _predict(scheme: Scheme, layout: Layout | None, stats: ErrorStats) -> float | None:
    """The prediction for Gaussian values of the same power at the real group lengths; a total has none."""
    rms = math.sqrt(stats.sum_x2 / stats.count)
    return predict_sqnr_db(scheme, layout.length_counts, sigma=rms) if layout is not None and rms else None
