"""What does one tensor lose under each scheme? Pieces in, the sums of every scheme out.

First pass: the ranges of groups that cross pieces. Second pass: each piece is read once, its own groups are fitted, and
every scheme's sums are taken while it is in cache. A range rule other than minmax on a crossing group holds the tensor
whole.
"""

from __future__ import annotations

import math
import operator
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import CancelledError, Executor
from contextlib import nullcontext
from dataclasses import dataclass, fields, replace
from functools import partial, reduce
from typing import Self, TypeVar

import numpy as np
from numpy.typing import NDArray

from qanalysis.arrays import Doubles, Floats
from qanalysis.checkpoints.source import CheckpointError, TensorInfo, TensorSource
from qanalysis.kernels import codes
from qanalysis.quantizers.grouping import Layout
from qanalysis.quantizers.known_grids import KnownGrid, find_grid
from qanalysis.quantizers.matrix_view import MatrixView
from qanalysis.quantizers.statistics import LargestOfTensor, Range, Statistic
from qanalysis.sums import ErrorStats
from qanalysis.sweeps.bench import Bench, Grids, Packing, take_sums
from qanalysis.sweeps.chunks import Chunk
from qanalysis.sweeps.jobs import Cut, Job, Outline, View
from qanalysis.sweeps.row import Status
from qanalysis.sweeps.widths import UniformGrids
from qanalysis.sweeps.work import Account, Ledger

Read = Callable[[Chunk], Floats]
P = TypeVar("P")
T = TypeVar("T")

#: Of fewer values it is not asked whether they lie on a grid: it would take as long as their sums.
LEAST_LOOKED_AT = 1 << 13
# A tensor that must be held whole and has more values than this is held alone.
LARGE_VALUES = 1 << 24
#: A tensor that repeats what the file holds, such as an expanded view, is measured up to this many values, a second or
#: two: a file of a few bytes could claim days of work. The narrowest codes take more than a bit for each value.
_MOST_REPEATED, _LEAST_BITS = 1 << 26, 0.25


@dataclass(frozen=True, slots=True)
class Measured:
    """One tensor's sums under every scheme, the predictions beside them, and a word on each scheme, arrays (schemes,).

    What was not measured has the sums of nothing; `status` and `reasons` say why. `grid` tells that the values already
    lie on one.
    """

    info: TensorInfo
    sums: ErrorStats
    predictions: Doubles
    reasons: NDArray[np.object_]
    status: Status = "unsupported"
    grid: str = ""

    @classmethod
    def nothing(cls, info: TensorInfo, schemes: int, status: Status, reason: str) -> Self:
        """A tensor that could not be measured at all."""
        return cls(info, make_empty(schemes), np.full(schemes, np.nan), np.array([reason] * schemes, object), status)


@dataclass(frozen=True, slots=True)
class Workshop:
    """What measuring needs besides data.

    The pool that works on pieces, how many may compute at once, the stop sign, the lock for large tensors.

    `outline` tells what there is to do for a shape and a view of it; `ledger` counts what is done.
    """

    pool: Executor
    turns: threading.Semaphore
    cancel: threading.Event
    large: threading.Lock
    outline: Callable[[tuple[int, ...], MatrixView], Outline]
    ledger: Ledger

    def check(self) -> None:
        """Raise CancelledError once the stop sign is set."""
        if self.cancel.is_set():
            raise CancelledError

    def share(self, work: Callable[[P], T], pieces: Sequence[P]) -> Iterator[T]:
        """What `work` makes of every piece, in their order.

        Done by the pool, but one piece alone by the thread that asks.
        """
        if len(pieces) == 1:
            yield work(pieces[0])
            return
        for future in [self.pool.submit(work, piece) for piece in pieces]:
            yield future.result()


@dataclass(frozen=True, slots=True)
class Pass:
    """A going over the pieces of a tensor.

    How they are read, what is wanted, and each job's ranges, None where a piece finds its own; the tensor's account.
    `grids` takes the grid that the values already lie on, as the first piece shows; None where it was looked for.
    """

    read: Read
    view: View
    ranges: Sequence[Statistic | None]
    workshop: Workshop
    account: Account
    grids: list[KnownGrid] | None


