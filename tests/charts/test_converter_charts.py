"""Charts of converters: what is drawn is what the engine measured, small enough to send at every step, said in words, in both themes."""

from __future__ import annotations

import re
from collections.abc import Callable
from functools import partial

import numpy as np
import plotly.graph_objects as go
import pytest

from qanalysis.charts.converter_charts import (
    code_histogram,
    error_density,
    ledger_bars,
    share_of,
    simulated_transfer,
    transfer_curve,
)
from qanalysis.charts.dac_charts import hold_curve, output_spectrum
from qanalysis.charts.linearity_charts import MOST_POINTS, linearity_curves, thin_extremes
from qanalysis.charts.palette import PALETTES
from qanalysis.charts.spectrum_charts import find_floor, headline_spectrum, spectrum_chart, thin_peaks
from qanalysis.charts.sweep_charts import (
    dither_curves,
    error_against_amplitude,
    loading_curve,
    sqnr_against_bits,
    tone_curves,
)
from qanalysis.converters.converter import Converter
from qanalysis.converters.linearity.inl import Inl
from qanalysis.converters.linearity.linearity import measure_linearity
from qanalysis.converters.simulation.dac import list_images, trace_output
from qanalysis.converters.simulation.simulate import Simulation
from qanalysis.converters.simulation.sweeps import sweep_amplitude, sweep_bits, sweep_dither, sweep_loading
from qanalysis.converters.simulation.tone_sweeps import sweep_frequency
from qanalysis.converters.simulation.waveforms import Sine
from qanalysis.converters.spectrum.spectrum import analyze_spectrum

SIMULATION = Simulation(Converter(8, -1, 1), Sine(0.99, 127.0), samples=4096, fs_hz=4096.0)
BENT = Simulation(
    Converter(12, -1, 1), Sine(0.98, 1021.0), samples=16384, fs_hz=16384.0, noise_lsb=0.3, inl=Inl("bow", 1.5)
)
LARGEST_MESSAGE = 100_000  # bytes of one figure


def _trace(figure: go.Figure, name: str) -> go.Scatter:
    return next(trace for trace in figure.data if trace.name == name)


def _draw_all() -> dict[str, Callable[..., go.Figure]]:
    capture = SIMULATION.run()
    spectrum = analyze_spectrum(BENT.run().codes, fs_hz=16384.0, bits=12)
    ramp = np.repeat(np.arange(2**14), 4)
    return {
        "transfer": partial(transfer_curve, Converter(12, 0, 10), at=4.5),
        "simulated transfer": partial(simulated_transfer, BENT),
        "codes": partial(code_histogram, capture.codes, bits=8),
        "errors": partial(error_density, capture.errors / SIMULATION.converter.lsb),
        "ledger": partial(ledger_bars, ["rounding", "interaction"], [0.08, -0.01], total=0.07),
        "spectrum": partial(spectrum_chart, spectrum),
        "linearity": partial(linearity_curves, measure_linearity(ramp, bits=14)),
        "bits": partial(sqnr_against_bits, sweep_bits(SIMULATION, bits=range(1, 9)), bits=8),
        "amplitude": partial(error_against_amplitude, sweep_amplitude([0.3, 1, 10]), signal="sine"),
        "loading": partial(loading_curve, sweep_loading(8)),
        "dithers": partial(dither_curves, sweep_dither(draws=64)),
        "tone": partial(tone_curves, sweep_frequency(SIMULATION, cycles=[127, 128]), title="Frequency", at=127.0),
        "hold": partial(hold_curve, capture.values, capture.ideal, fs_hz=4096.0),
        "images": partial(output_spectrum, trace_output(capture.values, 4096.0), list_images(127.0, 4096.0, zones=2)),
    }


CHARTS = _draw_all()


@pytest.mark.parametrize("theme", PALETTES)
@pytest.mark.parametrize("name", CHARTS)
def test_every_chart_says_its_number_in_words_and_is_small(name: str, theme: str) -> None:
    figure = CHARTS[name](theme=theme)
    assert re.search(r"\d", figure.layout.meta["alt"])
    assert len(figure.to_json()) < LARGEST_MESSAGE
    assert figure.layout.template.layout.paper_bgcolor == PALETTES[theme].background  # type: ignore[index]


