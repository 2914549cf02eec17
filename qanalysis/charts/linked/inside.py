"""What do the charts of one layer hold at every width? Weights, errors, channels, and the mark on its curves."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from qanalysis.charts.channel_charts import draw_channels
from qanalysis.charts.layer_axes import LayerAxes
from qanalysis.charts.layer_charts import draw_errors, draw_weights
from qanalysis.charts.linked.recipes import write_profile
from qanalysis.charts.linked.scene import Panel
from qanalysis.diagnosis.profile import LayerProfile
from qanalysis.notation import count

PANELS = ("weights", "errors", "channels", "curves")


def draw_steps(
    profiles: Sequence[LayerProfile],
    *,
    source: str = "",
    numel: int = 0,
    log_counts: bool = False,
    curves: Panel | None = None,
    marks: Sequence[Mapping[str, Any]] = (),
) -> list[list[Panel]]:
    """The panels at each of the profiles, of which there is at least one, all of one layer; the axes hold all of them.

    Parameters
    ----------
    source : what opens the checkpoint, for the lines of Python; "" for values that no file holds.
    numel : how many values the layer has there, where the profiles may be of its first ones.
    curves, marks : the layer's error against bits, drawn once, and what each step marks on it (`mark_point`).
    """
    axes = LayerAxes.over(profiles)
    steps = [_draw_inside(profile, axes, source, numel, log_counts=log_counts) for profile in profiles]
    if curves is None:
        return steps
    return [[*panels, replace(curves, changes=mark)] for panels, mark in zip(steps, marks, strict=True)]


def tell_part(profile: LayerProfile, numel: int) -> str:
    """What is to be said of histograms that do not count all of a layer's `numel` values; "" where they do."""
    if profile.count + profile.non_finite >= numel:
        return ""
    return f"Histograms from the first {count(profile.count)} of {count(numel)} values; the tables count all of them."


def _draw_inside(profile: LayerProfile, axes: LayerAxes, source: str, numel: int, *, log_counts: bool) -> list[Panel]:
    """The three charts of a layer from inside, under one scheme."""
    figures = {
        "weights": (draw_weights(profile, axes, log_counts=log_counts), "profile.weights.counts"),
        "errors": (draw_errors(profile, axes), "profile.error_in_steps.counts"),
        "channels": (draw_channels(profile, axes), "profile.channel_share"),
    }
    return [
        Panel(name, figure, write_profile(source, profile, f"figures = {words}", numel=numel) if source else "")
        for name, (figure, words) in figures.items()
    ]