def measure_tensor(
    source: TensorSource, info: TensorInfo, schemes: int, *, workshop: Workshop, work: float
) -> Measured:
    """Measure one tensor under the workshop's `schemes` schemes, `work` in all. What can not be measured says why.

    Raises CancelledError soon after the workshop's stop sign is set.
    """
    workshop.check()
    account = workshop.ledger.open(work)
    measured = _measure(source, info, schemes, workshop, account)
    account.close()
    return measured


def _measure(source: TensorSource, info: TensorInfo, schemes: int, workshop: Workshop, account: Account) -> Measured:
    refusal = refuse(info)
    if refusal:
        return Measured.nothing(info, schemes, *refusal)
    outline = workshop.outline(info.shape, info.view)
    looks = not info.stored and info.numel >= LEAST_LOOKED_AT
    grids = list[KnownGrid]()
    try:
        parts = [
            (view.places, _measure_view(source, info, view, workshop, account, grids if looks and not number else None))
            for number, view in enumerate(outline.views)
        ]
    except (CheckpointError, OSError) as error:
        return Measured.nothing(info, schemes, "failed", str(error))
    except MemoryError:
        reason = f"{info.name!r}: {info.numel} values do not fit in memory; use range=minmax or a machine with more"
        return Measured.nothing(info, schemes, "failed", reason)
    sums = _put_in_order(parts, schemes)
    told = "; ".join(text for text in (info.note, *(grid.text for grid in grids)) if text)
    grid = next((found.text for found in grids), "")
    return Measured(info, sums, outline.predict(sums), _tell(told, outline.reasons), grid=grid)


def _tell(note: str, reasons: NDArray[np.object_]) -> NDArray[np.object_]:
    """What was assumed or found of a tensor, before what there is to say of each scheme."""
    if not note:
        return reasons
    return np.array([f"{note}; {reason}" if reason else note for reason in reasons], object)


def make_empty(schemes: int) -> ErrorStats:
    """The sums of nothing under so many schemes, arrays (schemes,)."""
    return ErrorStats(
        *(np.full(schemes, getattr(ErrorStats(), field.name), np.float64) for field in fields(ErrorStats))
    )


def _put_in_order(parts: Sequence[tuple[tuple[int, ...], ErrorStats]], schemes: int) -> ErrorStats:
    if len(parts) == 1 and parts[0][0] == tuple(range(schemes)):
        return parts[0][1]
    ordered = make_empty(schemes)
    for places, sums in parts:
        for entry in fields(ErrorStats):
            getattr(ordered, entry.name)[list(places)] = getattr(sums, entry.name)
    return ordered


def refuse(info: TensorInfo) -> tuple[Status, str] | None:
    """The status and reason of a tensor that has no values to measure; None where it has."""
    if not info.decodes:
        return (
            "unsupported",
            info.reason or f"dtype {info.dtype} does not hold real numbers that can be measured",
        )
    if not info.shape:
        return "unsupported", "a 0-d tensor is one number; there is nothing to group"
    if not info.numel:
        return "empty", "the tensor has no elements"
    if info.numel > _MOST_REPEATED and info.stored_bits < _LEAST_BITS:
        made = f"{info.numel:,} values are made of {info.size_bytes:,} bytes of the file"
        return "unsupported", f"{made}, each many times over; save the tensor without the repeats to measure it"
    return None


def _measure_view(
    source: TensorSource,
    info: TensorInfo,
    view: View,
    workshop: Workshop,
    account: Account,
    grids: list[KnownGrid] | None,
) -> ErrorStats:
    layout, sliceable = view.jobs[0].layout, source.is_sliceable(info)
    turns = not layout.view.is_in_order
    whole = view.must_hold or not sliceable or (turns and info.numel <= LARGE_VALUES)
    with workshop.large if whole and info.numel > LARGE_VALUES else nullcontext():
        if whole:
            read = _hold(source, info, layout)
        else:
            read = partial(_read_turned, source, info, layout) if turns else partial(_read_piece, source, info, layout)
        going = Pass(read, view, _find_crossing_ranges(read, view, workshop, account), workshop, account, grids)
        sums = reduce(operator.add, workshop.share(partial(_measure_cut, going), view.cuts))
    return replace(sums, storage_bits=sums.storage_bits + view.tensor_bits) if view.tensor_bits.any() else sums


