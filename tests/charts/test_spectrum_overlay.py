"""A second spectrum behind the first: both at their true places on one pair of axes, whatever their rates and scales."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from qanalysis.charts.spectrum_overlay import shares_scale, spectrum_pair
from qanalysis.converters.findings import WITHHELD, Finding
from qanalysis.converters.spectrum.spectrum import Spectrum, analyze_spectrum
from qanalysis.converters.spectrum.withheld import withhold_figures

NAMES = ("first.csv", "second.csv")
N = np.arange(1024)
NOISE = np.random.default_rng(7).normal(0, 0.5, N.size)


def tone(cycles: int, *, fs_hz: float | None, bits: int | None = 12, amplitude: float = 2000) -> Spectrum:
    values = amplitude * np.sin(2 * np.pi * cycles * N / N.size) + NOISE * (1 if bits else 1e-3)
    return analyze_spectrum(np.rint(values).astype(int) if bits else values, bits=bits, fs_hz=fs_hz)


def find_peak(trace: object) -> float:
    return float(trace.x[int(np.argmax(trace.y))])


@pytest.mark.parametrize(
    ("rates", "places"),
    [
        ((1e6, 2e6), (100.0, 400.0)),
        ((1e6, None), (100.0, 200.0)),
        ((None, 2e6), (0.1, 0.2)),
        ((None, None), (0.1, 0.2)),
    ],
    ids=["both-known", "the-first-s", "shares", "none-known"],
)
def test_both_tones_stand_at_their_frequencies(
    rates: tuple[float | None, float | None], places: tuple[float, float]
) -> None:
    # 102 and 205 of 1024 periods: a tenth and a fifth of the rate, within half a bin (1/1024 of the rate).
    figure = spectrum_pair(tone(102, fs_hz=rates[0]), tone(205, fs_hz=rates[1]), NAMES)
    behind, front = figure.data[:2]
    assert (front.name, behind.name) == NAMES
    whole = [500.0 if rates[0] else 0.5, places[1] / 0.2 / 2]  # half of each rate in the unit of the axis
    assert find_peak(front) == pytest.approx(places[0], abs=2 * whole[0] / N.size)
    assert find_peak(behind) == pytest.approx(places[1], abs=2 * whole[1] / N.size)
    assert figure.layout.xaxis.range[1] == pytest.approx(max(whole))
    assert "Behind it second.csv: SINAD" in figure.layout.meta["alt"]


def test_a_far_faster_second_record_gives_the_axis_its_unit() -> None:
    figure = spectrum_pair(tone(102, fs_hz=1e5), tone(205, fs_hz=2e9), NAMES)
    behind, front = figure.data[:2]
    assert figure.layout.xaxis.title.text == "Frequency (GHz)"
    assert figure.layout.xaxis.range[1] == pytest.approx(1.0)
    # A bin is 1/1024 of each rate, here in gigahertz.
    assert find_peak(front) == pytest.approx(1e-5, abs=1e-4 / N.size)
    assert find_peak(behind) == pytest.approx(0.4, abs=2 / N.size)


def test_the_level_of_each_is_its_own() -> None:
    figure = spectrum_pair(tone(102, fs_hz=1e6), tone(205, fs_hz=1e6, amplitude=200), NAMES)
    behind, front = figure.data[:2]
    # A tenth of the amplitude is 20 dB less; noise of 0.6 LSB moves a tone of 200 LSB in 1024 samples by a standard
    # deviation of 0.6 sqrt(2/1024) / 200, 0.0012 dB.
    assert max(front.y) - max(behind.y) == pytest.approx(20, abs=0.01)
    assert figure.layout.yaxis.range[0] <= min(np.median(front.y), np.median(behind.y))


def test_without_a_full_scale_of_both_the_heights_are_over_the_tones() -> None:
    figure = spectrum_pair(tone(102, fs_hz=1e6), tone(205, fs_hz=1e6, bits=None, amplitude=3.0), NAMES)
    # The tone of a coherent record is its bin; heights are drawn in single precision.
    assert [max(trace.y) for trace in figure.data[:2]] == pytest.approx([0, 0], abs=1e-4)
    assert figure.layout.yaxis.title.text == "Level (dBc a bin)"


@pytest.mark.parametrize("kind", ["constant", "withheld"])
def test_what_can_not_be_drawn_leaves_the_first_alone(kind: str) -> None:
    first = tone(102, fs_hz=1e6)
    dead = replace(tone(205, fs_hz=1e6, bits=None, amplitude=3.0), sinefit=None)
    second = dead if kind == "constant" else withhold_figures(first, Finding(WITHHELD, "Uneven times."))
    assert not shares_scale(first, second)
    assert spectrum_pair(first, second, NAMES).data[0].name == "spectrum"


def test_a_name_is_text_and_of_bounded_length() -> None:
    figure = spectrum_pair(tone(102, fs_hz=1e6), tone(205, fs_hz=1e6), ("<b>bold</b>", "x" * 300))
    assert figure.data[1].name == "&lt;b&gt;bold&lt;/b&gt;"
    assert len(figure.data[0].name) <= 40
