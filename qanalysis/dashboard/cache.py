"""What is kept between two runs of the page? The only place with streamlit's caches, all bounded.

Keys are text forms and the source's identity (path, size, time of change, header digest); arrays are never arguments.
What comes back is shared by every session: callers only read it.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import numpy as np
import streamlit as st
from numpy.typing import NDArray

from qanalysis import charts
from qanalysis.charts.palette import Theme
from qanalysis.checkpoints import open_checkpoint
from qanalysis.checkpoints.path_policy import list_checkpoints, list_files
from qanalysis.checkpoints.source import TensorInfo
from qanalysis.converters.posterior import Posterior, judge_posterior
from qanalysis.dashboard.checks import BackgroundChecks
from qanalysis.dashboard.jobs import JobManager, SweepRequest
from qanalysis.dashboard.layers.view import Axis
from qanalysis.dashboard.sources import UploadStore, identify_source, locate_source
from qanalysis.diagnosis import Diagnosis, diagnose
from qanalysis.diagnosis.conventions import Convention, compare_conventions
from qanalysis.diagnosis.own_limits import LayerLimits, find_limits
from qanalysis.diagnosis.profile import LayerProfile, profile_bits, profile_layer
from qanalysis.quantizers.crossing import default_schemes
from qanalysis.quantizers.scheme import Scheme
from qanalysis.sweeps.row import Rows
from qanalysis.sweeps.sweep import SweepProgress, sweep

if TYPE_CHECKING:
    from plotly.graph_objects import Figure

Part = Literal["weights", "log weights", "errors", "channels"]
MOST_PROFILED = 2**24
"""Elements of a layer that the histograms are made from; a larger one is read in part, which the page says."""


@st.cache_resource
def get_uploads() -> UploadStore:
    """The server's uploaded files."""
    return UploadStore()


@st.cache_resource
def get_jobs() -> JobManager:
    """The server's sweeps."""
    return JobManager(_run_sweep)


@st.cache_resource
def get_checks() -> BackgroundChecks:
    """The server's one run of the cross-checks."""
    return BackgroundChecks()


@st.cache_resource
def warm_kernels() -> None:
    """Load the compiled loops, once per server, on a thread of their own: a sweep that waits for its button then starts at once."""
    weights = {"w": np.eye(2, dtype=np.float32)}
    threading.Thread(target=sweep, args=(weights, default_schemes()), kwargs={"workers": 1}, name="warm-kernels", daemon=True).start()


def _run_sweep(request: SweepRequest, on_progress: Callable[[SweepProgress], None], cancel: threading.Event) -> Rows:
    with open_checkpoint(locate_source(request.source, get_uploads())) as source:
        return sweep(
            source,
            request.schemes,
            include=request.include or None,
            exclude=request.exclude or None,
            weights_only=request.weights_only,
            on_progress=on_progress,
            cancel=cancel,
        )


def identify(text: str) -> str:
    """The source's identity as it lies on disk now; CheckpointError or ValueError where it can not be reached."""
    return identify_source(text, get_uploads())


@st.cache_data(ttl=10, max_entries=4, show_spinner=False)
def list_paths(root: str) -> list[str]:
    """Checkpoints below the allowed root, as suggestions."""
    return list_checkpoints(Path(root))


@st.cache_data(ttl=10, max_entries=4, show_spinner=False)
def list_records(root: str, suffixes: tuple[str, ...]) -> list[str]:
    """Records below the allowed root, as suggestions."""
    return list_files(Path(root), suffixes)


@dataclass(frozen=True, slots=True)
class Contents:
    """A source's header: its label, its tensors, its size in bytes and what reading it costs in memory."""

    name: str
    tensors: tuple[TensorInfo, ...]
    size_bytes: int
    memory_note: str

    @property
    def numel(self) -> int:
        """Elements of all tensors."""
        return sum(info.numel for info in self.tensors)


@st.cache_resource(max_entries=16, show_spinner=False)
def read_contents(text: str, identity: str) -> Contents:  # noqa: ARG001  the identity is part of the key
    """The header of a source."""
    with open_checkpoint(locate_source(text, get_uploads())) as source:
        return Contents(source.name, tuple(source.tensors), source.size_bytes, source.memory_note)