def _hold(source: TensorSource, info: TensorInfo, layout: Layout) -> Read:
    """Pieces of a tensor that is read at once."""
    flat = np.ascontiguousarray(layout.to_matrix(source.read(info))).reshape(-1)
    return lambda chunk: _join_runs([flat[start:stop] for start, stop in chunk.spans(layout.columns)])


def _read_piece(source: TensorSource, info: TensorInfo, layout: Layout, chunk: Chunk) -> Floats:
    """A piece of a matrix that lies as the tensor does."""
    return _join_runs([source.read_slice(info, start, stop) for start, stop in chunk.spans(layout.columns)])


def _read_turned(source: TensorSource, info: TensorInfo, layout: Layout, chunk: Chunk) -> Floats:
    """A piece of a matrix whose rows are columns of the tensor: (leading rows, columns, trailing rows) as it lies."""
    trailing = math.prod(layout.view.trailing(info.shape))
    parts, row, last = [], chunk.first_row, chunk.first_row + chunk.rows
    while row < last:
        lead, first = divmod(row, trailing)
        stop = min(last - lead * trailing, trailing)
        start = lead * layout.columns * trailing + chunk.first_column * trailing
        count = chunk.columns * trailing
        parts.append(source.read_columns(info, start, start + count, width=trailing, first=first, last=stop).T)
        row = lead * trailing + stop
    return np.ascontiguousarray(np.concatenate(parts)).reshape(-1)


def _join_runs(runs: Sequence[Floats]) -> Floats:
    return runs[0] if len(runs) == 1 else np.concatenate(runs)


def _find_crossing_ranges(read: Read, view: View, workshop: Workshop, account: Account) -> list[Statistic | None]:
    crossing = [job if crosses else None for job, crosses in zip(view.jobs, view.crossing, strict=True)]
    pools = list({job.pool for job in crossing if job and job.lead.takes_extremes})
    extremes = _pool_extremes(read, [cut.chunk for cut in view.cuts], pools, workshop)
    ranges: list[Statistic | None] = []
    for job in crossing:
        if job is None:
            ranges.append(None)
        elif job.lead.takes_extremes:
            found = extremes[job.pool]
            ranges.append(found if job.lead.has_outer_scale else job.lead.settle(found))
        else:
            rows, columns = job.layout.rows, job.layout.columns
            matrix = read(Chunk(0, rows, columns, 0, 0)).reshape(rows, columns)
            ranges.append(_search(job, matrix, job.layout, workshop, account))
    return ranges


def _search(job: Job, matrix: Floats, layout: Layout, workshop: Workshop, account: Account) -> Statistic:
    """What its rule or format says of the groups of the tensor, or of a piece."""
    workshop.check()
    work = job.search_work * matrix.size
    check = account.spread(work, job.count_checks(layout), workshop.check)
    return job.lead.find_statistic(matrix, layout, check=check)


def _pool_extremes(
    read: Read, chunks: Sequence[Chunk], layouts: Sequence[Layout], workshop: Workshop
) -> dict[Layout, Range]:
    """The extremes of every group of some layouts, over all pieces."""
    extremes = {
        layout: Range(np.zeros(layout.groups, np.float32), np.zeros(layout.groups, np.float32)) for layout in layouts
    }
    if not layouts:
        return extremes
    for chunk, found in zip(
        chunks, workshop.share(partial(_find_extremes, read, layouts, workshop), chunks), strict=True
    ):
        for layout, own in zip(layouts, found, strict=True):
            for total, values, widen in (
                (extremes[layout].low, own.low, np.minimum),
                (extremes[layout].high, own.high, np.maximum),
            ):
                window = chunk.take(total, layout)
                widen(window, values.reshape(window.shape), out=window)
    return extremes


