"""Figures stay small, escape names, say their headline in title and alternative text, and stand out in both themes."""

from __future__ import annotations

import json

import pytest

from qanalysis.charts.channel_charts import channel_errors, group_errors
from qanalysis.charts.curves import error_curves
from qanalysis.charts.heat_map import heat_map
from qanalysis.charts.layer_charts import error_histogram, weight_histogram
from qanalysis.charts.palette import PALETTES, begin
from qanalysis.diagnosis.profile import profile_layer
from qanalysis.quantizers.scheme import Scheme
from tests.charts.examples import EVIL, size_of, weights

BOTH_THEMES = pytest.mark.parametrize("theme", ["light", "dark"])


def texts_of(figure):
    """Every text that plotly would read as markup."""
    found = json.loads(figure.to_json())
    layout, templates = found["layout"], [trace.get("hovertemplate") for trace in found["data"]]
    yield from (layout["title"]["text"], layout["title"]["subtitle"]["text"])
    yield from (note["text"] for note in layout.get("annotations", []))
    yield from layout.get("yaxis", {}).get("ticktext", [])
    yield from (text for text in templates if text)
    yield from (trace["name"] for trace in found["data"] if "name" in trace)


def contrast(first, second):
    """Contrast ratio of two colours "#rrggbb" (WCAG 2.1)."""

    def luminance(colour):
        parts = [int(colour[start : start + 2], 16) / 255 for start in (1, 3, 5)]
        red, green, blue = (part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts)
        return 0.2126 * red + 0.7152 * green + 0.0722 * blue

    dark, bright = sorted((luminance(first), luminance(second)))
    return (bright + 0.05) / (dark + 0.05)


def test_figures_share_no_layout():
    first = begin("a", "light")
    first.layout.template.layout.font.size = 99
    first.layout.xaxis.title.text = "x"
    second = begin("b", "light")
    assert second.layout.template.layout.font.size == 13
    assert second.layout.xaxis.title.text is None


@pytest.mark.parametrize("theme", PALETTES)
def test_every_colour_that_carries_meaning_stands_out_from_the_background(theme):
    palette = PALETTES[theme]
    for field in ("text", "muted", "kept", "clipped", "zeroed", "error", "reference"):
        assert contrast(getattr(palette, field), palette.background) >= 3, field
    assert min(contrast(colour, palette.background) for colour in palette.categories) >= 3
    assert len(set(palette.categories)) == len(palette.categories)


def all_figures(rows, profile, theme):
    return {
        "heat map": heat_map(rows, "sqnr_db", theme=theme),
        "curves": error_curves(rows, [EVIL], "sqnr_db", theme=theme),
        "curves of layers": error_curves(rows, ["conv1", EVIL], "mse", theme=theme),
        "weights": weight_histogram(profile, theme=theme),
        "errors": error_histogram(profile, theme=theme),
        "channels": channel_errors(profile, theme=theme),
        "groups": group_errors(profile, theme=theme),
    }


@BOTH_THEMES
def test_every_figure_is_small_described_escaped_and_has_units(rows, profile, theme):
    for name, figure in all_figures(rows, profile, theme).items():
        assert size_of(figure) < 100e3, name
        assert figure.layout.title.text, name
        assert figure.layout.meta["alt"].endswith("."), name
        assert not [text for text in texts_of(figure) if "<b>evil" in text or "&gt;%{x}" in text], name
        assert figure.layout.template.layout.paper_bgcolor == PALETTES[theme].background
        assert (
            figure.layout.template.layout.xaxis.exponentformat == "power"
        )  # a prefix belongs to a unit, which no axis here has
        titles = [axis.title.text for axis in (*figure.select_xaxes(), *figure.select_yaxes()) if axis.title.text]
        assert all("(" in title for title in titles if title != "Mean squared error"), (name, titles)


def test_large_tensors_make_no_larger_figures():
    profile = profile_layer(weights((3000, 300)), Scheme.parse("int4 group=2"))
    for draw in (weight_histogram, error_histogram, channel_errors, group_errors):
        assert size_of(draw(profile)) < 100e3


@BOTH_THEMES
def test_nothing_to_draw_says_what_to_do_next(theme):
    empties = [
        heat_map([], "sqnr_db", theme=theme),
        error_curves([], ["a"], "sqnr_db", theme=theme),
    ]
    empties += [draw(None, theme=theme) for draw in (weight_histogram, error_histogram, channel_errors, group_errors)]
    for figure in empties:
        assert figure.layout.title.text
        (step,) = figure.layout.annotations
        assert step.text.startswith(("Open", "Choose"))
        assert step.text in figure.layout.meta["alt"]
