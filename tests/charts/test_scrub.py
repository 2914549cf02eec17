"""The slider has a frame per width, on axes that hold them all."""

from __future__ import annotations

from qanalysis.charts.scrub import scrub
from qanalysis.diagnosis.profile import profile_bits
from qanalysis.quantizers.scheme import Scheme
from tests.charts.examples import size_of, weights


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
