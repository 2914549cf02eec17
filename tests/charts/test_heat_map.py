"""The heat map holds the rows' values as they are told, names columns and groups, and stays small."""

from __future__ import annotations

import dataclasses
import math
import zlib

import numpy as np
import pytest

from qanalysis.charts.cell_table import group_label
from qanalysis.charts.heat_map import heat_map
from qanalysis.charts.wording import escape
from qanalysis.sweeps.row import METRICS
from qanalysis.sweeps.sweep import sweep
from tests.charts.examples import EVIL, SCHEMES, many_rows, row_of, weights


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
            # Told with two decimals: at most half of the last one away.
            np.testing.assert_allclose(np.asarray(trace.z, float), expected, rtol=0, atol=0.005 + 1e-9)
            told = [[f"{value:.2f}" for value in layer] for layer in trace.z]
            assert told == [[f"{value:.2f}" for value in layer] for layer in expected]

    def test_nothing_in_the_figure_depends_on_what_is_in_view(self, rows):
        figure = heat_map(rows, "sqnr_db")
        assert not figure.layout.shapes
        assert not [trace for trace in figure.data if trace.customdata is not None]
        assert "shapes" not in figure.to_plotly_json()["layout"]

    def test_a_layer_without_value_is_crossed_out_and_says_why(self, rows):
        figure = heat_map(rows, "sqnr_db")
        crosses = next(trace for trace in figure.data if trace.type == "scatter" and trace.marker.symbol == "x-thin")
        assert set(crosses.y) == {2}
        assert len(crosses.x) == len(SCHEMES)
        assert all(text.startswith("no value: ") and "int64" in text for text in crosses.text)
        assert "1 layer without a value" in figure.layout.title.subtitle.text

    @pytest.mark.parametrize(("metric", "reverse"), [("sqnr_db", False), ("mse", True), ("bias", False)])
    def test_bright_is_good(self, rows, metric, reverse):
        assert heat_map(rows, metric).layout.coloraxis.reversescale is reverse

    def test_small_errors_are_coloured_by_their_logarithm(self, rows):
        figure = heat_map(rows, "mse")
        trace = next(trace for trace in figure.data if trace.name == "tensor")
        value = row_of(rows, "conv1", "int2").mse
        # Half of the fourth digit of the value, relative to at least 1.000, and half of the fifth decimal of its place.
        assert trace.z[0][0] == pytest.approx(math.log10(value), abs=math.log10(1 + 0.5e-3) + 0.5e-5)
        assert f"{10 ** trace.z[0][0]:.3e}" == f"{value:.3e}"
        assert figure.layout.coloraxis.colorbar.ticktext

    def test_signed_values_are_centred_on_zero(self, rows):
        axis = heat_map(rows, "bias").layout.coloraxis
        assert axis.cmin == -axis.cmax

    def test_an_infinite_value_is_shown_as_the_brightest_and_named(self, rows):
        exact = [dataclasses.replace(row, sqnr_db=math.inf) if row.scheme == "int8" else row for row in rows]
        figure = heat_map(exact, "sqnr_db")
        trace = next(trace for trace in figure.data if trace.name == "tensor")
        assert trace.z[0][2] == figure.layout.coloraxis.cmax
        assert trace.text[0][2] == "∞"
        assert figure.layout.meta["cells"]["infinite"][0] == [0, 2, 1]

    @pytest.mark.parametrize("metric", ["sqnr_db", "mse"])
    def test_a_thousand_layers_travel_in_150_kb(self, metric):
        # Values without any pattern, and names of 60 to 75 letters.
        noise = np.random.default_rng(0).normal(30, 12, 28_000)
        rows = [
            dataclasses.replace(
                row,
                tensor=row.tensor.replace("q_proj", f"some_long_name_of_a_module_{place // 28 % 5}.proj"),
                sqnr_db=x,
                mse=10 ** -(x / 10),
            )
            for place, (row, x) in enumerate(zip(many_rows(1000), noise.tolist(), strict=True))
        ]
        assert len(zlib.compress(heat_map(rows, metric).to_json().encode())) <= 150_000

    def test_a_large_model_names_every_layer_and_is_quick_to_draw(self):
        rows = many_rows(500)
        figure = heat_map(rows, "sqnr_db")
        assert [layer["name"] for layer in figure.layout.meta["cells"]["layers"]] == [row.tensor for row in rows[::28]]
        assert len(figure.layout.yaxis.ticktext) == 500
        assert figure.layout.height / 500 >= 14  # pixels: a line of small text
        # Without these two the browser measures each name, for seconds.
        assert (figure.layout.yaxis.automargin, figure.layout.yaxis.ticklabeloverflow) == (False, "allow")

    def test_names_are_safe_in_a_large_model_too(self):
        rows = [dataclasses.replace(row, tensor=EVIL) if place < 28 else row for place, row in enumerate(many_rows(40))]
        figure = heat_map(rows, "sqnr_db")
        assert figure.layout.yaxis.ticktext[0] == escape(EVIL)
        assert figure.layout.meta["cells"]["layers"][0]["name"] == EVIL  # facts are no markup

    def test_values_are_written_where_they_fit(self, rows):
        few = next(trace for trace in heat_map(rows, "sqnr_db").data if trace.name == "tensor")
        assert few.text[0][1] == f"{row_of(rows, 'conv1', 'int4').sqnr_db:.1f}"
        assert heat_map(many_rows(5), "sqnr_db").data[0].text is None

    def test_a_cancelled_sweep_leaves_its_missing_cells_empty(self, rows):
        figure = heat_map(rows.rows[:4], "sqnr_db")
        held = np.concatenate([np.asarray(trace.z, float) for trace in figure.data if trace.coloraxis], axis=1)
        assert np.isfinite(held).sum() == 4

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

    def test_hundreds_of_schemes_make_the_figure_wider(self):
        schemes = [f"int{bits} group={2**size}" for size in range(3, 12) for bits in range(2, 17)]
        figure = heat_map(sweep({"w": np.eye(4, dtype=np.float32)}, schemes), "sqnr_db")
        cells = figure.layout.width - figure.layout.margin.l - 96  # the bar of colours takes 96
        assert cells / np.ptp(figure.layout.xaxis.range) == pytest.approx(8, abs=0.5 / len(schemes))  # a whole width
        assert heat_map(many_rows(2), "sqnr_db").layout.width is None

    @pytest.mark.parametrize(("name", "angle"), [("w", 0), ("the_second_convolution_by_depth", -90)])
    def test_long_names_of_layers_leave_the_groups_less_room(self, name, angle):
        groups = ["", " channel", " group=128", " group=32", " group=64", " asym"]
        schemes = [f"int{bits}{group}" for group in groups for bits in range(2, 9)]
        figure = heat_map(sweep({name: np.eye(4, dtype=np.float32)}, schemes), "sqnr_db")
        assert {label.textangle for label in figure.layout.annotations if label.text.startswith("<b>")} == {angle}

    def test_an_unknown_metric_is_refused(self, rows):
        with pytest.raises(ValueError, match="metric 'loudness' is unknown; metrics are bits_per_weight"):
            heat_map(rows, "loudness")


