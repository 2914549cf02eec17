"""How does a sweep or a training run while the page answers?

One background thread per request, its state a value that is replaced whole.

A request's digest is the job's name: asking for the same again attaches to the running or finished job. Nothing here
knows of streamlit, so a job outlives the browser tab that asked for it.
"""

from __future__ import annotations

import atexit
import hashlib
import logging
import threading
import time
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import astuple, dataclass, replace
from importlib.metadata import version
from typing import Any, Generic, Literal, Protocol, TypeVar, cast

from qanalysis.checkpoints.source import ROLES, CheckpointError
from qanalysis.dashboard.sources import name_source
from qanalysis.results.table import Table
from qanalysis.sweeps.row import Rows
from qanalysis.sweeps.selection import Filter, Roles, parse_axes
from qanalysis.sweeps.sweep import SweepProgress

ENGINE_VERSION = version("qanalysis")
JobState = Literal["queued", "running", "done", "failed", "cancelled"]


class Request(Protocol):
    """What is asked of a job: equal requests have one `digest`, `subject` is what a sentence calls its work."""

    @property
    def digest(self) -> str:
        """A name of the request that changes with any part of it."""

    @property
    def subject(self) -> str:
        """Such as "the sweep of model.npz"."""


class Progress(Protocol):
    """How far a job is."""

    @property
    def share_done(self) -> float:
        """The part of its work that is done, 0 to 1."""


Q = TypeVar("Q", bound=Request)
P = TypeVar("P", bound=Progress)
T = TypeVar("T", bound=Table[Any])
Work = Callable[[Q, Callable[[P], None], threading.Event], T]
"""Does what a request asks for, tells how far it is, and ends early with the rows so far where the event is set."""


#: How long the end of the program waits for jobs to end.
ENDING_S = 5.0
#: What a page may measure: weights and embeddings, everything, or one role.
WEIGHTS = "weights"
ROLE_CHOICES = (WEIGHTS, "all", *ROLES)


@dataclass(frozen=True, slots=True)
class SweepRequest:
    """What to sweep: the source as asked for, its identity on disk, the filter, and canonical scheme texts.

    Patterns are regular expressions, "" for none; `roles` is one of `ROLE_CHOICES`, `axes` are texts REGEX=AXIS with
    blanks between; `schemes` in the order of the rows. Equal requests are one job.
    """

    source: str
    identity: str
    schemes: tuple[str, ...]
    include: str = ""
    exclude: str = ""
    roles: str = WEIGHTS
    axes: str = ""

    @property
    def filter(self) -> Filter:
        """Which tensors that are; ValueError for axes that can not be read."""
        roles = {WEIGHTS: None, "all": "all"}.get(self.roles, (self.roles,))
        axes = parse_axes(self.axes.split())
        return Filter(self.include or None, self.exclude or None, cast("Roles", roles), axis=axes)

    @property
    def digest(self) -> str:
        """Sixteen hexadecimal digits over every field and the engine's version.

        Another version of the engine gives another digest, so that a link never names rows of older code.
        """
        return hashlib.sha256(repr((ENGINE_VERSION, astuple(self))).encode()).hexdigest()[:16]

    @property
    def subject(self) -> str:
        """The sweep by its source, as asked for."""
        return f"the sweep of {name_source(self.source)}"


@dataclass(frozen=True, slots=True)
class Snapshot(Generic[P, T]):
    """Where a job stands; `rows` are there when it is done or cancelled, `message` when it failed, `seconds` from its
    start.

    `seconds` counts from the turn, not from the asking: what waited in the queue is not in it.
    """

    state: JobState = "queued"
    progress: P | None = None
    rows: T | None = None
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


