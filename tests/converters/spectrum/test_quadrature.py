"""Spectra of I/Q samples against transforms by hand, against the fit, and against the law that each figure follows."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from qanalysis.charts.spectrum_charts import spectrum_chart
from qanalysis.converters.captures import analyze_capture, analyze_captures, describe_capture
from qanalysis.converters.records.records import Record
from qanalysis.converters.spectrum.options import SpectrumOptions
from qanalysis.converters.spectrum.spectrum import Spectrum
from qanalysis.results.identity import SourceIdentity

SAMPLES, BITS = 4096, 12


def make_record(values: NDArray[np.complex128], *, codes: bool = True, fs_hz: float | None = 1e6) -> Record:
    """The record of complex samples, rounded to codes of 12 bits in two's complement."""
    rails = [np.rint(rail) if codes else rail for rail in (values.real, values.imag)]
    return Record(
        values=rails[0],
        codes=rails[0].astype(np.int64) if codes else None,
        bits=BITS,
        justification="right" if codes else None,
        signed=True if codes else None,
        low=-(2.0 ** (BITS - 1)) if codes else None,
        high=2.0 ** (BITS - 1) if codes else None,
        fs_hz=fs_hz,
        source=SourceIdentity("iq.npy", 1, "sha256:0"),
        guesses=(),
        quadrature=rails[1],
    )


def make_tone(cycles: float, *, size: float = 1900.0, third: float = 0.0, rms: float = 2.0) -> NDArray[np.complex128]:
    """A tone of `size` in each rail with noise of `rms` in each, and a line at three times its frequency."""
    dice = np.random.default_rng(7)
    turns = 2 * np.pi * cycles * np.arange(SAMPLES) / SAMPLES + 0.3
    noise = dice.normal(0, rms, SAMPLES) + 1j * dice.normal(0, rms, SAMPLES)
    return np.asarray(size * (np.exp(1j * turns) + third * np.exp(3j * turns)) + noise)


def measure(values: NDArray[np.complex128], options: SpectrumOptions | None = None, **how: bool) -> Spectrum:
    record = make_record(values, **how)
    return describe_capture(record, analyze_capture(record, options))


def by_hand(found: Spectrum, values: NDArray[np.complex128], cycles: int) -> dict[str, float]:
    """SINAD, SNR, SFDR, image and DC from a plain transform, bin by bin."""
    rounded = np.rint(values.real) + 1j * np.rint(values.imag)
    power = np.abs(np.fft.fft(rounded)) ** 2 / SAMPLES**2
    dc, tone = power[0], power[cycles % SAMPLES]
    power[0] = power[cycles % SAMPLES] = 0
    sinad, sfdr, image = tone / power.sum(), tone / power.max(), power[-cycles % SAMPLES] / tone
    harmonics = [sign * order * cycles % SAMPLES for order in range(2, 7) for sign in (1, -1)]
    third = (power[3 * cycles % SAMPLES] + power[-3 * cycles % SAMPLES]) / tone
    power[[-cycles % SAMPLES, *harmonics]] = 0
    ratios = {
        "sinad_db": sinad,
        "snr_db": tone / power.sum(),
        "sfdr_dbc": sfdr,
        "image_dbc": image,
        "hd3_dbc": third,
        "level_dbfs": tone / (4096**2 / 4),
        "dc_dbfs": dc / (4096**2 / 4),
        "noise_dbfs": power.sum() / (4096**2 / 4),
    }
    return {name: float(10 * np.log10(ratio)) for name, ratio in ratios.items()}


@pytest.mark.parametrize("cycles", [401, -401, 1999, -1500, 3])
def test_a_coherent_tone_is_measured_as_its_transform_has_it(cycles: int) -> None:
    values = make_tone(cycles, third=1e-3) + 5 - 3j
    found = measure(values)
    assert (found.coherent, found.cycles, found.window) == (True, cycles, "rectangular")
    assert found.fundamental_hz == cycles * 1e6 / SAMPLES
    for name, wanted in by_hand(found, values, cycles).items():
        assert getattr(found, name) == pytest.approx(wanted, abs=1e-7), name


