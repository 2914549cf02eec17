"""What does page Layers keep between two runs? What was found inside layers, and the charts of it, each under its
`Subject`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import streamlit as st

from qanalysis.charts.channel_charts import group_errors
from qanalysis.charts.format_levels import format_levels
from qanalysis.converters.posterior import Posterior, judge_posterior
from qanalysis.dashboard.cache import Origin, Subject, read_values
from qanalysis.diagnosis.conventions import Convention, compare_conventions
from qanalysis.diagnosis.findings import Diagnosis, diagnose
from qanalysis.diagnosis.own_limits import LayerLimits, find_limits
from qanalysis.diagnosis.profile import LayerProfile, profile_layer
from qanalysis.quantizers.scheme import Scheme

if TYPE_CHECKING:
    from plotly.graph_objects import Figure


@st.cache_resource(max_entries=48, show_spinner=False)
def read_profile(subject: Subject) -> LayerProfile:
    """What a layer looks like under a scheme; ValueError or TypeError for a tensor without values to show.

    Histograms, error per channel and per group of the values that `read_values` gives.
    """
    axis = subject.info.view
    return profile_layer(
        read_values(subject.origin, subject.tensor), Scheme.parse(subject.scheme), axis=axis, name=subject.tensor
    )


@st.cache_resource(max_entries=48, show_spinner="Trying cures …")
def read_diagnosis(subject: Subject) -> Diagnosis:
    """Causes and cures of a layer under a scheme; of a very large layer from the part that the histograms show.

    ValueError or TypeError as for its profile; some tenths of a second per million values.
    """
    axis, values = subject.info.view, read_values(subject.origin, subject.tensor)
    return diagnose(values, Scheme.parse(subject.scheme), axis=axis, name=subject.tensor, profile=read_profile(subject))


@st.cache_resource(max_entries=48, show_spinner="Comparing with the weights …")
def read_posterior(subject: Subject) -> Posterior:
    """The posterior check of a layer under a scheme; of a very large layer of the part that the histograms show.

    Channels are those of the file; values that are not finite are left out and counted.
    """
    axis, values = subject.info.view, read_values(subject.origin, subject.tensor)
    return judge_posterior(values, Scheme.parse(subject.scheme).fit(values, axis=axis).round_trip(values))


@st.cache_resource(max_entries=48, show_spinner="Comparing conventions …")
def read_conventions(subject: Subject) -> tuple[Convention, ...]:
    """A layer under every reading of a scheme's words; of a very large layer the part that the histograms show.

    The one asked for is among them (`is_asked`). A searched range costs a hundred round trips for each.
    """
    axis = subject.info.view
    return compare_conventions(
        read_values(subject.origin, subject.tensor), subject.scheme, axis=axis, name=subject.tensor
    )


@st.cache_resource(max_entries=48, show_spinner="Finding this layer's limits …")
def read_limits(origin: Origin, tensor: str) -> LayerLimits:
    """What a layer's own values allow; of a very large layer those that the histograms show.

    ValueError for values without spread.

    In dB over bits per weight; depends on the values alone, so that one result serves every scheme.
    """
    return find_limits(read_values(origin, tensor), name=tensor)


@st.cache_resource(max_entries=32, show_spinner=False)
def draw_groups(subject: Subject) -> Figure:
    """The map of a layer's error by channel and group; raises what the profile raises."""
    return group_errors(read_profile(subject))


@st.cache_resource(max_entries=64, show_spinner=False)
def draw_levels(scheme: str) -> Figure:
    """The levels of a scheme's format.

    At scale 1, whatever the layer.
    """
    return format_levels(Scheme.parse(scheme))