class Job(Generic[Q, P, T]):
    """One request at work: read `snapshot` at any time, `cancel()` it, `wait()` for its end."""

    def __init__(self, request: Q) -> None:
        self.request = request
        self.snapshot: Snapshot[P, T] = Snapshot()
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

    def run(self, work: Work[Q, P, T], turn: threading.Semaphore) -> None:
        """Work on the calling thread: wait for a turn, do it, and leave the outcome in `snapshot`.

        Never raises: a fault of the work becomes the state "failed" with its message.
        """
        try:
            with turn:
                start = time.perf_counter()
                self.snapshot = Snapshot("running")
                outcome = self._do(work)
                self.snapshot = replace(outcome, progress=self.snapshot.progress, seconds=time.perf_counter() - start)
        finally:
            self._ended.set()

    def _do(self, work: Work[Q, P, T]) -> Snapshot[P, T]:
        """The snapshot that the work ends with: done, cancelled or failed.

        A fault of the input fails with its own sentence; anything else is logged with its traceback and asks for a
        report.
        """
        try:
            rows = work(self.request, self._note, self._cancel)
        except (CheckpointError, ValueError, TypeError, OSError, MemoryError) as error:
            return Snapshot("failed", message=str(error) or type(error).__name__)
        except Exception as error:  # a fault must end as a state of the page, not as a job that never ends
            logging.getLogger(__name__).exception("%s stopped on an internal fault", self.request.subject)
            fault = f"The work stopped on an internal fault ({type(error).__name__}: {error})."
            return Snapshot("failed", message=f"{fault} Please report it with what was asked for.")
        return Snapshot("done" if rows.complete else "cancelled", rows=rows)

    def _note(self, progress: P) -> None:
        """How far the work is, for the page that polls; called on the job's thread."""
        self.snapshot = replace(self.snapshot, progress=progress)


class JobManager(Generic[Q, P, T]):
    """The jobs of one kind on this server: at most `turns` at work, the last `keep` ended ones remembered.

    Safe to call from every session's thread.

    Jobs that wait or work are never forgotten, however many there are.
    """

    def __init__(self, work: Work[Q, P, T], *, turns: int = 2, keep: int = 12) -> None:
        self._work = work
        self._turn = threading.BoundedSemaphore(turns)
        self._keep = keep
        self._jobs: OrderedDict[str, Job[Q, P, T]] = OrderedDict()
        self._lock = threading.Lock()
        # A thread that is at work in a compiled library when the interpreter ends would end the process with an abort.
        atexit.register(self.end)

    def end(self, timeout_s: float = ENDING_S) -> None:
        """Cancel all jobs and wait for them, no longer than that in all."""
        waits_until = time.monotonic() + timeout_s
        active = self.active()
        for job in active:
            job.cancel()
        for job in active:
            job.wait(max(waits_until - time.monotonic(), 0))

    def submit(self, request: Q, *, again: bool = False) -> Job[Q, P, T]:
        """The job of this request, started unless it is known; `again` replaces one that has ended.

        Returns at once; the work begins when fewer than `turns` are at work.
        """
        with self._lock:
            job = self._jobs.get(request.digest)
            if job is None or (again and not job.snapshot.is_active):
                job = self._jobs[request.digest] = Job(request)
                threading.Thread(
                    target=job.run, args=(self._work, self._turn), name=f"job-{request.digest}", daemon=True
                ).start()
            self._jobs.move_to_end(request.digest)
            self._forget_oldest()
            return job

    def find(self, digest: str) -> Job[Q, P, T] | None:
        """The job of that digest while it is remembered.

        None for one that was forgotten or never asked for.
        """
        return self._jobs.get(digest)

    def active(self) -> tuple[Job[Q, P, T], ...]:
        """Jobs that wait or work, oldest first."""
        with self._lock:
            return tuple(job for job in self._jobs.values() if job.snapshot.is_active)

    def _forget_oldest(self) -> None:
        """Let go of ended jobs beyond the last `keep`, those asked for longest ago first; with the lock held."""
        ended = [digest for digest, job in self._jobs.items() if not job.snapshot.is_active]
        for digest in ended[: max(len(ended) - self._keep, 0)]:
            del self._jobs[digest]


SweepJob = Job[SweepRequest, SweepProgress, Rows]
