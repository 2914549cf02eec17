"""What does every page keep between two runs? Uploads, jobs, headers and values of sources. Streamlit's caches, all
bounded.

Keys are text forms and the source's identity (path, size, time of change, header digest); arrays are never arguments.
What comes back is shared by every session: callers only read it.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

import numpy as np
import streamlit as st

from qanalysis.arrays import Floats
from qanalysis.checkpoints.path_policy import list_checkpoints, list_files
from qanalysis.checkpoints.source import TensorInfo
from qanalysis.dashboard.checks import BackgroundChecks
from qanalysis.dashboard.jobs import JobManager, SweepRequest
from qanalysis.dashboard.sources import UploadStore, identify_source, open_source
from qanalysis.quantizers.crossing import default_schemes
from qanalysis.sweeps.row import Rows
from qanalysis.sweeps.selection import parse_axes, turn_views
from qanalysis.sweeps.sweep import SweepProgress, sweep

MOST_PROFILED = 2**24
"""Elements of a layer that the histograms are made from; a larger one is read in part, which the page says."""


@st.cache_resource
def get_uploads() -> UploadStore:
    """The server's uploaded checkpoints.

    They are shared by all sessions of the server; the oldest make room, and all are gone when the server ends.
    """
    return UploadStore()


@st.cache_resource
def get_jobs() -> JobManager[SweepRequest, SweepProgress, Rows]:
    """The server's sweeps.

    A job outlives the tab that asked for it: another session that asks for the same finds it at work or done.
    """
    return JobManager(_run_sweep)


@st.cache_resource
def get_checks() -> BackgroundChecks:
    """The server's one run of the cross-checks.

    They take seconds to minutes and depend on nothing that a page could set, so that one run serves everybody.
    """
    return BackgroundChecks()


@st.cache_resource
def warm_kernels() -> None:
    """Load the compiled loops, once per server, on a thread of their own: a sweep that waits for its button then
    starts at once.
    """
    weights = {"w": np.eye(2, dtype=np.float32)}
    work = partial(sweep, weights, default_schemes(), workers=1)
    threading.Thread(target=work, name="warm-kernels", daemon=True).start()


def _run_sweep(request: SweepRequest, on_progress: Callable[[SweepProgress], None], cancel: threading.Event) -> Rows:
    """What a job does, on the job's own thread: open the source, sweep it, and close it.

    `cancel` ends the sweep after the tensors at work; the rows so far come back with `complete` false. Raises what
    opening and sweeping raise: CheckpointError, ValueError for a filter that leaves nothing, OSError.
    """
    with open_source(request.source, get_uploads()) as source:
        return sweep(
            source,
            request.schemes,
            include=request.filter.include,
            exclude=request.filter.exclude,
            roles=request.filter.roles,
            axis=request.filter.axis,
            # The rows of each report would add up to the whole result a second time.
            on_progress=lambda progress: on_progress(replace(progress, rows=())),
            cancel=cancel,
        )


@st.cache_resource(ttl=10, max_entries=4, show_spinner=False)
def list_paths(root: str) -> list[str]:
    """Checkpoints below the allowed root, as suggestions.

    Paths relative to the root as POSIX texts, sorted, at most 200; asked for again after ten seconds, so that a new
    file appears.
    """
    return list_checkpoints(Path(root))


@st.cache_resource(ttl=10, max_entries=4, show_spinner=False)
def list_records(root: str, suffixes: tuple[str, ...]) -> list[str]:
    """Records below the allowed root, as suggestions.

    The same for files with one of `suffixes`, whatever they hold.
    """
    return list_files(Path(root), suffixes)


@dataclass(frozen=True, slots=True)
class Origin:
    """A source as it lies on disk: its text, and an identity that changes with the file.

    A file that changes under the same name gives another value, and with it other keys for all that is kept.
    """

    text: str
    identity: str


@dataclass(frozen=True, slots=True)
class Subject:
    """What a page speaks of: one tensor of a source under one scheme (canonical text). The key of all that is kept of
    it.
    """

    origin: Origin
    tensor: str
    scheme: str
    axes: str = ""

    @property
    def info(self) -> TensorInfo:
        """The tensor as its header describes it, with the axes that the page was given."""
        found = read_contents(self.origin).info_of(self.tensor)
        return turn_views([found], parse_axes(self.axes.split()))[0]


def identify(text: str) -> Origin:
    """The source as it lies on disk now; CheckpointError or ValueError where it can not be reached.

    Reads the first bytes of each file behind the source and its size and time of change, never the weights.
    """
    return Origin(text, identify_source(text, get_uploads()))


@dataclass(frozen=True, slots=True)
class Contents:
    """A source's header: its label, its tensors, its size in bytes and what reading it costs in memory."""

    name: str
    tensors: tuple[TensorInfo, ...]
    size_bytes: int
    memory_note: str
    notes: tuple[str, ...] = ()

    @property
    def numel(self) -> int:
        """Elements of all tensors.

        A single number counts as 1, an empty tensor as 0.
        """
        return sum(info.numel for info in self.tensors)

    def info_of(self, tensor: str) -> TensorInfo:
        """What the header says of one tensor.

        StopIteration where the header has none of that name: callers take names from the header itself.
        """
        return next(info for info in self.tensors if info.name == tensor)


@st.cache_resource(max_entries=16, show_spinner=False)
def read_contents(origin: Origin) -> Contents:
    """The header of a source.

    No value is read, however large the checkpoint is. CheckpointError where the header is broken.
    """
    with open_source(origin.text, get_uploads()) as source:
        return Contents(source.name, tuple(source.tensors), source.size_bytes, source.memory_note, source.notes)


@st.cache_resource(max_entries=2, show_spinner=False)
def read_values(origin: Origin, tensor: str) -> Floats:
    """The values of one tensor in its own shape, read-only; of a very large one the first rows, about `MOST_PROFILED`
    values.

    float32, C order. A part is read only of a tensor whose first axis holds the channels and whose file can be read in
    pieces; it keeps whole channels, so that its shape is (rows, ...) with at least one row. Raises CheckpointError
    where the values can not be had; the last two are kept, so that a move of a slider reads nothing.
    """
    with open_source(origin.text, get_uploads()) as source:
        info = next(info for info in source.tensors if info.name == tensor)
        lies_in_rows = info.view.is_in_order and not info.view.fold and len(info.shape) > 1
        if info.numel > MOST_PROFILED and source.is_sliceable(info) and lies_in_rows:
            length = info.numel // info.shape[0]
            rows = max(MOST_PROFILED // length, 1)
            values = source.read_slice(info, 0, rows * length).reshape(rows, *info.shape[1:])
        else:
            values = source.read(info)
    values = np.ascontiguousarray(values)
    values.flags.writeable = False
    return values
