"""How are two models compared beside the pages? Structure from headers, then values as a job, then a pair from inside.

A comparison is known by its two sources as they lie on disk and by its name maps. A side may be the other one under a
scheme, "quantized:SCHEME". Streamlit's caches hold what was found; arrays are never arguments.
"""

from __future__ import annotations

import hashlib
import math
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import astuple, dataclass
from pathlib import Path

import streamlit as st

from qanalysis.checkpoints.path_policy import list_checkpoints
from qanalysis.checkpoints.source import TensorSource
from qanalysis.comparisons.compare import CompareProgress, compare
from qanalysis.comparisons.maps import parse_maps
from qanalysis.comparisons.matching import match_tensors
from qanalysis.comparisons.pair import Pair
from qanalysis.comparisons.portrait import Portrait, draw_portrait
from qanalysis.comparisons.reading import Side
from qanalysis.comparisons.requantized import RequantizedSource
from qanalysis.comparisons.row import ComparisonRow
from qanalysis.dashboard.compared_results import list_results
from qanalysis.dashboard.jobs import ENGINE_VERSION, Job, JobManager, Snapshot
from qanalysis.dashboard.runnable_models import RESULT_SUFFIXES
from qanalysis.dashboard.sources import (
    QUANTIZED_PREFIX,
    UPLOAD_SUFFIXES,
    UploadStore,
    identify_source,
    name_source,
    open_source,
)
from qanalysis.notation import duration, percent, shorten
from qanalysis.quantizers.scheme import Scheme
from qanalysis.results.table import Table

_USUAL_SCHEMES = ("int4 channel", "int4 group=32", "int8 channel", "nf4", "mxfp4")
QUANTIZED = tuple(f"{QUANTIZED_PREFIX}{scheme}" for scheme in _USUAL_SCHEMES)


@st.cache_resource
def get_compared_uploads() -> UploadStore:
    """The server's uploaded checkpoints and results that are to be compared."""
    return UploadStore(suffixes=tuple(dict.fromkeys((*UPLOAD_SUFFIXES, *RESULT_SUFFIXES))))


@st.cache_resource(ttl=10, max_entries=4, show_spinner=False)
def list_compared(root: str) -> list[str]:
    """The other side under usual schemes; checkpoints, and results that can be compared, below the root."""
    return [*QUANTIZED, *list_checkpoints(Path(root)), *list_results(Path(root))]


@dataclass(frozen=True, slots=True)
class CompareRequest:
    """Two sources as asked for, their identities on disk, and texts REGEX=REPLACEMENT. Equal requests are one job."""

    a: str
    b: str
    identity: str
    maps: tuple[str, ...] = ()

    @property
    def digest(self) -> str:
        """Sixteen hexadecimal digits over every field and the engine's version."""
        return hashlib.sha256(repr((ENGINE_VERSION, astuple(self))).encode()).hexdigest()[:16]

    @property
    def subject(self) -> str:
        """The comparison by its sources."""
        return f"the comparison of {_name_side(self.b)} with {_name_side(self.a)}"


def _name_side(text: str) -> str:
    if text.startswith(QUANTIZED_PREFIX):
        return f"itself at {shorten(text.removeprefix(QUANTIZED_PREFIX))}"
    return shorten(name_source(text).rstrip("/").rpartition("/")[2])


def make_request(a: str, b: str, maps: tuple[str, ...]) -> CompareRequest:
    """The request of two sources; raises as `identify_source`, and ValueError for a scheme that is none, with two
    sides that are each other's form, and with a map that can not be read.
    """
    parse_maps(maps)
    schemes = [_read_scheme(text) for text in (a, b)]
    if all(schemes):
        raise ValueError(
            "A and B are each the other one under a scheme: one of them must be a sample, a file or a folder"
        )
    identities = [
        str(scheme) if scheme else identify_source(text, get_compared_uploads())
        for text, scheme in zip((a, b), schemes, strict=True)
    ]
    return CompareRequest(a, b, " ".join(identities), maps)


def _read_scheme(text: str) -> Scheme | None:
    return Scheme.parse(text.removeprefix(QUANTIZED_PREFIX)) if text.startswith(QUANTIZED_PREFIX) else None