def test_the_staircase_stands_upright_and_its_error_keeps_the_bound() -> None:
    figure = transfer_curve(Converter(3, 0, 8))
    stairs, error = _trace(figure, "converter"), _trace(figure, "error e = y − x")
    x, y = np.array(stairs.x), np.array(stairs.y)
    rises = np.flatnonzero(np.diff(y) > 0)
    assert x[rises + 1].tolist() == [0.5, 1.5, 2.5, 3.5, 4.5, 5.5, 6.5]
    assert np.diff(x)[rises].max() < 1e-14  # the last place before each transition and the transition itself
    inside = (x >= 0) & (x <= 7.5)
    assert np.abs(np.array(error.y)[inside]).max() == pytest.approx(0.5, abs=1e-14)  # one rounding of x
    assert (y - x).tolist() == np.array(error.y).tolist()


def test_a_fine_converter_is_shown_around_the_input() -> None:
    figure = transfer_curve(Converter(12, 0, 10), at=4.5)
    assert np.ptp(np.array(_trace(figure, "converter").x)) == pytest.approx(
        16 * 10 / 4096, rel=1e-9
    )  # 8 steps to each side
    assert _trace(figure, "input").y[0] == Converter(12, 0, 10).round_trip(4.5)


def test_a_real_converter_is_shown_over_its_range_with_what_is_wrong_with_it() -> None:
    shifted = Simulation(Converter(6, -1, 1), Sine(0.5, 1.0), samples=64, offset_lsb=2)
    error = np.array(_trace(simulated_transfer(shifted), "error e = y − x").y)
    assert np.median(error) == pytest.approx(2, abs=0.51)  # the offset, within the saw-tooth
    assert "61 steps" in simulated_transfer(shifted).layout.title.subtitle.text  # of 63, two lie below the range


@pytest.mark.parametrize("codes", [[0, 1, 1, 3], [-2, -1, -1, 1]], ids=["unsigned", "signed"])
def test_codes_are_counted_in_their_own_place(codes: list[int]) -> None:
    trace = code_histogram(codes, bits=2).data[0]
    counted = dict(zip(trace.x, trace.y, strict=True))
    assert [counted[code] for code in sorted(set(codes))] == [1, 2, 1]
    assert sum(trace.y) == 4


def test_many_codes_share_a_bin_and_none_is_lost() -> None:
    codes = np.random.default_rng(0).integers(0, 2**16, 5000)
    trace = code_histogram(codes, bits=16).data[0]
    assert len(trace.x) == 256 + 2
    assert sum(trace.y) == 5000


def test_no_codes_are_an_empty_state() -> None:
    assert "No code to count." in code_histogram([], bits=8).layout.title.text


def test_the_error_s_density_has_the_area_of_what_the_axis_shows() -> None:
    errors = np.append(np.linspace(-0.5, 0.5, 999), 40.0)
    figure = error_density(errors)
    trace = _trace(figure, "error")
    width = 3 / 120
    assert sum(trace.y) * width == pytest.approx(0.999, rel=1e-12)  # 999 of 1000, sums of 120 terms
    assert "0.1 % beyond" in figure.layout.title.subtitle.text


def test_a_source_that_takes_power_away_is_drawn_the_other_way() -> None:
    bar = ledger_bars(["noise", "interaction"], [1.0, -0.25], total=0.75).data[0]
    assert list(bar.x) == [1.0, -0.25]
    assert share_of(-0.25, 0.75) == "−33.3 %"
    assert share_of(1.0, 0.0) == "n/a"


def test_the_spectrum_marks_the_tone_the_harmonics_and_keeps_every_line() -> None:
    found = analyze_spectrum(BENT.run().codes, fs_hz=16384.0, bits=12)
    figure = spectrum_chart(found)
    assert headline_spectrum(found) in figure.layout.meta["alt"]
    assert figure.layout.xaxis.title.text == "Frequency (kHz)"
    tone, harmonics, line = (_trace(figure, name) for name in ("fundamental", "harmonics", "spectrum"))
    assert tone.x[0] == pytest.approx(1.021, abs=1e-6)  # kHz; the fit's own uncertainty is below a thousandth of a Hz
    assert tone.y[0] == pytest.approx(found.level_dbfs, abs=0.01)  # one bin against the fitted sine
    assert harmonics.text[0] == "HD2"
    assert harmonics.x[0] == pytest.approx(2.042, abs=2e-6)
    assert len(line.x) <= 2000
    assert max(line.y) == pytest.approx(float(found.power_dbfs.max()), abs=1e-4)  # drawn as float32


