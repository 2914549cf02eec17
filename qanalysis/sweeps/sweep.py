"""What does each scheme cost each tensor? The cross product of a checkpoint's tensors and schemes, as rows.

Tensors are cut into pieces (`chunks`), a pool of our own threads measures the pieces, sums add up in the order of the
pieces: results do not depend on the number of threads. One bad tensor becomes a row with a reason, never the end of a
run.
"""

from __future__ import annotations

import threading
import time
from collections import Counter, deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import CancelledError, Future, ThreadPoolExecutor, wait
from dataclasses import dataclass
from functools import cache, lru_cache, partial
from itertools import count, islice
from typing import Any

from numpy.typing import NDArray

from qanalysis.checkpoints.source import ArraySource, CheckpointError, TensorInfo, TensorSource, describe_stored
from qanalysis.quantizers.matrix_view import Axes
from qanalysis.quantizers.scheme import Scheme
from qanalysis.results.identity import SourceIdentity
from qanalysis.sweeps.held import TENSORS, describe_tensors
from qanalysis.sweeps.jobs import outline
from qanalysis.sweeps.measurement import Measured, Workshop, measure_tensor
from qanalysis.sweeps.row import Row, Rows
from qanalysis.sweeps.selection import Filter, Roles, note_grid, select_tensors
from qanalysis.sweeps.tabulation import Tabulation
from qanalysis.sweeps.work import Ledger, count_cores, weigh_tensor

CANCEL_POLL_S = 0.05
#: A tensor that takes longer is told of while it is at work.
REPORT_S = 0.25
#: So many tensors are under way at most: enough to keep all threads at work beside a large one.
AHEAD = 256


@dataclass(frozen=True, slots=True)
class SweepProgress:
    """Where a sweep stands: the tensor just finished with its rows, or the first one at work, without rows.

    `done` of `total` tensors are finished; `share_done`, 0 to 1, counts what is done within tensors too, each scheme by
    its work. `values_per_s` is over all schemes, 0 before anything is done, and time left is unknown then.
    """

    tensor: str
    done: int
    total: int
    values_per_s: float
    seconds_left: float | None
    rows: Sequence[Row]
    share_done: float = 0.0


def sweep(
    source: TensorSource | Mapping[str, NDArray[Any]],
    schemes: Sequence[Scheme | str],
    *,
    include: str | None = None,
    exclude: str | None = None,
    roles: Roles = None,
    axis: Mapping[str, Axes | str] | None = None,
    weights_only: bool = False,
    workers: int | None = None,
    on_progress: Callable[[SweepProgress], None] | None = None,
    cancel: threading.Event | None = None,
) -> Rows:
    """Measure the weights of `source` under every scheme; what is left out is counted in `coverage` of the result.

    `include` and `exclude` are regular expressions searched in the tensors' names. `roles` are those that are measured:
    by default weights and embeddings with two or more axes longer than 1, of a mapping of arrays everything; "all"
    takes every tensor. `axis` gives the axes of the output channels of some tensors, by expressions: {"c_attn": 1}.
    `weights_only` keeps tensors of two or more dimensions.

    `on_progress` is called after each tensor, and four times a second within a long one, in the thread of the caller.
    Setting `cancel` ends the sweep within a tenth of a second, whatever is at work, and returns the rows of the
    finished tensors with `complete` false. Raises ValueError for a scheme that does not parse, no scheme at all, or a
    filter that leaves no tensor.

    >>> import numpy as np
    >>> rows = sweep({"w": np.float32([[1.0, -0.5], [0.25, 0.125]])}, ["int4", "int8 channel"])
    >>> [(row.scheme, round(row.sqnr_db, 2)) for row in rows]
    [('int4', 22.97), ('int8 channel', 49.07)]
    """
    if workers is not None and workers < 1:
        raise ValueError(f"workers {workers}: a sweep needs at least one thread; leave it out for one per core")
    opened = source if isinstance(source, TensorSource) else ArraySource(source)
    plan = [scheme if isinstance(scheme, Scheme) else Scheme.parse(scheme) for scheme in schemes]
    if not plan:
        raise ValueError("a sweep needs at least one scheme, for example 'int4 group=128'")
    wanted = Filter(include, exclude, roles, weights_only, axis or {})
    selection = select_tensors(opened.tensors, wanted, vectors=opened.measures_vectors, notes=opened.notes)
    tensors = selection.tensors
    stop = cancel or threading.Event()
    clock, table = _Clock(tensors, plan), Tabulation(plan, len(tensors))
    grids: Counter[str] = Counter()
    for measured in _measure_all(opened, tensors, plan, clock, workers=workers or count_cores(), cancel=stop):
        if measured and measured.grid:
            grids[measured.grid] += 1
        progress = clock.finish(table.add(measured)) if measured else clock.look()
        if on_progress:
            on_progress(progress)
    complete = clock.done == len(tensors)
    return Rows(
        rows=table.finish(),
        totals=table.total(),
        source=SourceIdentity(
            opened.name,
            opened.size_bytes,
            (lambda: _take_digest(opened)) if complete else None,
            stored=describe_stored(tensors),
        ),
        settings={"schemes": [str(scheme) for scheme in plan], **wanted.describe()},
        complete=complete,
        coverage=[*selection.to_coverage(), *map(note_grid, grids.items())],
        more={TENSORS: describe_tensors(opened.tensors)},
    )


