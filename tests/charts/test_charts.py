"""Figures hold the numbers of rows and profiles, stay small, escape names, and say their headline in title and alternative text."""

import dataclasses
import json
import math

import numpy as np
import pytest

from qanalysis.charts import PALETTES, channel_errors, error_curves, error_histogram, heat_map, scrub, weight_histogram
from qanalysis.charts.channel_charts import MAP_SIDE, pick_channels, shrink_map
from qanalysis.charts.heat_map import CELL_LIMIT, group_label
from qanalysis.charts.palette import begin
from qanalysis.charts.wording import escape, label_layers, name_power
from qanalysis.diagnosis.own_limits import LayerLimits
from qanalysis.diagnosis.profile import profile_bits, profile_layer
from qanalysis.notation import measure, percent, shorten, si
from qanalysis.quantizers.scheme import Scheme
from qanalysis.sweeps.row import METRICS, Row
from qanalysis.sweeps.sweep import sweep
from qanalysis.theory import lines, optimal_grids

EVIL = "<b>evil</b>%{x}"
SCHEMES = [f"int{bits} {grouping}" for grouping in ("tensor", "group=8") for bits in (2, 4, 8)]
BOTH_THEMES = pytest.mark.parametrize("theme", ["light", "dark"])


def weights(shape, seed=0):
    return (np.random.default_rng(seed).standard_t(4, size=shape) * 0.02).astype(np.float32)


@pytest.fixture(scope="module")
def rows():
    return sweep({"conv1": weights((8, 16)), EVIL: weights((4, 32), 1), "ids": np.arange(6)}, SCHEMES)


@pytest.fixture(scope="module")
def profile():
    return profile_layer(weights((16, 64)), Scheme.parse("int4 group=16 range=percentile:95"), name=EVIL)


def row_of(rows, tensor, scheme):
    return next(row for row in rows if (row.tensor, row.scheme) == (tensor, str(Scheme.parse(scheme))))