def test_harmonics_within_the_noise_are_hollow_and_the_floor_is_that_of_white_noise() -> None:
    turns = np.sin(2 * np.pi * 127 * np.arange(2**14) / 2**14)
    noise = np.random.default_rng(8).normal(0, 1, 2**14)
    found = analyze_spectrum(1800 * turns + 9 * turns**2 + noise, fs_hz=4e6, low=-2048, high=2048)
    figure = spectrum_chart(found)
    solid, hollow = _trace(figure, "harmonics"), _trace(figure, "harmonics within the noise")
    assert {"HD2"} <= set(solid.text)
    assert set(solid.text) | set(hollow.text) == {f"HD{order}" for order in range(2, 7)}
    assert hollow.marker.symbol == "diamond-open"
    assert figure.layout.xaxis.title.text == "Frequency (MHz)"
    # 1 rms under a sine of 2048 peak, over 2^13 bins; the power of so many has a deviation of 1/sqrt(2^13): 0.05 dB.
    floor = 10 * np.log10(2 / 2048**2 / 2**13)
    assert find_floor(found) == pytest.approx(floor, abs=0.2)
    assert list(_trace(figure, "average noise floor").y) == [find_floor(found)] * 2
    hann = analyze_spectrum(1800 * turns + noise, fs_hz=4e6, low=-2048, high=2048, window="hann")
    assert find_floor(hann) == pytest.approx(floor + 10 * np.log10(1.5), abs=0.25)  # a Hann bin sees 1.5 bins of noise


def test_a_constant_record_is_an_empty_state_with_the_next_step() -> None:
    assert "No spectrum to draw." in spectrum_chart(analyze_spectrum(np.full(64, 7), bits=8)).layout.title.text


def test_thinning_keeps_the_peaks() -> None:
    values = np.random.default_rng(1).standard_normal(10_007)
    assert thin_peaks(values).size <= 2000
    assert values[thin_peaks(values)].max() == values.max()
    kept = values[thin_extremes(values)]
    assert (kept.size <= MOST_POINTS, kept.min(), kept.max()) == (True, values.min(), values.max())


def test_missing_codes_are_crossed_and_dnl_is_drawn_at_its_code() -> None:
    found = measure_linearity(np.repeat([0, 1, 3, 4, 5, 6, 7], 20), bits=3)
    figure = linearity_curves(found)
    cross = next(trace for trace in figure.data if trace.mode == "markers")
    assert list(cross.x) == [2] == list(found.missing_codes)
    assert figure.layout.title.text == "DNL and INL by code, 1 missing code"


def test_withheld_figures_are_not_drawn_and_the_texts_say_why() -> None:
    figure = linearity_curves(measure_linearity(np.repeat(np.arange(256), 16) & ~4, bits=8))
    assert len(figure.data) == 0
    assert figure.layout.title.text == "DNL and INL are withheld"
    assert "bit 2 at 0" in figure.layout.meta["alt"]


def test_sqnr_stands_beside_its_line() -> None:
    sweep = sweep_bits(SIMULATION, bits=range(1, 9))
    figure = sqnr_against_bits(sweep, bits=8)
    assert _trace(figure, "6.02 b + 1.76").y[-1] == pytest.approx(
        8 * 6.0206 + 1.7609, abs=1e-3
    )  # constants of four decimals
    assert _trace(figure, "simulated").y[-1] == _trace(figure, "in view").y[0] == sweep.sqnr_db[-1]


def test_periods_that_share_a_divisor_are_crosses() -> None:
    figure = tone_curves(sweep_frequency(SIMULATION, cycles=[127, 128]), title="Frequency", at=127.0)
    assert list(figure.data[0].marker.symbol) == ["circle", "x"]


def test_images_stand_under_the_droop() -> None:
    figure = CHARTS["images"]()
    marks = _trace(figure, "tone and images")
    assert [1000 * x for x in marks.x] == pytest.approx([127, 4096 - 127, 4096 + 127, 8192 - 127, 8192 + 127])  # kHz
    assert marks.y[1] == pytest.approx(20 * np.log10(abs(np.sinc(3969 / 4096))), abs=1e-9)  # the same formula


def test_a_floor_transfer_has_its_errors_and_their_model_below_zero() -> None:
    errors = np.linspace(-1.0, 0.0, 1001)
    figure = error_density(errors, transfer="floor")
    assert "100 % within −1..0 LSB" in figure.layout.title.text
    assert tuple(figure.data[-1].x) == (-1.0, -1.0, 0.0, 0.0)
    # Uniform over -1..0: mean square 1/3.
    assert "uniform 0.5774" in figure.layout.title.subtitle.text