def test_every_metric_of_the_catalogue_can_be_drawn(rows):
    for metric in METRICS:
        assert METRICS[metric].label in heat_map(rows, metric).layout.title.text


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


def test_the_heat_map_names_formats_over_their_columns(format_rows):
    figure = heat_map(format_rows, "sqnr_db")
    upright = [
        annotation
        for annotation in figure.layout.annotations
        if annotation.textangle == -90 and not annotation.text.startswith("<b>")
    ]
    assert [annotation.text for annotation in upright] == ["nf4", "nf4", "mxfp4", "nvfp4:one-level"]
    schemes = [scheme["scheme"] for scheme in figure.layout.meta["cells"]["schemes"]]
    maps = [trace for trace in figure.data if trace.type == "heatmap" and trace.coloraxis]
    places = dict(zip(schemes, (x for trace in maps for x in trace.x), strict=True))
    assert [annotation.x for annotation in upright] == [
        places[scheme] for scheme in ("nf4", "nf4 group=32", "mxfp4", "nvfp4:one-level")
    ]
    assert [tick for tick in figure.layout.xaxis.ticktext if tick] == ["3", "4", "3", "4"]
    assert (
        figure.layout.margin.t
        > heat_map([row for row in format_rows if row.format.startswith("int")], "sqnr_db").layout.margin.t
    )