def _find_extremes(read: Read, layouts: Sequence[Layout], workshop: Workshop, chunk: Chunk) -> list[Range]:
    with workshop.turns:
        workshop.check()
        bench = Bench.clear(read(chunk))
        return [bench.find_extremes(chunk.localize(layout)) for layout in layouts]


def _measure_cut(going: Pass, cut: Cut) -> ErrorStats:
    """One piece's sums under every scheme of the pass, arrays (schemes,) in the order of its jobs."""
    chunk = cut.chunk
    with going.workshop.turns:
        going.workshop.check()
        raw = going.read(chunk)
        if going.grids is not None and not chunk.start:
            found_grid = find_grid(raw.reshape(chunk.rows, chunk.columns))
            going.grids.extend([found_grid] if found_grid else [])
        bench = Bench.clear(raw, start=chunk.start)
        extremes = {layout: bench.find_extremes(layout) for layout in cut.extremes}
        grids, lost = [], []
        for job, known, local in zip(going.view.jobs, going.ranges, cut.layouts, strict=True):
            if isinstance(known, Range) and job.lead.has_outer_scale:
                found: Statistic = job.lead.settle(extremes[local], largest=known.largest[0])
            elif known is not None:
                found = known.take(partial(_take_groups, chunk, job.layout))
            elif job.lead.takes_extremes:
                found = extremes[local]
            else:
                found = _search(job, raw.reshape(local.rows, local.columns), local, going.workshop, going.account)
            grids.append(job.lay(found))
            lost.append(_count_lost(grids[-1], found))
        return _name_sums(bench, cut, grids, going, np.concatenate(lost))


def _take_groups(chunk: Chunk, layout: Layout, part: Floats) -> Floats:
    groups: Floats = chunk.take(part, layout).reshape(-1)
    return groups


def _name_sums(bench: Bench, cut: Cut, grids: Sequence[Grids], going: Pass, lost: Doubles) -> ErrorStats:
    def note(packing: Packing) -> None:
        going.workshop.check()
        jobs = [going.view.jobs[place] for place in packing.jobs]
        going.account.spend(sum(job.work - job.search_work for job in jobs) * bench.values.size)

    moments, sums = take_sums(bench, cut.packings, grids, on_packing=note)
    lines, steps = sums.shape[1], np.concatenate([_count_steps(own) for own in grids], axis=1)
    steps[:, ~cut.owned] = _NO_STEPS
    return ErrorStats(
        count=np.full(lines, float(bench.values.size - bench.bad)),
        non_finite=np.full(lines, float(bench.bad)),
        **{name: np.full(lines, moment) for name, moment in zip(codes.MOMENTS, moments, strict=True)},
        **dict(zip(codes.SUMS, sums, strict=True)),
        **dict(zip(_STEPS, steps, strict=True)),
        storage_bits=cut.storage,
        lost_groups=np.where(cut.owned, lost, 0.0),
    )


def _count_lost(grids: Grids, found: Statistic) -> Doubles:
    """(grids,): groups without a step of their own although their largest magnitude is not 0."""
    lines = grids.scale.shape[0] if isinstance(grids, UniformGrids) else 1
    if grids.unused is None or not isinstance(found, Range | LargestOfTensor):
        return np.zeros(lines)
    lost: Doubles = (grids.unused & (found.largest != 0)).sum(axis=-1, dtype=np.float64).reshape(lines)
    return lost


# A chunk's sums of steps by the names of ErrorStats, and what a chunk adds to them where groups begin in another one.
_STEPS = ("groups", "step_sum", "step_low", "step_high")
_NO_STEPS = np.array([[0.0], [0.0], [np.inf], [0.0]])


def _count_steps(grids: Grids) -> Doubles:
    """(4, grids), as `_STEPS` names them; groups without a signal have no step of their own."""
    if isinstance(grids, UniformGrids):
        return grids.count_steps()
    steps = grids.step if grids.unused is None else grids.step[~grids.unused]
    return np.array([[steps.size], [steps.sum(dtype=np.float64)], [grids.smallest], [grids.largest]])
