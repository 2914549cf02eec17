"""Histograms of a layer hold its profile's counts, on axes that no scheme moves."""

from __future__ import annotations

import numpy as np
import pytest

from qanalysis.charts.channel_charts import channel_errors
from qanalysis.charts.layer_charts import error_histogram, weight_histogram
from qanalysis.diagnosis.profile import profile_layer
from qanalysis.notation import percent
from qanalysis.quantizers.scheme import Scheme
from tests.charts.examples import weights


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

    def test_weights_at_the_end_of_float32_stay_on_the_axis(self):
        most = np.finfo(np.float32).max
        traces = weight_histogram(profile_layer(np.full((4, 4), most), Scheme.parse("int4 asym"))).data
        for trace in traces:
            assert np.isfinite(np.asarray(trace.x)).all()
        assert max(traces[1].x) == most

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


def test_unequal_levels_have_no_lsb():
    for words, unit in (("int4", "LSB"), ("nf4", "widest gap")):
        figure = error_histogram(profile_layer(weights((4, 32)), Scheme.parse(words)))
        assert figure.layout.xaxis.title.text == f"Error y − x ({unit} of its group)"
        assert f"±{unit}/2" in figure.layout.meta["alt"]


def test_the_head_of_a_histogram_leaves_its_lines_to_the_browser(profile):
    # The browser writes title and subtitle beside the plot and breaks them where the panel ends.
    for figure in (weight_histogram(profile), error_histogram(profile)):
        assert "<br" not in figure.layout.title.text + figure.layout.title.subtitle.text