@contextmanager
def open_sides(request: CompareRequest) -> Iterator[tuple[TensorSource, TensorSource]]:
    """Both sources, closed behind the block; raises as `open_source`."""
    texts = (request.a, request.b)
    with ExitStack() as stack:
        files = [
            None if _read_scheme(text) else stack.enter_context(open_source(text, get_compared_uploads()))
            for text in texts
        ]
        known = next(one for one in files if one is not None)
        sides = [
            one or RequantizedSource(known, Scheme.parse(text.removeprefix(QUANTIZED_PREFIX)))
            for one, text in zip(files, texts, strict=True)
        ]
        yield sides[0], sides[1]


@dataclass(frozen=True, slots=True)
class CompareStep:
    """How far a comparison is: `done` of `total` tensors, the one at work, the part of the values that is done."""

    done: int
    total: int
    tensor: str
    share_done: float


Compared = Snapshot[CompareStep, Table[ComparisonRow]]
CompareJob = Job[CompareRequest, CompareStep, Table[ComparisonRow]]


@st.cache_resource
def get_comparisons() -> JobManager[CompareRequest, CompareStep, Table[ComparisonRow]]:
    """The server's comparisons of two models, two at a time."""
    return JobManager(_run_comparison)


def _run_comparison(
    request: CompareRequest, on_progress: Callable[[CompareStep], None], cancel: threading.Event
) -> Table[ComparisonRow]:
    """What a job does: open both sources and compare them; rows so far where it is cancelled. Raises as `compare`."""

    def tell(progress: CompareProgress) -> None:
        on_progress(CompareStep(progress.done, progress.total, progress.tensor, progress.fraction))

    with open_sides(request) as (a, b):
        return compare(a, b, maps=request.maps, on_progress=tell, cancel=cancel)


@st.cache_resource(max_entries=8, show_spinner="Matching names …")
def read_structure(request: CompareRequest) -> Table[ComparisonRow]:
    """The rows without figures, from headers alone; raises as `compare`."""
    with open_sides(request) as (a, b):
        return compare(a, b, maps=request.maps, structure_only=True)


def count_compared(rows: Table[ComparisonRow]) -> int:
    """How many values of A are held against those of B.

    >>> rows = [ComparisonRow(shape_a="2x3", shape_b="6x3"), ComparisonRow(status="tied"), ComparisonRow()]
    >>> count_compared(Table.from_rows(ComparisonRow, rows))
    7
    """
    return sum(
        min(math.prod(map(int, shape.split("x"))) if shape else 1 for shape in (row.shape_a, row.shape_b))
        for row in rows
        if row.status == "ok"
    )


def tell_comparison(snapshot: Compared) -> str:
    """Where a comparison stands in one line, plain text.

    >>> tell_comparison(Snapshot("running", CompareStep(3, 8, "fc.weight", 0.25)))
    'fc.weight: 3 of 8 tensors, 25 %'
    """
    progress = snapshot.progress
    if snapshot.state == "queued":
        return "Waiting for another comparison to end"
    if snapshot.state == "done":
        return f"Complete in {duration(snapshot.seconds)}"
    if progress is None:
        return {"running": "Opening both sources", "failed": "The comparison failed"}.get(
            snapshot.state, "Cancelled before the first tensor"
        )
    counted = f"{progress.done:,} of {progress.total:,} tensors"
    if snapshot.is_active:
        return f"{shorten(progress.tensor)}: {counted}, {percent(snapshot.share_done)}"
    return f"Incomplete, {'cancelled' if snapshot.state == 'cancelled' else 'stopped'}: {counted}"


@st.cache_resource(max_entries=24, show_spinner="Looking at the layer …")
def read_portrait(request: CompareRequest, tensor_a: str, tensor_b: str) -> Portrait:
    """One pair from inside, by its names; ValueError for a pair that does not fit, CheckpointError where values can not
    be had.
    """
    with open_sides(request) as (a, b):
        return draw_portrait(_find_pair(a, b, request.maps, (tensor_a, tensor_b)), Side(a), Side(b))


def _find_pair(a: TensorSource, b: TensorSource, maps: tuple[str, ...], names: tuple[str, str]) -> Pair:
    pairs = match_tensors(a.tensors, b.tensors, maps=parse_maps(maps), facts_a=a.facts, facts_b=b.facts)
    for pair in pairs:
        if pair.a is not None and pair.b is not None and (pair.a.info.name, pair.b.info.name) == names:
            return pair
    raise ValueError(f"{shorten(names[0])} of A has no partner in B; choose another layer")
