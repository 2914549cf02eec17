"""Averages of several records against the laws that they follow: scatter, gain, and what does not fall."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from qanalysis.converters.captures import (
    analyze_captures,
    describe_captures,
    identify_captures,
    open_captures,
    tabulate_captures,
)
from qanalysis.converters.records.reading import Reading
from qanalysis.converters.records.records import Record
from qanalysis.converters.spectrum.averaging import RecordSet, average_spectrum
from qanalysis.converters.spectrum.full_scale import find_full_scale
from qanalysis.converters.spectrum.options import SpectrumOptions
from qanalysis.converters.spectrum.spectrum import Spectrum

SAMPLES = 4096
READING = Reading(bits=12, fs_hz=1e6)
POWER, COHERENT = SpectrumOptions(average="power"), SpectrumOptions(average="coherent")


def make_tone(cycles: float, phase: float, *, lines: tuple[tuple[int, float, float], ...] = ()) -> NDArray[np.float64]:
    """A tone of 1900 with harmonics (order, dB over the tone, phase) that hang on it."""
    turns = 2 * np.pi * cycles * np.arange(SAMPLES) / SAMPLES + phase
    parts = [10 ** (level / 20) * np.sin(order * turns + angle) for order, level, angle in lines]
    return np.asarray(1900 * (np.sin(turns) + sum(parts)))


def save(folder: Path, records: list[NDArray[np.float64]]) -> tuple[Record, ...]:
    names = [folder / f"r{place}.npy" for place in range(len(records))]
    for name, record in zip(names, records, strict=True):
        np.save(name, np.rint(record).astype(np.int16))
    return open_captures(names, READING)


def noisy(cycles: float, records: int, *, rms: float = 2.0, seed: int = 0) -> list[NDArray[np.float64]]:
    dice = np.random.default_rng(seed)
    lines = ((3, -60.0, 0.5),)
    return [
        make_tone(cycles, dice.uniform(0, 2 * np.pi), lines=lines) + dice.normal(0, rms, SAMPLES)
        for _ in range(records)
    ]


@pytest.mark.parametrize("cycles", [401, 401.37, 1650, 1650.41], ids=["bin", "between", "folded", "folded-between"])
def test_laid_in_phase_noise_falls_by_the_number_of_records_and_distortion_stays(cycles: float, tmp_path: Path) -> None:
    records = save(tmp_path, noisy(cycles, 16))
    one, mean = analyze_captures(records, POWER), analyze_captures(records, COHERENT)
    assert one.snr_db is not None
    assert mean.snr_db is not None
    # The window leaves about 0.37 of 2 * 2048 degrees of freedom: 4.34 sqrt(2/1500) = 0.16 dB at one deviation.
    assert mean.snr_db - one.snr_db == pytest.approx(10 * np.log10(16), abs=0.5)
    assert one.hd3_dbc == pytest.approx(-60, abs=0.3)
    # Noise of a line: 2 LSB over 1900 and 4096 * 16 samples, -108 dBc; a lobe of 21 bins -95: 0.16 dB at -60.
    assert mean.hd3_dbc == pytest.approx(-60, abs=0.2)
    assert (mean.records, mean.average, one.average) == (16, "coherent", "power")
    assert mean.sinad_db == pytest.approx(mean.sinefit_sinad_db, abs=0.5)


def test_the_mean_of_powers_is_the_power_of_the_means_bin_by_bin(tmp_path: Path) -> None:
    signals = noisy(401, 5)
    found = analyze_captures(save(tmp_path, signals), POWER)
    squares = [np.abs(np.fft.rfft(np.rint(signal) - np.rint(signal).mean())) ** 2 for signal in signals]
    power = 2 * np.mean(squares, axis=0) / SAMPLES**2
    power[-1] /= 2
    power[0] = 0
    assert found.power == pytest.approx(power, rel=1e-9, abs=1e-12)
    rest = power.sum() - power[401]
    assert found.sinad_db == pytest.approx(10 * np.log10(power[401] / rest), abs=1e-9)


def test_averaging_powers_keeps_the_expected_sinad_and_cuts_its_scatter() -> None:
    dice = np.random.default_rng(5)

    def measure(records: int) -> float:
        rough = [make_tone(401, 0.3) + dice.normal(0, 20, SAMPLES) for _ in range(records)]
        scale = find_full_scale(rough[0], SpectrumOptions(low=-2048, high=2048), bits=12, whole=False)
        names = [str(place) for place in range(records)]
        found = average_spectrum(RecordSet(rough, names, scale, None), POWER)
        assert found.sinad_db is not None
        return found.sinad_db

    few, many = ([measure(count) for _ in range(40)] for count in (2, 32))
    # White noise of 20 beside a sine of 1900: 36.5412 dB; a record of 4094 degrees scatters by 0.096 dB.
    assert np.mean(many) == pytest.approx(10 * np.log10(1900**2 / 2 / 20**2), abs=4 * 0.096 / np.sqrt(32 * 40) + 2e-3)
    # The ratio of the two deviations is sqrt 16; each is known to 1/sqrt(80) = 11 %, the ratio to 16 %.
    assert np.std(few) / np.std(many) == pytest.approx(4, rel=3 * 0.16)


def test_intervals_shrink_with_the_number_of_records(tmp_path: Path) -> None:
    records = save(tmp_path, noisy(401, 16))
    widths = [
        np.ptp(found.snr_ci95_db)
        for found in (analyze_captures(records[:1]), analyze_captures(records, POWER))
        if found.snr_ci95_db is not None
    ]
    assert widths[0] / widths[1] == pytest.approx(4, rel=0.02)  # chi-square of 16 times the degrees of freedom


def test_rounding_of_locked_records_does_not_fall_and_is_told(tmp_path: Path) -> None:
    records = save(tmp_path, [make_tone(127, 0.3)] * 4)
    found = describe_captures(records, analyze_captures(records, COHERENT))
    told = {finding.code: finding for finding in found.findings}
    assert told["noise-repeats"].value == pytest.approx(0, abs=1e-6)
    assert told["equal-records"].value == 3
    assert "'r1.npy' equals 'r0.npy'" in told["equal-records"].text
    assert told["coherent-average"].is_note


def test_rounding_falls_where_noise_of_a_step_dithers_it(tmp_path: Path) -> None:
    records = save(tmp_path, noisy(401, 64, rms=1.0, seed=3))
    found = describe_captures(records, analyze_captures(records, COHERENT))
    codes = {finding.code for finding in found.findings}
    assert "noise-repeats" not in codes
    assert "enob-above-width" not in codes
    # Noise and rounding of 1 + 1/12 LSB^2, a 64th of it, beside the sine: 75.4 dB.
    assert found.snr_db == pytest.approx(10 * np.log10(1900**2 / 2 / (1 + 1 / 12) * 64), abs=0.3)


def test_an_interleave_image_stays_where_records_start_in_step(tmp_path: Path) -> None:
    dice = np.random.default_rng(1)
    turns = np.where(np.arange(SAMPLES) % 2, 1.01, 0.99)
    records = [make_tone(401.3, dice.uniform(0, 6)) * turns + dice.normal(0, 2, SAMPLES) for _ in range(8)]
    found = analyze_captures(save(tmp_path, records), COHERENT)
    assert found.spur is not None
    assert found.spur.bin == 2048 - 401
    assert found.sfdr_dbc == pytest.approx(40, abs=0.05)  # 1 % of the tone


@pytest.mark.parametrize("average", [POWER, COHERENT], ids=["power", "coherent"])
def test_records_that_are_not_alike_are_refused_by_name(average: SpectrumOptions, tmp_path: Path) -> None:
    records = save(tmp_path, [make_tone(401, 0.1), make_tone(403, 0.1)])
    with pytest.raises(ValueError, match=r"'r1\.npy' shows a tone of 403 periods, 'r0\.npy' a tone of 401 periods"):
        analyze_captures(records, average)
    records = save(tmp_path, [make_tone(401, 0.1), make_tone(401, 0.1)[:4000]])
    with pytest.raises(ValueError, match=r"'r1\.npy' has 4,000 samples, 'r0\.npy' has 4,096 samples: .* cut them"):
        analyze_captures(records, average)
    np.save(tmp_path / "b.npy", np.rint(make_tone(401, 0)).astype(np.int16))
    other = open_captures([tmp_path / "b.npy"], Reading(bits=14, fs_hz=1e6))
    with pytest.raises(ValueError, match=r"'b\.npy' has 14 bits, 'r0\.npy' has 12 bits: .* state bits"):
        analyze_captures((records[0], *other), average)
    other = open_captures([tmp_path / "b.npy"], Reading(bits=12, fs_hz=2e6))
    with pytest.raises(ValueError, match=r"'b\.npy' has a rate of 2 MHz, 'r0\.npy' has a rate of 1 MHz"):
        analyze_captures((records[0], *other), average)


def test_how_many_become_one_must_be_stated(tmp_path: Path) -> None:
    records = save(tmp_path, noisy(401, 2))
    with pytest.raises(ValueError, match="2 records were given: state how they become one spectrum, average power"):
        analyze_captures(records)
    with pytest.raises(ValueError, match=r"average coherent was asked for, and 'r0\.npy' is one record: name several"):
        analyze_captures(records[:1], COHERENT)


def test_two_tones_are_averaged_by_power_alone(tmp_path: Path) -> None:
    records = save(tmp_path, [(make_tone(401, 0.1 * place) + make_tone(603, place)) / 2 for place in range(3)])
    assert len(analyze_captures(records, POWER).intermodulation) > 0
    with pytest.raises(ValueError, match="shows two tones: a coherent average lays one tone in phase"):
        analyze_captures(records, COHERENT)


def test_one_table_tells_of_all_records(tmp_path: Path) -> None:
    signals = noisy(401, 3)
    signals[1] = np.clip(1.2 * signals[1], -2048, 2047)
    records = save(tmp_path, signals)
    found: Spectrum = describe_captures(records, analyze_captures(records, POWER))
    table = tabulate_captures(found, records, READING, POWER)
    assert table.source is not None
    assert table.source.path == "3 records: r0.npy … r2.npy"
    assert table.source.size == sum(record.source.size for record in records)
    assert (table.settings["average"], table.rows[0].records) == ("power", 3)
    clipping = next(finding for finding in found.findings if finding.code == "clipping")
    assert clipping.text.startswith("'r1.npy': ")
    assert found.subject == "3 records of 4,096 samples at 1 MHz"
    assert found.headline.endswith(", of the powers of 3 records.")
    assert identify_captures(records[:1]) == records[0].source
