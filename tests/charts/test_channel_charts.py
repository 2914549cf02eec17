"""Channels hold share and SQNR of the profile, the map the error of its groups, however many there are."""

from __future__ import annotations

import numpy as np
import pytest

from qanalysis.charts.channel_charts import (
    CHANNEL_POINTS,
    MAP_SIDE,
    channel_errors,
    group_errors,
    pick_channels,
    shrink_map,
)
from qanalysis.diagnosis.profile import profile_layer
from qanalysis.quantizers.scheme import Scheme
from tests.charts.examples import weights


class TestChannelErrors:
    def test_markers_hold_share_and_sqnr_of_each_channel(self, profile):
        share, sqnr = channel_errors(profile).data[:2]
        np.testing.assert_array_equal(np.asarray(share.y), (100 * profile.channel_share).astype(np.float32))
        np.testing.assert_array_equal(np.asarray(sqnr.y), profile.channel_sqnr_db.astype(np.float32))
        for trace in (share, sqnr):
            assert np.asarray(trace.x).tolist() == list(range(16))
            np.testing.assert_array_equal(np.asarray(trace.customdata), profile.outlier_ratios.astype(np.float32))

    def test_outlier_channels_carry_stars_and_a_name(self):
        x = weights((8, 64))
        x[5] *= 30
        found = profile_layer(x, Scheme.parse("int4"))
        figure = channel_errors(found)
        shares, sqnrs = (trace for trace in figure.data if trace.marker.symbol == "star")
        assert (list(shares.x), list(sqnrs.x)) == ([5], [5])
        assert list(shares.y) == [np.float32(100 * found.channel_share[5])]
        assert list(sqnrs.y) == [np.float32(found.channel_sqnr_db[5])]
        assert sqnrs.yaxis == "y2"
        assert shares.showlegend
        assert "outlier" in shares.name
        assert "outlier channel 5: max|x|" in figure.layout.title.subtitle.text

    def test_there_are_as_many_traces_with_outliers_as_without(self, profile):
        x = weights((8, 64))
        x[5] *= 30
        with_star, without = (channel_errors(found).data for found in (profile_layer(x, Scheme.parse("int4")), profile))
        assert len(with_star) == len(without) == 6
        assert [trace.name for trace in with_star] == [trace.name for trace in without]
        assert not any(trace.showlegend for trace in without if trace.marker.symbol == "star")

    def test_the_legend_keeps_away_from_the_title_in_a_narrow_column(self, profile):
        layout = channel_errors(profile).layout
        # Three lines of 20 px under the axis's numbers and its title, 45 px.
        assert (layout.legend.yref, layout.legend.y, layout.legend.yanchor) == ("container", 0, "bottom")
        assert layout.margin.b >= 3 * 20 + 45

    def test_groups_become_a_map(self, profile):
        (trace,) = group_errors(profile).data
        np.testing.assert_array_equal(np.asarray(trace.z), np.log10(profile.group_mse).T.astype(np.float32))
        single = group_errors(profile_layer(weights((4, 8)), Scheme.parse("int4")))
        assert not single.data
        assert "One group per channel" in single.layout.title.text

    @pytest.mark.parametrize("channels", [127, 128, 129, 256, 257, 1100])
    def test_many_channels_are_shown_by_the_worst_of_each_run(self, channels):
        profile = profile_layer(weights((channels, 4)), Scheme.parse("int4 channel"))
        shown, run = pick_channels(profile)
        assert run == -(-channels // 128)  # the fewest neighbours that leave at most 128 points
        assert len(shown) <= CHANNEL_POINTS == 128
        assert shown.tolist() == [
            start + int(profile.channel_share[start : start + run].argmax()) for start in range(0, channels, run)
        ]
        caption = channel_errors(profile).layout.xaxis.title.text
        assert caption == "Channel (index)" + ("" if run == 1 else f", the worst of each {run} shown")

    def test_the_worst_channel_is_always_drawn(self):
        profile = profile_layer(weights((1100, 4)), Scheme.parse("int4 channel"))
        assert profile.worst_channel in np.asarray(channel_errors(profile).data[0].x)

    def test_a_large_map_shows_the_largest_error_of_each_block(self):
        groups = np.random.default_rng(0).random((300, 140))
        groups[7, 9] = np.nan
        small, blocks = shrink_map(groups)
        assert blocks == (3, 2)
        assert small.shape == (100, 70)
        assert max(small.shape) <= MAP_SIDE
        assert small[0, 0] == groups[:3, :2].max()
        assert small[2, 4] == np.nanmax(groups[6:9, 8:10])
