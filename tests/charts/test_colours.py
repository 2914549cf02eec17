"""A light figure becomes the dark one by replacing its colours, each by its twin: what the browser does with every chart."""

from __future__ import annotations

import json
import re
from typing import Any

import numpy as np
import plotly.graph_objects as go
import pytest

from qanalysis.charts.channel_charts import channel_errors, group_errors
from qanalysis.charts.curves import error_curves
from qanalysis.charts.format_levels import format_levels
from qanalysis.charts.heat_map import heat_map
from qanalysis.charts.layer_charts import error_histogram, weight_histogram
from qanalysis.charts.linked.modules import describe_looks
from qanalysis.charts.palette import PALETTES, SIGNED, Theme, fade, pair_colours
from qanalysis.diagnosis.own_limits import LayerLimits
from qanalysis.diagnosis.profile import profile_layer
from qanalysis.quantizers.scheme import Scheme
from qanalysis.sweeps.row import METRICS, Row
from tests.charts.examples import EVIL, many_rows, weights
from tests.charts.test_all_charts import all_figures
from tests.charts.test_converter_charts import CHARTS

_RGBA = re.compile(r"rgba?\(\s*(\d+)\s*,\s*(\d+)\s*,\s*(\d+)\s*(?:,\s*([\d.]+)\s*)?\)")


def recolour(value: Any) -> Any:
    """A tree in which every text that is a colour has its twin, and nothing else is touched: written from the rule."""
    if isinstance(value, dict):
        return {key: recolour(inner) for key, inner in value.items()}
    if isinstance(value, list):
        return [recolour(inner) for inner in value]
    if not isinstance(value, str):
        return value
    twins = dict(describe_looks()["twins"])
    if re.fullmatch("#[0-9a-f]{6}", value, re.IGNORECASE):
        return twins.get(value.lower(), value)
    match = _RGBA.fullmatch(value)
    if match is None:
        return value
    solid = "#" + "".join(f"{int(part):02x}" for part in match.groups()[:3])
    return fade(twins.get(solid, solid), float(match[4] or 1))


def assert_turns_dark(light: go.Figure, dark: go.Figure) -> None:
    assert light.to_json() != dark.to_json()
    assert recolour(json.loads(light.to_json())) == json.loads(dark.to_json())


@pytest.mark.parametrize("name", CHARTS)
def test_a_converter_s_chart_turns_dark_by_its_colours_alone(name: str) -> None:
    assert_turns_dark(CHARTS[name](theme="light"), CHARTS[name](theme="dark"))


def test_a_layer_s_charts_turn_dark_by_their_colours_alone(rows, profile) -> None:
    light, dark = (all_figures(rows, profile, theme) for theme in PALETTES)
    for name in light:
        assert_turns_dark(light[name], dark[name])


@pytest.mark.parametrize("metric", METRICS)
def test_a_heat_map_of_any_metric_turns_dark_by_its_colours_alone(rows, metric: str) -> None:
    assert_turns_dark(*(heat_map(rows, metric, theme=theme) for theme in PALETTES))


def _draw_others(theme: Theme, rows: list[Row], format_rows: list[Row]) -> list[go.Figure]:
    loud = weights((300, 64))
    loud[5] *= 30
    outliers = profile_layer(loud, Scheme.parse("int4 group=16"))
    limits = LayerLimits("a", (2, 3, 4), (9.0, 14.5, 20.0), 1.5)
    return [
        heat_map(many_rows(80), "sqnr_db", theme=theme),
        error_curves(rows, ["conv1"], "sqnr_db", limits=limits, theme=theme),
        error_curves(format_rows, ["conv1", "odd"], "sqnr_db", horizontal="bits_per_weight", theme=theme),
        error_curves(many_rows(3), [row.tensor for row in many_rows(3)[::28]], "sqnr_db", theme=theme),
        weight_histogram(profile_layer(weights((8, 8)), Scheme.parse("int12")), log_counts=True, theme=theme),
        *(draw(outliers, theme=theme) for draw in (channel_errors, group_errors, error_histogram)),
        *(format_levels(Scheme.parse(text), theme=theme) for text in ("int4 asym", "nf4", "mxfp4", "float16")),
        *(draw(None, theme=theme) for draw in (channel_errors, group_errors, error_histogram, weight_histogram)),
        heat_map([], "sqnr_db", theme=theme),
        error_curves([], [EVIL], "mse", theme=theme),
        error_histogram(profile_layer(np.zeros((2, 3), np.float32), Scheme.parse("int4")), theme=theme),
    ]


def test_special_cases_turn_dark_by_their_colours_alone(rows, format_rows) -> None:
    for light, dark in zip(*(_draw_others(theme, rows, format_rows) for theme in PALETTES), strict=True):
        assert_turns_dark(light, dark)


def test_every_role_and_the_map_of_signed_values_has_a_twin() -> None:
    twins = pair_colours()
    light, dark = PALETTES.values()
    for role in ("background", "panel", "text", "muted", "grid", "kept", "clipped", "zeroed", "error", "reference"):
        assert twins[getattr(light, role)] == getattr(dark, role)
    assert [twins[colour] for colour in light.categories] == list(dark.categories)
    assert [twins[colour] for _place, colour in SIGNED["light"]] == [colour for _place, colour in SIGNED["dark"]]