@pytest.mark.parametrize("cycles", [401.37, -1203.5, 1801.21])
def test_between_bins_the_figures_are_those_of_the_fit_and_of_the_signal(cycles: float) -> None:
    values = make_tone(cycles, third=1e-3)
    found = measure(values)
    assert found.coherent is False
    assert found.cycles == pytest.approx(cycles, abs=1e-4)
    # A noise of 2 and the rounding, in both rails; half the samples count behind the window: 4.34 sqrt(1/1500) dB.
    noise = 2 * (4 + 1 / 12)
    assert found.snr_db == pytest.approx(10 * np.log10(1900**2 / noise), abs=0.4)
    assert found.sinad_db == pytest.approx(found.sinefit_sinad_db, abs=0.4)
    # Two lobes of 21 bins hold 0.1 dB of noise, and one of 0.004 beside a line of 3.6 scatters it by 0.2 dB.
    assert found.hd3_dbc == pytest.approx(-60, abs=0.7)
    assert found.level_dbfs == pytest.approx(10 * np.log10(1900**2 / 2048**2), abs=0.01)


@pytest.mark.parametrize("cycles", [2.4, 2045.8, -9.3], ids=["at DC", "at half the rate", "below DC"])
def test_a_tone_whose_lobe_meets_its_image_is_told_and_right(cycles: float) -> None:
    found = measure(make_tone(cycles))
    assert "tone-at-edge" in {finding.code for finding in found.findings}
    assert found.sinad_db == pytest.approx(10 * np.log10(1900**2 / (2 * (4 + 1 / 12))), abs=0.4)


def test_the_enob_of_ideal_rails_is_their_width() -> None:
    found = measure(make_tone(401, size=2047, rms=0))
    assert found.enob_ieee == pytest.approx(BITS, abs=0.1)
    assert found.level_dbfs == pytest.approx(0, abs=0.01)
    assert measure(make_tone(401, size=2047, rms=0), SpectrumOptions(full_scale="dc")).level_dbfs == pytest.approx(
        -10 * np.log10(2), abs=0.01
    )


def test_noise_density_is_that_of_both_rails_over_the_whole_rate() -> None:
    found = measure(make_tone(401))
    wanted = 10 * np.log10(2 * (4 + 1 / 12) / (4096**2 / 4) / 1e6)
    assert found.nsd_dbfs_hz == pytest.approx(wanted, abs=0.3)  # 4096 bins: 0.07 dB at one deviation
    assert found.band_hz == (-5e5, 5e5)
    assert found.osr == 1


def test_rails_out_of_balance_are_told_in_gain_and_phase() -> None:
    turns = 2 * np.pi * 401.3 * np.arange(SAMPLES) / SAMPLES
    values = 1900 * (np.cos(turns) + 1j * 0.98 * np.sin(turns + np.radians(1.5)))
    told = {finding.code: finding for finding in measure(values).findings}
    assert told["iq-imbalance"].value == pytest.approx(20 * np.log10(np.hypot(0.02, np.radians(1.5)) / 2), abs=0.1)
    assert "Q has 0.175 dB (2 %) less gain than I and is 1.5° ahead of quadrature" in told["iq-imbalance"].text
    assert "iq-imbalance" not in {finding.code for finding in measure(make_tone(401.3)).findings}


def test_swapped_rails_mirror_the_tone_and_nothing_else() -> None:
    values = make_tone(401.3, third=1e-3)
    straight, swapped = measure(values), measure(values.imag + 1j * values.real)
    assert swapped.cycles == pytest.approx(-(straight.cycles or 0), abs=1e-9)
    for name in ("sinad_db", "snr_db", "thd_dbc", "sfdr_dbc", "enob_ieee"):
        assert getattr(swapped, name) == pytest.approx(getattr(straight, name), abs=1e-6)


