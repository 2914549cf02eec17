"""How does a sweep run while the page answers?

One background thread per request, its state a value that is replaced whole.

A request's digest is the job's name: asking for the same again attaches to the running or finished job. Nothing here
knows of streamlit, so a job outlives the browser tab that asked for it.
"""

from __future__ import annotations

import hashlib
import logging
import threading
import time
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import astuple, dataclass, replace
from importlib.metadata import version
from typing import Literal

from qanalysis.checkpoints.source import CheckpointError
from qanalysis.sweeps.row import Rows
from qanalysis.sweeps.sweep import SweepProgress

ENGINE_VERSION = version("qanalysis")
JobState = Literal["queued", "running", "done", "failed", "cancelled"]
RunSweep = Callable[["SweepRequest", Callable[[SweepProgress], None], threading.Event], Rows]


@dataclass(frozen=True, slots=True)
class SweepRequest:
    """What to sweep: the source as asked for, its identity on disk, the filter, and canonical scheme texts.

    Patterns are regular expressions, "" for none; `schemes` in the order of the rows. Equal requests are one job.
    """

    source: str
    identity: str
    schemes: tuple[str, ...]
    include: str = ""
    exclude: str = ""
    weights_only: bool = True

    @property
    def digest(self) -> str:
        """Sixteen hexadecimal digits over every field and the engine's version.

        Another version of the engine gives another digest, so that a link never names rows of older code.
        """
        return hashlib.sha256(repr((ENGINE_VERSION, astuple(self))).encode()).hexdigest()[:16]


@dataclass(frozen=True, slots=True)
class Snapshot:
    """Where a job stands; `rows` are there when it is done or cancelled, `message` when it failed, `seconds` from its
    start.

    `seconds` counts from the turn, not from the asking: what waited in the queue is not in it.
    """

    state: JobState = "queued"
    progress: SweepProgress | None = None
    rows: Rows | None = None
    message: str = ""
    seconds: float = 0.0

    @property
    def is_active(self) -> bool:
        """Whether it still waits or works."""
        return self.state in ("queued", "running")

    @property
    def share_done(self) -> float:
        """How much of the work is done, within tensors too, 0 to 1; 0 before the first report."""
        if self.state == "done":
            return 1.0
        return self.progress.share_done if self.progress else 0.0


class Job:
    """One request at work: read `snapshot` at any time, `cancel()` it, `wait()` for its end."""

    def __init__(self, request: SweepRequest) -> None:
        self.request = request
        self.snapshot = Snapshot()
        self._cancel = threading.Event()
        self._ended = threading.Event()

    def cancel(self) -> None:
        """Ask it to stop; the rows of finished tensors stay.

        May be called more than once, and after the end.
        """
        self._cancel.set()

    def wait(self, timeout_s: float | None = None) -> bool:
        """Whether the job has ended within that time.

        None waits without a limit.
        """
        return self._ended.wait(timeout_s)

    def run(self, run_sweep: RunSweep, turn: threading.Semaphore) -> None:
        """Work on the calling thread: wait for a turn, sweep, and leave the outcome in `snapshot`.

        Never raises: a fault of the sweep becomes the state "failed" with its message.
        """
        try:
            with turn:
                start = time.perf_counter()
                self.snapshot = Snapshot("running")
                outcome = self._sweep(run_sweep)
                self.snapshot = replace(outcome, progress=self.snapshot.progress, seconds=time.perf_counter() - start)
        finally:
            self._ended.set()

    def _sweep(self, run_sweep: RunSweep) -> Snapshot:
        """The snapshot that the sweep ends with: done, cancelled or failed.

        A fault of the input fails with its own sentence; anything else is logged with its traceback and asks for a
        report.
        """
        try:
            rows = run_sweep(self.request, self._note, self._cancel)
        except (CheckpointError, ValueError, TypeError, OSError, MemoryError) as error:
            return Snapshot("failed", message=str(error) or type(error).__name__)
        except Exception as error:  # a fault must end as a state of the page, not as a job that never ends
            logging.getLogger(__name__).exception("the sweep of %s stopped on an internal fault", self.request.source)
            fault = f"The sweep stopped on an internal fault ({type(error).__name__}: {error})."
            return Snapshot("failed", message=f"{fault} Please report it with the file's format.")
        return Snapshot("done" if rows.complete else "cancelled", rows=rows)

    def _note(self, progress: SweepProgress) -> None:
        """How far the sweep is, for the page that polls; called on the sweep's thread."""
        # The rows of each report would add up to the whole result a second time.
        self.snapshot = replace(self.snapshot, progress=replace(progress, rows=()))


class JobManager:
    """The jobs of this server: at most `turns` at work, the last `keep` ended ones remembered.

    Safe to call from every session's thread.

    Jobs that wait or work are never forgotten, however many there are.
    """

    def __init__(self, run_sweep: RunSweep, *, turns: int = 2, keep: int = 12) -> None:
        self._run_sweep = run_sweep
        self._turn = threading.BoundedSemaphore(turns)
        self._keep = keep
        self._jobs: OrderedDict[str, Job] = OrderedDict()
        self._lock = threading.Lock()

    def submit(self, request: SweepRequest, *, again: bool = False) -> Job:
        """The job of this request, started unless it is known; `again` replaces one that has ended.

        Returns at once; the sweep begins when fewer than `turns` are at work.
        """
        with self._lock:
            job = self._jobs.get(request.digest)
            if job is None or (again and not job.snapshot.is_active):
                job = self._jobs[request.digest] = Job(request)
                threading.Thread(
                    target=job.run, args=(self._run_sweep, self._turn), name=f"sweep-{request.digest}", daemon=True
                ).start()
            self._jobs.move_to_end(request.digest)
            self._forget_oldest()
            return job

    def find(self, digest: str) -> Job | None:
        """The job of that digest while it is remembered.

        None for one that was forgotten or never asked for.
        """
        return self._jobs.get(digest)

    def active(self) -> tuple[Job, ...]:
        """Jobs that wait or work, oldest first."""
        with self._lock:
            return tuple(job for job in self._jobs.values() if job.snapshot.is_active)

    def _forget_oldest(self) -> None:
        """Let go of ended jobs beyond the last `keep`, those asked for longest ago first; with the lock held."""
        ended = [digest for digest, job in self._jobs.items() if not job.snapshot.is_active]
        for digest in ended[: max(len(ended) - self._keep, 0)]:
            del self._jobs[digest]