@st.cache_resource(max_entries=2, show_spinner=False)
def _read_values(text: str, identity: str, tensor: str) -> NDArray[np.float32]:  # noqa: ARG001
    with open_checkpoint(locate_source(text, get_uploads())) as source:
        info = next(info for info in source.tensors if info.name == tensor)
        if info.numel > MOST_PROFILED and source.is_sliceable(info) and info.channel_axis == 0 and len(info.shape) > 1:
            length = info.numel // info.shape[0]
            rows = max(MOST_PROFILED // length, 1)
            values = source.read_slice(info, 0, rows * length).reshape(rows, *info.shape[1:])
        else:
            values = source.read(info)
    values = np.ascontiguousarray(values)
    values.flags.writeable = False
    return values


@st.cache_resource(max_entries=48, show_spinner=False)
def read_profile(text: str, identity: str, tensor: str, scheme: str) -> LayerProfile:
    """What a layer looks like under a scheme; ValueError or TypeError for a tensor without values to show."""
    axis = _channel_axis(text, identity, tensor)
    return profile_layer(_read_values(text, identity, tensor), Scheme.parse(scheme), axis=axis, name=tensor)


@st.cache_resource(max_entries=48, show_spinner="Trying cures …")
def read_diagnosis(text: str, identity: str, tensor: str, scheme: str) -> Diagnosis:
    """Causes and cures of a layer under a scheme; of a very large layer from the part that the histograms show."""
    axis, profile = _channel_axis(text, identity, tensor), read_profile(text, identity, tensor, scheme)
    return diagnose(_read_values(text, identity, tensor), Scheme.parse(scheme), axis=axis, name=tensor, profile=profile)


@st.cache_resource(max_entries=48, show_spinner="Comparing with the weights …")
def read_posterior(text: str, identity: str, tensor: str, scheme: str) -> Posterior:
    """The posterior check of a layer under a scheme; of a very large layer of the part that the histograms show."""
    values, axis = _read_values(text, identity, tensor), _channel_axis(text, identity, tensor)
    return judge_posterior(values, Scheme.parse(scheme).fit(values, axis=axis).round_trip(values))


@st.cache_resource(max_entries=48, show_spinner="Comparing conventions …")
def read_conventions(text: str, identity: str, tensor: str, scheme: str) -> tuple[Convention, ...]:
    """A layer under every reading of a scheme's words; of a very large layer the part that the histograms show."""
    axis = _channel_axis(text, identity, tensor)
    return compare_conventions(_read_values(text, identity, tensor), scheme, axis=axis, name=tensor)


@st.cache_resource(max_entries=32, show_spinner=False)
def draw_cells(result: str, tensors: tuple[str, ...], metric: str, selected: tuple[str, str], theme: Theme, _rows: Rows) -> Figure:  # noqa: ARG001
    """Heat map of some tensors of a result, in their order; `result` names the rows, which are not part of the key."""
    place = {tensor: index for index, tensor in enumerate(tensors)}
    rows = sorted((row for row in _rows if row.tensor in place), key=lambda row: place[row.tensor])
    return charts.heat_map(rows, metric, selected=selected, theme=theme)


@st.cache_resource(max_entries=48, show_spinner="Finding this layer's limits …")
def read_limits(text: str, identity: str, tensor: str) -> LayerLimits:
    """What a layer's own values allow; of a very large layer those that the histograms show. ValueError for values without spread."""
    return find_limits(_read_values(text, identity, tensor), name=tensor)


@st.cache_resource(max_entries=32, show_spinner=False)
def draw_curves(
    result: str,  # noqa: ARG001  names the rows, which are not part of the key
    tensors: tuple[str, ...],
    metric: str,
    horizontal: Axis,
    theme: Theme,
    limits: LayerLimits | None,
    _rows: Rows,
) -> Figure:
    """Error against bits of some tensors of a result."""
    return charts.error_curves(_rows, tensors, metric, horizontal=horizontal, limits=limits, theme=theme)


@st.cache_resource(max_entries=128, show_spinner=False)
def draw_layer(part: Part, text: str, identity: str, tensor: str, scheme: str, theme: Theme) -> Figure:
    """One chart of a layer under a scheme."""
    profile = read_profile(text, identity, tensor, scheme)
    match part:
        case "errors":
            return charts.error_histogram(profile, theme=theme)
        case "channels":
            return charts.channel_errors(profile, theme=theme)
    return charts.weight_histogram(profile, log_counts=part == "log weights", theme=theme)


@st.cache_resource(max_entries=64, show_spinner=False)
def draw_levels(scheme: str, theme: Theme) -> Figure:
    """The levels of a scheme's format."""
    return charts.format_levels(Scheme.parse(scheme), theme=theme)


@st.cache_resource(max_entries=8, show_spinner="Preparing 2 to 16 bits …")
def draw_scrub(text: str, identity: str, tensor: str, scheme: str, theme: Theme) -> Figure:
    """The chart that scrubs through every integer format by itself, without a server."""
    axis = _channel_axis(text, identity, tensor)
    profiles = profile_bits(_read_values(text, identity, tensor), Scheme.parse(scheme), axis=axis, name=tensor)
    return charts.scrub(profiles, theme=theme)


def _channel_axis(text: str, identity: str, tensor: str) -> int:
    return next(info.channel_axis for info in read_contents(text, identity).tensors if info.name == tensor)