def test_a_narrow_band_holds_a_part_of_the_noise() -> None:
    values = make_tone(100)
    whole = measure(values)
    narrow = measure(values, SpectrumOptions(osr=8))
    assert (narrow.band, narrow.osr) == ((-1 / 16, 1 / 16), 8)
    assert (narrow.snr_db or 0) - (whole.snr_db or 0) == pytest.approx(10 * np.log10(8), abs=0.6)
    above = measure(values, SpectrumOptions(band_hz=(0, 1e5)))
    assert above.cycles == 100
    with pytest.raises(ValueError, match="within minus half and half the sample rate"):
        measure(values, SpectrumOptions(band_hz=(-6e5, 1e5)))


def test_the_powers_stand_in_the_order_of_their_frequencies() -> None:
    found = measure(make_tone(-401))
    assert found.power.size == found.frequencies_hz.size == SAMPLES
    assert (found.frequencies_hz[0], found.frequencies_hz[SAMPLES // 2]) == (-5e5, 0)
    assert found.frequencies_hz[int(np.argmax(found.power))] == found.fundamental_hz
    assert found.power_dbc is not None
    assert found.power_dbc.max() == pytest.approx(0, abs=1e-6)
    figure = spectrum_chart(found)
    assert list(figure.layout.xaxis.range) == [-500, 500]
    tone = next(trace for trace in figure.data if trace.name == "fundamental")
    assert tone.x[0] == pytest.approx(-97.9, abs=0.01)
    assert tone.y[0] == pytest.approx(found.level_dbfs, abs=1e-6)
    assert "I/Q samples" in figure.layout.title.subtitle.text


def test_noise_alone_has_no_tone() -> None:
    found = measure(make_tone(401, size=0, rms=30))
    assert (found.cycles, found.sinad_db, found.image_dbc) == (None, None, None)
    assert "no-tone" in {finding.code for finding in found.findings}
    assert found.noise_dbfs == pytest.approx(10 * np.log10(2 * 900 / 2048**2), abs=0.3)


def test_a_constant_record_is_told() -> None:
    assert "constant" in {finding.code for finding in measure(np.full(64, 3 + 4j)).findings}


def test_the_q_rail_is_examined_too() -> None:
    values = make_tone(401)
    clipped = values.real + 1j * np.clip(1.3 * values.imag, -2048, 2047)
    told = {finding.code: finding for finding in measure(clipped).findings}
    assert told["clipping"].text.startswith("'Q': ")


@pytest.mark.parametrize("samples", [16, 20, 33, 64, 101])
def test_short_records_are_measured_by_the_fit(samples: int) -> None:
    turns = 2 * np.pi * 3.3 * np.arange(samples) / samples
    found = measure(1900 * np.exp(1j * turns))
    assert found.cycles == pytest.approx(3.3, abs=0.01)
    assert found.sinad_db == pytest.approx(found.sinefit_sinad_db, abs=0.5)


def test_floats_are_taken_as_normalised_and_no_average_is_made() -> None:
    record = make_record(make_tone(401) / 2048, codes=False)
    assert analyze_capture(record).level_dbfs == pytest.approx(20 * np.log10(1900 / 2048), abs=0.01)
    with pytest.raises(ValueError, match="holds I/Q samples, of which no average is taken"):
        analyze_captures([record, record], SpectrumOptions(average="power"))


@pytest.mark.parametrize("cycles", [1200, -1200.3])
def test_a_tone_outside_the_band_is_told_and_does_not_leak_into_it(cycles: float) -> None:
    found = measure(make_tone(cycles), SpectrumOptions(osr=4))
    told = {finding.code: finding for finding in found.findings}
    assert told["tone-outside-band"].value == pytest.approx(cycles * 1e6 / SAMPLES, abs=1)
    assert (found.cycles, found.sinad_db) == (None, None)
    # A quarter of the noise of a rail, 4 + 1/12, in 1024 bins: 0.14 dB at one deviation.
    assert found.noise_rms == pytest.approx(np.sqrt((4 + 1 / 12) / 4), rel=0.06)
