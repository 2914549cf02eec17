"""Sweeps in the background: attach, follow, cancel, fail, forget. The real sweep runs over arrays in memory."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

import numpy as np
import pytest

from qanalysis.checkpoints.source import ArraySource, CheckpointError, TensorInfo
from qanalysis.dashboard.jobs import JobManager, Snapshot, SweepRequest
from qanalysis.sweeps.row import Rows
from qanalysis.sweeps.sweep import SweepProgress, sweep

REQUEST = SweepRequest("arrays", "v1", ("int4", "int8 channel"))
Progress = Callable[[SweepProgress], None]


class SlowSource(ArraySource):
    """Tensors that take a while to read, as from a slow disk."""

    def __init__(self, *, count: int, seconds: float) -> None:
        rng = np.random.default_rng(0)
        super().__init__({f"layer{index}": rng.standard_normal((16, 32), dtype=np.float32) for index in range(count)})
        self._seconds = seconds

    def read(self, info: TensorInfo) -> np.ndarray:
        time.sleep(self._seconds)
        return super().read(info)

    def read_slice(self, info: TensorInfo, start: int, stop: int) -> np.ndarray:
        time.sleep(self._seconds)
        return super().read_slice(info, start, stop)


def _sweep_slowly(request: SweepRequest, on_progress: Progress, cancel: threading.Event) -> Rows:
    return sweep(SlowSource(count=60, seconds=0.05), request.schemes, on_progress=on_progress, cancel=cancel)


def _sweep_fast(request: SweepRequest, on_progress: Progress, cancel: threading.Event) -> Rows:
    return sweep(SlowSource(count=3, seconds=0), request.schemes, on_progress=on_progress, cancel=cancel)


def _wait_for(condition: Callable[[], bool], seconds: float = 10) -> None:
    end = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > end:
            pytest.fail("waited in vain")
        time.sleep(0.005)


def test_a_job_ends_with_the_rows_of_the_sweep() -> None:
    job = JobManager(_sweep_fast).submit(REQUEST)
    assert job.wait(20)
    assert job.snapshot.state == "done"
    assert job.snapshot.rows is not None
    assert job.snapshot.rows.rows == sweep(SlowSource(count=3, seconds=0), REQUEST.schemes).rows
    assert job.snapshot.share_done == 1
    assert not job.snapshot.is_active


def test_a_running_job_names_the_tensor_the_count_and_the_speed() -> None:
    job = JobManager(_sweep_slowly).submit(REQUEST)
    _wait_for(lambda: job.snapshot.progress is not None)
    progress = job.snapshot.progress
    assert progress is not None
    assert progress.tensor.startswith("layer")
    assert progress.total == 60
    assert progress.values_per_s > 0
    assert 0 < job.snapshot.share_done < 1
    job.cancel()
    assert job.wait(5)


def test_cancel_answers_within_a_fifth_of_a_second_and_keeps_the_rows() -> None:
    job = JobManager(_sweep_slowly).submit(REQUEST)
    _wait_for(lambda: job.snapshot.progress is not None and job.snapshot.progress.done >= 2)
    start = time.perf_counter()
    job.cancel()
    assert job.wait(5)
    assert time.perf_counter() - start <= 0.2
    assert job.snapshot.state == "cancelled"
    rows = job.snapshot.rows
    assert rows is not None
    assert not rows.complete
    assert 2 * 2 <= len(rows) < 60 * 2
    whole = sweep(SlowSource(count=60, seconds=0), REQUEST.schemes)
    assert rows.rows == whole.rows[: len(rows)]


def test_the_end_of_the_program_cancels_what_is_at_work() -> None:
    manager = JobManager(_sweep_slowly)
    job = manager.submit(REQUEST)
    _wait_for(lambda: job.snapshot.state == "running")
    manager.end()
    assert job.snapshot.state == "cancelled"
    assert manager.active() == ()


def test_two_that_ask_for_the_same_share_one_job() -> None:
    manager = JobManager(_sweep_slowly)
    first = manager.submit(REQUEST)
    second = manager.submit(SweepRequest("arrays", "v1", ("int4", "int8 channel")))
    assert first is second
    assert manager.active() == (first,)
    assert manager.find(REQUEST.digest) is first
    first.cancel()
    assert first.wait(5)
    assert manager.active() == ()


@pytest.mark.parametrize(
    "other",
    [
        SweepRequest("arrays", "v2", REQUEST.schemes),
        SweepRequest("arrays", "v1", ("int4",)),
        SweepRequest("arrays", "v1", REQUEST.schemes, include="1"),
        SweepRequest("arrays", "v1", REQUEST.schemes, exclude="1"),
        SweepRequest("arrays", "v1", REQUEST.schemes, roles="all"),
        SweepRequest("array", "sv1", REQUEST.schemes),
    ],
    ids=["changed file", "schemes", "include", "exclude", "weights only", "shifted boundary"],
)
def test_another_request_has_another_digest(other: SweepRequest) -> None:
    assert other.digest != REQUEST.digest


@pytest.mark.parametrize(
    ("error", "message"),
    [
        (CheckpointError("w.npz: truncated; copy it again"), "w.npz: truncated; copy it again"),
        (ValueError("include 'x' matches none"), "include 'x' matches none"),
        (MemoryError(), "MemoryError"),
        (KeyError("w"), "internal fault .KeyError: 'w'."),
    ],
    ids=["broken file", "bad request", "no memory", "fault"],
)
def test_a_failure_is_a_state_with_its_message(error: Exception, message: str) -> None:
    def fail(request: SweepRequest, on_progress: Progress, cancel: threading.Event) -> Rows:
        raise error

    job = JobManager(fail).submit(REQUEST)
    assert job.wait(5)
    assert job.snapshot.state == "failed"
    assert job.snapshot.rows is None
    with pytest.raises(RuntimeError, match=message):
        raise RuntimeError(job.snapshot.message)


def test_only_an_ended_job_is_started_again_and_only_when_asked() -> None:
    manager = JobManager(_sweep_fast)
    first = manager.submit(REQUEST)
    assert first.wait(20)
    assert manager.submit(REQUEST) is first
    again = manager.submit(REQUEST, again=True)
    assert again is not first
    assert again.wait(20)
    slow = JobManager(_sweep_slowly)
    running = slow.submit(REQUEST)
    assert slow.submit(REQUEST, again=True) is running
    running.cancel()
    assert running.wait(5)


def test_a_third_job_waits_for_its_turn() -> None:
    release, begun = threading.Event(), threading.Semaphore(0)

    def hold(request: SweepRequest, on_progress: Progress, cancel: threading.Event) -> Rows:
        begun.release()
        release.wait(10)
        return _sweep_fast(request, on_progress, cancel)

    manager = JobManager(hold, turns=2)
    jobs = [manager.submit(SweepRequest("arrays", f"v{index}", ("int4",))) for index in range(3)]
    assert begun.acquire(timeout=5)
    assert begun.acquire(timeout=5)
    assert sorted(job.snapshot.state for job in jobs) == ["queued", "running", "running"]
    release.set()
    assert all(job.wait(10) for job in jobs)
    assert {job.snapshot.state for job in jobs} == {"done"}


def test_old_results_are_forgotten() -> None:
    manager = JobManager(_sweep_fast, keep=2)
    requests = [SweepRequest("arrays", f"v{index}", ("int4",)) for index in range(4)]
    for request in requests:
        assert manager.submit(request).wait(10)
    assert manager.find(requests[0].digest) is None
    assert manager.find(requests[3].digest) is not None


def test_a_new_snapshot_has_done_nothing() -> None:
    assert Snapshot().share_done == 0
    assert Snapshot().is_active
