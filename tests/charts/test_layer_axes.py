"""One set of axes holds a layer at every width, and says where it is cut."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from qanalysis.charts.channel_charts import channel_errors
from qanalysis.charts.layer_axes import DENSITY_LIMIT, LayerAxes
from qanalysis.charts.layer_charts import error_histogram, weight_histogram
from qanalysis.diagnosis.profile import profile_bits, profile_layer
from qanalysis.quantizers.scheme import Scheme
from tests.charts.examples import weights


def test_axes_by_hand() -> None:
    # int2 sym of max|x| = 1 has the levels −1, 0, 1: 0.9 → 1, −0.2 → 0, 0.1 → 0, −1 → −1.
    profile = profile_layer(np.float32([[0.9, -0.2], [0.1, -1.0]]), Scheme.parse("int2"), bins=4)
    axes = LayerAxes.over([profile])
    # Bins of width 0.5 from −1: −1 | −0.2 | 0.1 | 0.9, one weight each; errors 0.1, 0.2, −0.1, 0.
    assert axes.count == 1
    # Each error lies in a bin of 0.01 steps of its own: 1 of 4 weights in 0.01 is a density of 25, above the limit of 4.
    assert (axes.density, axes.cut) == (DENSITY_LIMIT, True)
    # Squared errors 0.01 + 0.04 of channel 0 and 0.01 of channel 1: 5/6.
    assert axes.share == pytest.approx(100 * 5 / 6, rel=1e-6)
    # 10 lg(0.85 / 0.05) and 10 lg(1.01 / 0.01); weights in float32.
    assert axes.sqnr == pytest.approx((10 * math.log10(17), 10 * math.log10(101)), abs=1e-4)
    assert axes.of_counts(log_counts=False)["range"] == [0, 1.05]
    assert axes.of_counts(log_counts=True)["range"] == [-0.3, 0.2]
    assert axes.of_density("LSB")["range"] == [0, 4]
    assert axes.of_density("LSB")["title"]["text"] == "Density (1/LSB), cut at 4"
    assert axes.of_share()["range"] == [0, 1.06 * axes.share]
    low, high = axes.of_sqnr()["range"]
    assert (low, high) == pytest.approx((axes.sqnr[0] - 0.06 * (axes.sqnr[1] - axes.sqnr[0]), high))


def test_several_profiles_have_the_largest_of_each() -> None:
    profiles = profile_bits(weights((16, 64)), Scheme.parse("int4 group=16"), range(2, 17))
    axes, alone = LayerAxes.over(profiles), [LayerAxes.over([profile]) for profile in profiles]
    assert axes.count == max(one.count for one in alone)
    assert axes.density == max(one.density for one in alone)
    assert axes.cut is any(one.cut for one in alone)
    assert axes.share == max(one.share for one in alone)
    assert axes.sqnr == (min(one.sqnr[0] for one in alone), max(one.sqnr[1] for one in alone))


@settings(max_examples=25, deadline=None)
@given(
    st.integers(0, 2**32 - 1),
    st.sampled_from(["int4", "int4 channel", "int4 group=4", "int4 asym group=4 range=percentile:90", "int4 sym-clip"]),
    st.integers(1, 9),
)
def test_the_axes_hold_every_profile(seed: int, scheme: str, channels: int) -> None:
    rng = np.random.default_rng(seed)
    x = (rng.standard_t(3, (channels, 12)) * rng.choice([0, 1e-6, 1, 1e4], (channels, 1))).astype(np.float32)
    if not x.any():
        x[0, 0] = 1
    profiles = profile_bits(x, Scheme.parse(scheme), (2, 3, 5, 8, 16))
    axes = LayerAxes.over(profiles)
    for profile in profiles:
        shares, sqnr = channel_errors(profile, axes=axes).data[:2]
        assert np.nanmax(np.asarray(shares.y)) <= axes.of_share()["range"][1]
        known = np.asarray(sqnr.y)[np.isfinite(np.asarray(sqnr.y))]
        low, high = axes.of_sqnr()["range"]
        # Drawn as float32.
        assert ((known >= low - 1e-3) & (known <= high + 1e-3)).all()
        for trace in weight_histogram(profile, axes=axes).data[1:]:
            assert max(trace.y) <= axes.of_counts(log_counts=False)["range"][1]
            assert math.log10(max(*trace.y, 1)) <= axes.of_counts(log_counts=True)["range"][1]
        peak = float(np.max(error_histogram(profile, axes=axes).data[0].y))
        # Whatever passes the axis is told by its title.
        assert (
            peak <= axes.of_density("LSB")["range"][1] * (1 + 1e-6)
            or "cut at 4" in axes.of_density("LSB")["title"]["text"]
        )


def test_every_width_has_the_same_vertical_axes_when_they_are_shared() -> None:
    profiles = profile_bits(weights((16, 64)), Scheme.parse("int4 group=16"), range(2, 17))
    axes = LayerAxes.over(profiles)
    for draw in (weight_histogram, error_histogram, channel_errors):
        spans = {
            tuple(tuple(axis.range) for axis in draw(profile, axes=axes).select_yaxes() if axis.range)
            for profile in profiles
        }
        assert len(spans) == 1


def test_a_layer_without_error_or_signal_has_axes_too() -> None:
    for x in (np.zeros((2, 3), np.float32), np.float32([[1.0, -1.0]])):
        axes = LayerAxes.over([profile_layer(x, Scheme.parse("int4"))])
        assert axes.share == 100
        low, high = axes.of_sqnr()["range"]
        assert low < high
        assert axes.of_density("LSB")["range"][1] > 0
    assert LayerAxes.over([profile_layer(np.zeros((2, 3), np.float32), Scheme.parse("int4"))]).sqnr == (0, 1)
    flat = replace(axes, sqnr=(20.0, 20.0))
    assert flat.of_sqnr()["range"] == [19, 21]