def many_rows(layers, *, schemes=28):
    groups = ("tensor", "channel", "group=128", "group=32")
    names = [f"model.layers.{index}.self_attn.q_proj.weight" for index in range(layers)]
    columns = [(f"int{2 + index % 7}", groups[index // 7]) for index in range(schemes)]
    shared = {
        "kind": "weight",
        "shape": "8x8",
        "dtype": "float32",
        "numel": 64,
        "symmetry": "sym",
        "range": "minmax",
        "scale": "float32",
    }
    return [
        Row(
            tensor=name,
            scheme=f"{fmt} {grouping}",
            format=fmt,
            bits=int(fmt[3:]),
            grouping=grouping,
            sqnr_db=math.pi * (place + column),
            **shared,
        )
        for place, name in enumerate(names)
        for column, (fmt, grouping) in enumerate(columns)
    ]


def size_of(figure):
    return len(figure.to_json())


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


class TestHeatMap:
    def test_cells_hold_the_rows_values_in_file_order(self, rows):
        figure = heat_map(rows, "sqnr_db")
        maps = [trace for trace in figure.data if trace.type == "heatmap" and trace.coloraxis]
        assert [trace.name for trace in maps] == ["tensor", "group=8"]
        for trace, grouping in zip(maps, ("tensor", "group=8"), strict=True):
            expected = [
                [row_of(rows, tensor, f"int{bits} {grouping}").sqnr_db or math.nan for bits in (2, 4, 8)]
                for tensor in ("conv1", EVIL, "ids")
            ]
            np.testing.assert_array_equal(np.asarray(trace.z), np.float32(expected))

    def test_every_cell_is_a_marker_that_names_tensor_and_scheme(self, rows):
        figure = heat_map(rows, "sqnr_db")
        markers = [tuple(data) for trace in figure.data for data in trace.customdata or ()]
        assert sorted(markers) == sorted((row.tensor, row.scheme) for row in rows)
        assert figure.layout.clickmode == "event+select"

    def test_markers_lie_on_their_cells(self, rows):
        figure = heat_map(rows, "sqnr_db")
        for trace in (trace for trace in figure.data if trace.customdata):
            for x, y, (tensor, scheme) in zip(trace.x, trace.y, trace.customdata, strict=True):
                group = next(
                    cells for cells in figure.data if cells.type == "heatmap" and cells.coloraxis and x in cells.x
                )
                value = row_of(rows, tensor, scheme).sqnr_db
                drawn = group.z[y][list(group.x).index(x)]
                assert drawn == np.float32(value) if value is not None else np.isnan(drawn)

    def test_a_layer_without_value_is_crossed_out_and_says_why(self, rows):
        figure = heat_map(rows, "sqnr_db")
        crosses = next(trace for trace in figure.data if trace.type == "scatter" and trace.marker.symbol == "x-thin")
        assert set(crosses.y) == {2}
        assert len(crosses.x) == len(SCHEMES)
        reasons = next(trace.text for trace in figure.data if trace.name == "ids")
        assert all(text.startswith("no value: ") and "int64" in text for text in reasons)
        assert "1 layer without a value" in figure.layout.title.subtitle.text

    def test_the_selected_cell_is_outlined_and_in_the_title(self, rows):
        figure = heat_map(rows, "sqnr_db", selected=("conv1", "int4 group=8"))
        value = row_of(rows, "conv1", "int4 group=8").sqnr_db
        assert figure.layout.title.text == f"SQNR: conv1, int4 group=8: {value:.2f} dB"
        cell = figure.layout.shapes[0]
        column = next(trace for trace in figure.data if trace.name == "group=8").x[1]
        assert (cell.x0, cell.x1, cell.y0, cell.y1) == (column - 0.5, column + 0.5, -0.5, 0.5)

    @pytest.mark.parametrize(("metric", "reverse"), [("sqnr_db", False), ("mse", True), ("bias", False)])
    def test_bright_is_good(self, rows, metric, reverse):
        assert heat_map(rows, metric).layout.coloraxis.reversescale is reverse

    def test_small_errors_are_coloured_by_their_logarithm(self, rows):
        figure = heat_map(rows, "mse")
        trace = next(trace for trace in figure.data if trace.name == "tensor")
        assert trace.z[0][0] == np.float32(math.log10(row_of(rows, "conv1", "int2").mse))
        assert figure.layout.coloraxis.colorbar.ticktext

    def test_signed_values_are_centred_on_zero(self, rows):
        axis = heat_map(rows, "bias").layout.coloraxis
        assert axis.cmin == -axis.cmax

    def test_an_infinite_value_is_shown_as_the_brightest_and_named(self, rows):
        exact = [dataclasses.replace(row, sqnr_db=math.inf) if row.scheme == "int8" else row for row in rows]
        figure = heat_map(exact, "sqnr_db")
        trace = next(trace for trace in figure.data if trace.name == "tensor")
        assert trace.z[0][2] == np.float32(figure.layout.coloraxis.cmax)
        assert next(trace.text for trace in figure.data if trace.name == "conv1")[2] == "∞ dB"

    @pytest.mark.parametrize(("layers", "limit"), [(5, 30e3), (32, 100e3), (300, 100e3), (500, 165e3)])
    def test_the_payload_stays_small(self, layers, limit):
        assert size_of(heat_map(many_rows(layers), "sqnr_db")) < limit

    def test_a_large_model_has_one_marker_per_layer_and_all_names(self):
        rows = many_rows(500)
        figure = heat_map(rows, "sqnr_db", selected=(rows[0].tensor, "int4 channel"))
        assert len(rows) > CELL_LIMIT
        markers = figure.data[-1].customdata
        assert [tensor for tensor, _ in markers] == [row.tensor for row in rows[::28]]
        assert {scheme for _, scheme in markers} == {"int4 channel"}
        assert len(figure.layout.yaxis.ticktext) == 500
        assert figure.layout.height / 500 >= 14  # pixels: a line of small text
        # Without these two the browser measures each name, for seconds.
        assert (figure.layout.yaxis.automargin, figure.layout.yaxis.ticklabeloverflow) == (False, "allow")
        assert figure.layout.hoverdistance == -1

    def test_names_are_safe_in_a_large_model_too(self):
        rows = many_rows(40)
        rows[0] = dataclasses.replace(rows[0], tensor=EVIL)
        figure = heat_map(rows, "sqnr_db")
        assert escape(EVIL) in figure.data[-1].hovertext
        assert "%{hovertext}" in figure.data[-1].hovertemplate

    def test_values_are_written_where_they_fit(self, rows):
        few = next(trace for trace in heat_map(rows, "sqnr_db").data if trace.name == "tensor")
        assert few.text[0][1] == f"{row_of(rows, 'conv1', 'int4').sqnr_db:.1f}"
        assert heat_map(many_rows(5), "sqnr_db").data[0].text is None

    def test_a_cancelled_sweep_leaves_its_missing_cells_empty(self, rows):
        figure = heat_map(rows.rows[:4], "sqnr_db")
        assert sum(len(trace.customdata or ()) for trace in figure.data) == 4

    def test_names_of_many_groups_stand_upright_and_keep_apart(self):
        groups = ["", " channel", " group=128", " group=32", " asym", " asym channel", " asym group=128"]
        rows = sweep(
            {"w": np.eye(4, dtype=np.float32)}, [f"int{bits}{group}" for group in groups for bits in range(2, 9)]
        ).rows
        few, many = heat_map(rows[:28], "sqnr_db"), heat_map(rows, "sqnr_db")
        assert {label.textangle for label in few.layout.annotations if label.text.startswith("<b>")} == {0}
        assert {label.textangle for label in many.layout.annotations if label.text.startswith("<b>")} == {-90}
        # The longest name, "group=128 asym", has 14 letters of 7 px, and stands 22 px above the cells below a title of 76 px.
        assert many.layout.margin.t >= 14 * 7 + 22 + 76
        assert many.layout.height - many.layout.margin.t == few.layout.height - few.layout.margin.t
        assert list(few.layout.xaxis.ticktext[:7]) == list("2345678")
        assert list(many.layout.xaxis.ticktext[:7]) == ["2", "", "", "", "", "", "8"]

    def test_an_unknown_metric_is_refused(self, rows):
        with pytest.raises(ValueError, match="metric 'loudness' is unknown; metrics are bits_per_weight"):
            heat_map(rows, "loudness")


@pytest.mark.parametrize(
    ("words", "label"),
    [
        ("int4", "tensor"),
        ("int4 asym channel", "channel asym"),
        ("int4 group=8 range=percentile:99 scale=float16", "group=8 range=percentile:99 scale=float16"),
        ("int4 round=floor", "tensor round=floor"),
    ],
)
def test_a_column_group_is_named_by_what_differs_from_the_defaults(words, label):
    assert group_label(sweep({"w": weights((4, 8))}, [words])[0]) == label


class TestErrorCurves:
    def test_lines_hold_the_rows_values(self, rows):
        figure = error_curves(rows, ["conv1"], "sqnr_db", horizontal="bits_per_weight")
        for trace, grouping in zip(figure.data[:2], ("tensor", "group=8"), strict=True):
            expected = [row_of(rows, "conv1", f"int{bits} {grouping}") for bits in (2, 4, 8)]
            assert trace.name == grouping
            assert list(trace.x) == [row.bits_per_weight for row in expected]
            assert list(trace.y) == [row.sqnr_db for row in expected]
            assert [list(data) for data in trace.customdata] == [[row.tensor, row.scheme] for row in expected]

    def test_theory_stands_beside_decibels_only(self, rows):
        figure = error_curves(rows, ["conv1"], "sqnr_db")
        limit, scalar = figure.data[-2:]
        assert list(limit.y) == [lines.shannon_db(bits, "gaussian") for bits in (2, 8)]
        assert list(scalar.y) == [optimal_grids.lloyd_max(bits, "gaussian").sqnr_db for bits in range(2, 9)]
        assert {note.text for note in figure.layout.annotations} == {
            "tensor",
            "group=8",
            "Shannon limit (Gauss)",
            "Lloyd-Max (Gauss)",
        }
        assert len(error_curves(rows, ["conv1"], "mse").data) == 2

    def test_a_point_says_what_gaussian_values_would_have(self, rows):
        row = row_of(rows, "conv1", "int4 group=8")
        text = f"{row.theory_sqnr_db:.2f} dB predicted, were it Gaussian"
        assert text in error_curves(rows, ["conv1"], "sqnr_db").data[1].text[1]
        assert "predicted" not in error_curves(rows, ["conv1"], "mse").data[1].text[1]
        assert (
            "predicted"
            not in error_curves([dataclasses.replace(row, theory_sqnr_db=None)], ["conv1"], "sqnr_db").data[0].text[0]
        )

    def test_groupings_differ_by_more_than_colour(self, rows):
        first, second = error_curves(rows, ["conv1"], "sqnr_db").data[:2]
        assert first.line.dash != second.line.dash
        assert first.marker.symbol != second.marker.symbol

    def test_names_at_the_lines_ends_keep_apart(self, rows):
        figure = error_curves(rows, ["conv1", EVIL], "sqnr_db")
        bottom, top = figure.layout.yaxis.range
        heights = sorted(note.y for note in figure.layout.annotations)
        assert min(np.diff(heights)) >= 0.05 * (top - bottom)
        assert bottom <= heights[0] <= heights[-1] <= top

    def test_the_legend_stands_in_the_order_of_the_lines_ends(self):
        arrays = {f"layer{index}": weights((8, 64), seed=index) * (1 + index) for index in range(12)}
        rows = sweep(arrays, [f"int{bits} channel" for bits in (3, 8, 5)])
        figure = error_curves(rows, list(arrays), "mse")
        shown = sorted((trace for trace in figure.data if trace.showlegend), key=lambda trace: trace.legendrank)
        ends = [trace.y[list(trace.x).index(max(trace.x))] for trace in shown]
        assert len(ends) == 12
        assert ends == sorted(ends, reverse=True)

    def test_many_lines_are_named_in_the_legend(self):
        rows = many_rows(3)
        figure = error_curves(rows, [row.tensor for row in rows[::28]], "sqnr_db")
        assert len(figure.layout.annotations) == 0
        assert all(trace.showlegend for trace in figure.data)

    def test_points_without_error_are_left_out_and_counted(self, rows):
        exact = [dataclasses.replace(row, sqnr_db=math.inf) if row.bits == 8 else row for row in rows]
        figure = error_curves(exact, ["conv1"], "sqnr_db")
        assert "2 points without any error (infinite) left out" in figure.layout.title.subtitle.text
        assert list(figure.data[0].x) == [2, 4]

    def test_an_unknown_axis_is_refused(self, rows):
        with pytest.raises(ValueError, match="horizontal is 'bits' or 'bits_per_weight'"):
            error_curves(rows, ["conv1"], "sqnr_db", horizontal="weight")


class TestLayerCharts:
    def test_fates_hold_the_profiles_counts_and_percentages(self, profile):
        figure = weight_histogram(profile)
        for trace, fate, word in zip(
            figure.data[1:], ("in_range", "clipped", "zeroed"), ("in range", "clipped", "rounded to zero"), strict=True
        ):
            histogram = getattr(profile, fate)
            assert list(trace.y) == [0, *histogram.counts, 0]
            assert trace.name == f"{word} {percent(histogram.total / profile.count)}"
        patterns = [trace.fillpattern.shape for trace in figure.data[1:]]
        assert len(set(patterns)) == 3
        assert percent(profile.clipped.total / profile.count) + " clipped" in figure.layout.title.text

    def test_few_levels_are_lines_and_many_a_band(self, profile):
        lines = weight_histogram(profile).data[0]
        np.testing.assert_array_equal(np.asarray(lines.x)[::3], profile.levels.astype(np.float32))
        assert lines.name == "widest grid, 15 levels"
        wide = profile_layer(weights((16, 64)), Scheme.parse("int8"))
        band = weight_histogram(wide).data[0]
        assert (min(band.x), max(band.x)) == (np.float32(wide.level_low), np.float32(wide.level_high))
        assert len(band.x) == 5

    def test_axes_are_the_same_for_every_scheme_of_a_layer(self):
        x = weights((16, 64))
        ranges = {
            tuple(weight_histogram(profile_layer(x, Scheme.parse(text))).layout.xaxis.range)
            for text in ("int2 sym-full", "int8 asym", "int4 channel")
        }
        assert len(ranges) == 1

    def test_counts_may_be_logarithmic(self, profile):
        assert weight_histogram(profile, log_counts=True).layout.yaxis.type == "log"
        assert weight_histogram(profile).layout.yaxis.type is None

    def test_density_of_the_error_integrates_to_the_share_inside(self, profile):
        trace = error_histogram(profile).data[0]
        inside = 1 - (profile.error_in_steps.below + profile.error_in_steps.above) / profile.count
        # A bin is 0.01 LSB wide; float32 densities.
        assert float(np.sum(trace.y)) * 0.01 == pytest.approx(inside, rel=1e-5)

    def test_bounds_and_what_lies_beyond_are_marked(self, profile):
        figure = error_histogram(profile)
        assert {x for x in figure.data[2].x if x is not None} == {-0.5, 0.5}
        beyond = [note.text for note in figure.layout.annotations]
        assert f"▸ {percent(profile.error_in_steps.above / profile.count)} beyond" in beyond
        assert f"{profile.sqnr_db:.2f} dB" in figure.layout.title.text
        assert not error_histogram(profile_layer(weights((4, 8)), Scheme.parse("int8"))).layout.annotations

    def test_a_layer_without_signal_or_error_has_charts_too(self):
        for x, words in ((np.zeros((2, 3), np.float32), "no signal"), (np.float32([[1.0, -1.0]]), "no error")):
            profile = profile_layer(x, Scheme.parse("int4"))
            assert words in error_histogram(profile).layout.title.text
            assert "no channel has any error" in channel_errors(profile).layout.title.text
            assert weight_histogram(profile).layout.meta["alt"]


class TestChannelErrors:
    def test_markers_hold_share_and_sqnr_of_each_channel(self, profile):
        share, sqnr = channel_errors(profile).data[:2]
        np.testing.assert_array_equal(np.asarray(share.y), (100 * profile.channel_share).astype(np.float32))
        np.testing.assert_array_equal(np.asarray(sqnr.y), profile.channel_sqnr_db.astype(np.float32))
        # Plain lists: a click sends customdata on as JSON.
        assert share.customdata == sqnr.customdata == tuple([channel] for channel in range(16))

    def test_outlier_channels_carry_stars_and_a_name(self):
        x = weights((8, 64))
        x[5] *= 30
        figure = channel_errors(profile_layer(x, Scheme.parse("int4")))
        assert [symbol == "star" for symbol in figure.data[0].marker.symbol] == [channel == 5 for channel in range(8)]
        assert "outlier channel 5: max|x|" in figure.layout.title.subtitle.text
        assert any("outlier" in (trace.name or "") for trace in figure.data)

    def test_the_legend_keeps_away_from_the_title_in_a_narrow_column(self, profile):
        layout = channel_errors(profile).layout
        # Three lines of 20 px under the axis's numbers and its title, 45 px.
        assert (layout.legend.yref, layout.legend.y, layout.legend.yanchor) == ("container", 0, "bottom")
        assert layout.margin.b >= 3 * 20 + 45

    def test_groups_become_a_map(self, profile):
        trace = channel_errors(profile).data[-1]
        np.testing.assert_array_equal(np.asarray(trace.z), np.log10(profile.group_mse).T.astype(np.float32))
        assert all(
            trace.type == "scatter"
            for trace in channel_errors(profile_layer(weights((4, 8)), Scheme.parse("int4"))).data
        )

    def test_many_channels_are_shown_by_the_worst_of_each_run(self):
        profile = profile_layer(weights((1100, 4)), Scheme.parse("int4 channel"))
        shown, run = pick_channels(profile)
        assert run == 3
        assert shown.tolist() == [
            start + int(profile.channel_share[start : start + 3].argmax()) for start in range(0, 1100, 3)
        ]
        assert "the worst of each 3 shown" in channel_errors(profile).layout.xaxis.title.text

    def test_a_large_map_shows_the_largest_error_of_each_block(self):
        groups = np.random.default_rng(0).random((300, 140))
        groups[7, 9] = np.nan
        small, blocks = shrink_map(groups)
        assert blocks == (3, 2)
        assert small.shape == (100, 70)
        assert max(small.shape) <= MAP_SIDE
        assert small[0, 0] == groups[:3, :2].max()
        assert small[2, 4] == np.nanmax(groups[6:9, 8:10])


class TestScrub:
    def test_a_frame_per_bit_width_holds_that_profile(self):
        profiles = profile_bits(weights((16, 64)), Scheme.parse("int4 group=16"), name="w")
        figure = scrub(profiles)
        assert [frame.name for frame in figure.frames] == [str(bits) for bits in range(2, 17)]
        for frame, profile in zip(figure.frames, profiles, strict=True):
            assert list(frame.data[1].y) == [0, *profile.in_range.counts, 0]
            assert list(frame.data[3].y) == [0, *profile.zeroed.counts, 0]
            assert f"{profile.sqnr_db:.2f} dB" in frame.layout.title.text
            assert frame.data[1].x is None  # the edges never move
        assert size_of(figure) < 400e3
        assert [step.label for step in figure.layout.sliders[0].steps] == [frame.name for frame in figure.frames]

    def test_it_starts_where_asked_and_its_axes_hold_every_frame(self):
        profiles = profile_bits(weights((16, 64)), Scheme.parse("int4"), [3, 5, 7])
        assert scrub(profiles).layout.sliders[0].active == 0
        figure = scrub(profiles, bits=5, log_counts=False)
        assert figure.layout.sliders[0].active == 1
        assert list(figure.data[1].y) == list(figure.frames[1].data[1].y)
        assert figure.layout.yaxis.range[1] > max(profile.weights.counts.max() for profile in profiles)
        assert None not in (figure.layout.xaxis.range, figure.layout.xaxis2.range, figure.layout.yaxis3.range)


def all_figures(rows, profile, theme):
    return {
        "heat map": heat_map(rows, "sqnr_db", selected=(EVIL, "int4"), theme=theme),
        "curves": error_curves(rows, [EVIL], "sqnr_db", theme=theme),
        "curves of layers": error_curves(rows, ["conv1", EVIL], "mse", theme=theme),
        "weights": weight_histogram(profile, theme=theme),
        "errors": error_histogram(profile, theme=theme),
        "channels": channel_errors(profile, theme=theme),
        "scrub": scrub([profile], theme=theme),
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
    for draw in (weight_histogram, error_histogram, channel_errors):
        assert size_of(draw(profile)) < 100e3


@BOTH_THEMES
def test_nothing_to_draw_says_what_to_do_next(theme):
    empties = [
        heat_map([], "sqnr_db", theme=theme),
        error_curves([], ["a"], "sqnr_db", theme=theme),
        scrub([], theme=theme),
    ]
    empties += [draw(None, theme=theme) for draw in (weight_histogram, error_histogram, channel_errors)]
    for figure in empties:
        assert figure.layout.title.text
        (step,) = figure.layout.annotations
        assert step.text.startswith(("Open", "Choose"))
        assert step.text in figure.layout.meta["alt"]


def test_every_metric_of_the_catalogue_can_be_drawn(rows):
    for metric in METRICS:
        assert METRICS[metric].label in heat_map(rows, metric).layout.title.text


@pytest.mark.parametrize("name", ["a", "x" * 32, "x" * 33, "model.layers.31.block_sparse_moe.experts.7.w2.weight"])
def test_a_shortened_name_keeps_both_ends(name):
    short = shorten(name, 32)
    assert len(short) == min(len(name), 32)
    assert short == name or (name.startswith(short.partition("…")[0]) and name.endswith(short.partition("…")[2]))


def test_numbers_read_with_their_prefix():
    assert [si(value, "B") for value in (0, 1, 999.9, -1500, 2.5e-7, 1e15, 1e-20)] == [
        "0 B",
        "1 B",
        "1 kB",
        "−1.5 kB",
        "250 nB",
        "1 PB",
        "1·10⁻²⁰ B",
    ]
    assert measure(-3.456, "dB") == "−3.46 dB"
    assert measure(math.nan, "dB") == "n/a"
    assert si(-math.inf) == "−∞"


def test_a_prefix_stands_before_a_unit_only():
    assert [name_power(value) for value in (1e-7, 1e-3, 10.0, 1e6)] == ["10⁻⁷", "0.001", "10", "10⁶"]
    assert name_power(1e-6, "V") == "1 µV"


@pytest.mark.parametrize(
    "names",
    [
        [
            f"model.decoder.layers.{i}.a_rather_long_block_name.self_attention.query_projection.weight"
            for i in range(1000)
        ],
        [f"model.layers.{i}.self_attn.{part}_proj.weight" for i in range(40) for part in ("q", "k", "v", "o")]
        + ["lm_head.weight"],
        [f"{'x' * 40}{i}{'y' * 40}" for i in range(5)],
        ["a", "a.b.c.d.e.f.g.h.i.j.k.l.m.n.o.p.q.r.s.t", "a.z"],
    ],
    ids=["all alike", "decoder", "no dots", "one within another"],
)
def test_labels_of_long_names_tell_the_layers_apart(names):
    labels = label_layers(names)
    assert list(labels) == names
    assert len(set(labels.values())) == len(names)
    assert "" not in labels.values()


def test_short_names_stay_whole():
    assert label_layers(["conv1.weight", "fc.weight"]) == {"conv1.weight": "conv1.weight", "fc.weight": "fc.weight"}
    assert label_layers(["an.only.name.that.is.longer.than.the.limit"]) == {
        "an.only.name.that.is.longer.than.the.limit": shorten("an.only.name.that.is.longer.than.the.limit", 32)
    }
    assert label_layers([]) == {}


@pytest.mark.parametrize(
    ("words", "label"),
    [
        ("mxfp4", "own blocks"),
        ("gguf:q4_1", "own blocks"),
        ("bfloat16", "no scales"),
        ("nf4 group=8 scale=double", "group=8 scale=double"),
        ("fp8_e4m3 channel round=floor range=mse:9", "channel range=mse:9 round=floor"),
        ("ternary", "tensor"),
    ],
)
def test_other_formats_stand_beside_the_integers_of_their_grouping(words, label):
    assert group_label(sweep({"w": weights((4, 32))}, [words])[0]) == label


@pytest.fixture(scope="module")
def format_rows():
    schemes = ["int3", "int4", "nf4", "int3 group=32", "int4 group=32", "nf4 group=32", "mxfp4", "nvfp4:one-level"]
    return sweep({"conv1": weights((8, 64)), "odd": weights((8, 33), 1)}, schemes)


def test_the_heat_map_names_formats_over_their_columns(format_rows):
    figure = heat_map(format_rows, "sqnr_db")
    upright = [
        annotation
        for annotation in figure.layout.annotations
        if annotation.textangle == -90 and not annotation.text.startswith("<b>")
    ]
    assert [annotation.text for annotation in upright] == ["nf4", "nf4", "mxfp4", "nvfp4:one-level"]
    places = {
        column: x
        for trace in figure.data
        if trace.customdata is not None
        for (_, column), x in zip(trace.customdata, trace.x, strict=True)
    }
    assert [annotation.x for annotation in upright] == [
        places[scheme] for scheme in ("nf4", "nf4 group=32", "mxfp4", "nvfp4:one-level")
    ]
    assert [tick for tick in figure.layout.xaxis.ticktext if tick] == ["3", "4", "3", "4"]
    assert (
        figure.layout.margin.t
        > heat_map([row for row in format_rows if row.format.startswith("int")], "sqnr_db").layout.margin.t
    )


@pytest.mark.parametrize("horizontal", ["bits", "bits_per_weight"])
def test_formats_are_points_at_their_bits(format_rows, horizontal):
    figure = error_curves(format_rows, ["conv1", "odd"], "sqnr_db", horizontal=horizontal)
    points = {trace.name: [] for trace in figure.data if trace.mode == "markers"}
    for trace in figure.data:
        if trace.mode == "markers":
            points[trace.name] += zip(trace.x, trace.y, map(tuple, trace.customdata), strict=True)
    known = [row for row in format_rows if row.status == "ok" and not row.format.startswith("int")]
    assert set(points) == {"nf4", "mxfp4", "nvfp4:one-level"}
    for name, drawn in points.items():
        assert sorted(drawn) == sorted(
            (getattr(row, horizontal), row.sqnr_db, (row.tensor, row.scheme)) for row in known if row.format == name
        )
    assert sorted(trace.name for trace in figure.data if trace.mode == "markers" and trace.showlegend) == [
        "mxfp4",
        "nf4",
        "nvfp4:one-level",
    ]
    assert "3 formats beside the integers" in figure.layout.title.subtitle.text


def test_curves_stand_without_any_integer(format_rows):
    figure = error_curves([row for row in format_rows if row.scheme == "mxfp4"], ["conv1"], "mse")
    assert figure.layout.title.text.endswith("of conv1, 4 bits")
    assert [trace.name for trace in figure.data] == ["mxfp4"]


def test_unequal_levels_have_no_lsb():
    for words, unit in (("int4", "LSB"), ("nf4", "widest gap")):
        figure = error_histogram(profile_layer(weights((4, 32)), Scheme.parse(words)))
        assert figure.layout.xaxis.title.text == f"Error y − x ({unit} of its group)"
        assert f"±{unit}/2" in figure.layout.meta["alt"]


def test_a_layers_own_limits_join_the_curves_of_sqnr_alone(rows) -> None:
    limits = LayerLimits("a", (2, 3, 4), (9.0, 14.5, 20.0), 1.5)
    tensor = next(row.tensor for row in rows if row.status == "ok")
    figure = error_curves(rows, [tensor], "sqnr_db", limits=limits)
    own = {trace.name: trace for trace in figure.data if "this layer" in (trace.name or "")}
    assert set(own) == {"entropy bound (this layer)", "best grid (this layer)"}
    bound = own["entropy bound (this layer)"]
    # 6.0206 dB per bit above the bound at rate 0.
    assert bound.y[1] == pytest.approx(1.5 + 20 * math.log10(2) * bound.x[1], rel=1e-12)
    assert not [
        trace for trace in error_curves(rows, [tensor], "mse", limits=limits).data if "this layer" in (trace.name or "")
    ]
