"""Channels hold share and SQNR of the profile, the map the error of its groups, however many there are."""

from __future__ import annotations

import numpy as np

from qanalysis.charts.channel_charts import MAP_SIDE, channel_errors, pick_channels, shrink_map
from qanalysis.diagnosis.profile import profile_layer
from qanalysis.quantizers.scheme import Scheme
from tests.charts.examples import weights


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