def _measure_all(
    source: TensorSource,
    tensors: Sequence[TensorInfo],
    plan: Sequence[Scheme],
    clock: _Clock,
    *,
    workers: int,
    cancel: threading.Event,
) -> Iterator[Measured | None]:
    """Each tensor's sums in the order of the file; None from time to time while the next one is at work."""
    # Conductors wait for the pieces of one tensor each, so the workers always find pieces of the next one to go on
    # with.
    pool, conductors = ThreadPoolExecutor(workers, "piece"), ThreadPoolExecutor(workers + 1, "tensor")
    workshop = Workshop(
        pool, threading.Semaphore(workers), cancel, threading.Lock(), lru_cache(partial(outline, plan)), clock.ledger
    )
    waiting = (
        conductors.submit(
            measure_tensor, source, info, len(plan), workshop=workshop, work=clock.weigh(info.shape, info.view)
        )
        for info in tensors
    )
    under_way = deque(islice(waiting, AHEAD))
    try:
        while under_way:
            yield from _await(under_way.popleft(), workshop)
            under_way.extend(islice(waiting, 1))
    except CancelledError:
        return
    finally:
        cancel_rest = cancel.is_set()
        conductors.shutdown(wait=not cancel_rest, cancel_futures=True)
        pool.shutdown(wait=not cancel_rest, cancel_futures=True)


def _await(future: Future[Measured], workshop: Workshop) -> Iterator[Measured | None]:
    """The tensor's sums once they are there, None every `REPORT_S` seconds until then."""
    for polls in count(1):
        if wait([future], timeout=CANCEL_POLL_S).done:
            yield future.result()
            return
        workshop.check()
        if polls % round(REPORT_S / CANCEL_POLL_S) == 0:
            yield None


def _take_digest(source: TensorSource) -> str | None:
    try:
        return source.digest
    except (CheckpointError, OSError):
        return None


class _Clock:
    """How far the sweep is, and since when."""

    def __init__(self, tensors: Sequence[TensorInfo], plan: Sequence[Scheme]) -> None:
        self._began = time.monotonic()
        self._tensors, self.done = tensors, 0
        self.weigh = cache(partial(weigh_tensor, plan))
        self._round_trips = sum(info.numel for info in tensors) * len(plan)
        self.ledger = Ledger(sum(self.weigh(info.shape, info.view) for info in tensors))

    def finish(self, rows: Sequence[Row]) -> SweepProgress:
        """The next tensor is finished."""
        self.done += 1
        return self._report(self._tensors[self.done - 1], rows)

    def look(self) -> SweepProgress:
        """The next tensor is still at work."""
        return self._report(self._tensors[self.done], ())

    def _report(self, info: TensorInfo, rows: Sequence[Row]) -> SweepProgress:
        total = len(self._tensors)
        share = 1.0 if self.done == total else self.ledger.share
        elapsed = max(time.monotonic() - self._began, 1e-9)
        left = elapsed * (1 - share) / share if share else None
        return SweepProgress(info.name, self.done, total, share * self._round_trips / elapsed, left, rows, share)
