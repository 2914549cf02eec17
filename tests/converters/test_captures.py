"""From a record to its row: the same for codes, for volts, and for floats whose file fixes their range."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scipy.io import wavfile

from qanalysis.converters.captures import (
    analyze_capture,
    analyze_captures,
    describe_capture,
    describe_settings,
    describe_tested,
    measure_capture,
    open_capture,
)
from qanalysis.converters.linearity.options import LinearityOptions
from qanalysis.converters.records.reading import Reading
from qanalysis.converters.records.records import Record, read_record
from qanalysis.converters.sample_records import SAMPLE_RECORDS, write_sample
from qanalysis.converters.spectrum.options import SpectrumOptions
from qanalysis.converters.spectrum.row import RecordRow

SINE = np.sin(2 * np.pi * 127 * np.arange(4096) / 4096)
CODES = np.rint(2047 * SINE).astype(np.int16)


def test_floats_of_a_wav_are_spread_over_the_stated_range(tmp_path: Path) -> None:
    wavfile.write(tmp_path / "float.wav", 48_000, (CODES / 2048).astype(np.float32))  # exact: 12 bits of 24
    np.save(tmp_path / "codes.npy", CODES)
    floats = read_record(tmp_path / "float.wav", bits=12)
    codes = read_record(tmp_path / "codes.npy", bits=12, signed=True, fs_hz=48_000)
    spread, counted = (analyze_capture(record, SpectrumOptions(low=0, high=5)) for record in (floats, codes))
    assert (spread.low, spread.high, spread.lsb) == (0, 5, 5 / 4096)
    # the values are the same but for a factor and an offset, which rounds each to 1e-16 of full scale
    assert spread.sinad_db == pytest.approx(counted.sinad_db, abs=1e-6)
    assert spread.level_dbfs == pytest.approx(counted.level_dbfs, abs=1e-9)
    assert spread.enob_ieee == pytest.approx(counted.enob_ieee, abs=1e-6)
    assert "beyond-range" not in {finding.code for finding in spread.findings}
    own = analyze_capture(floats)
    assert (own.low, own.high) == (-1, 1)
    assert own.level_dbfs == pytest.approx(spread.level_dbfs, abs=1e-9)


def test_options_reach_the_engines(tmp_path: Path) -> None:
    np.save(tmp_path / "codes.npy", CODES)
    record = read_record(tmp_path / "codes.npy", bits=12, fs_hz=1000.0)
    found = analyze_capture(record, SpectrumOptions(full_scale="dc", harmonics=9))
    assert (found.full_scale, found.harmonics_counted, found.fs_hz, found.bits) == ("dc", 9, 1000.0, 12)


def test_the_row_holds_the_doctors_findings_and_how_the_file_was_read(tmp_path: Path) -> None:
    clipped = np.clip(np.rint(2300 * SINE), -2048, 2047).astype(np.int16)
    np.save(tmp_path / "clipped.npy", clipped)
    record = read_record(tmp_path / "clipped.npy", fs_hz=1.0)
    codes = [finding.code for finding in describe_capture(record, analyze_capture(record)).findings]
    assert "clipping" in codes
    assert codes[-len(record.guesses) :] == [finding.code for finding in record.guesses]


def test_reaching_the_end_codes_is_no_finding_of_a_linearity_test(tmp_path: Path) -> None:
    overdriven = np.clip(np.rint(7.5 + 8.5 * np.sin(2 * np.pi * 127 * np.arange(4096) / 4096)), 0, 15).astype(np.uint8)
    np.save(tmp_path / "sine.npy", overdriven)
    record = read_record(tmp_path / "sine.npy", bits=4)
    found = measure_capture(record, LinearityOptions(test="sine"))
    assert (found.converter.low, found.converter.high) == (0.0, 16.0)
    assert measure_capture(record, LinearityOptions(test="sine", low=-1, high=1)).converter.lsb == 0.125
    codes = [finding.code for finding in describe_tested(record, found).findings]
    assert "clipping" not in codes
    assert "unknown-drive" in codes


def test_ratios_need_no_rate_and_what_is_in_hertz_is_null_without_one(tmp_path: Path) -> None:
    np.save(tmp_path / "codes.npy", CODES)
    bare, rated = (analyze_capture(read_record(tmp_path / "codes.npy", fs_hz=rate)) for rate in (None, 1e6))
    assert (bare.sinad_db, bare.snr_db, bare.thd_raw_dbc, bare.sfdr_dbc, bare.enob_ieee, bare.cycles) == (
        rated.sinad_db,
        rated.snr_db,
        rated.thd_raw_dbc,
        rated.sfdr_dbc,
        rated.enob_ieee,
        rated.cycles,
    )
    assert (bare.fs_hz, bare.fundamental_hz, bare.band_hz, bare.nsd_dbfs_hz) == (None, None, None, None)
    assert {line.alias_hz for line in bare.harmonics} == {None}


def test_what_is_missing_is_asked_for(tmp_path: Path) -> None:
    np.save(tmp_path / "volts.npy", SINE)
    with pytest.raises(ValueError, match=r"volts\.npy holds numbers that are no whole ones"):
        measure_capture(read_record(tmp_path / "volts.npy", bits=12))


@pytest.mark.parametrize("name", SAMPLE_RECORDS)
def test_a_sample_is_opened_by_its_name(name: str, tmp_path: Path) -> None:
    (tmp_path / "sample.csv").write_bytes(write_sample(name))
    opened, read = open_capture(f"sample:{name}"), open_capture(tmp_path / "sample.csv")
    assert opened.name == f"sample:{name}"
    assert (opened.source.size, opened.source.digest, opened.bits, opened.fs_hz) == (
        read.source.size,
        read.source.digest,
        read.bits,
        read.fs_hz,
    )
    assert opened.codes is not None
    assert np.array_equal(opened.codes, read.codes)


def test_an_unknown_sample_is_refused_with_the_names_of_all() -> None:
    with pytest.raises(
        ValueError, match="there is no sample record 'tune'; the samples are tone between bins, 12 bit; coherent tone"
    ):
        open_capture("sample:tune")


def test_what_is_stated_about_a_file_reaches_its_reader(tmp_path: Path) -> None:
    (tmp_path / "two.csv").write_text("a,b\n1,10\n2,20\n3,15\n")
    record = open_capture(tmp_path / "two.csv", Reading(column="2", bits=8, signed=False, fs_hz=5.0))
    assert (record.values.tolist(), record.bits, record.signed, record.fs_hz) == ([10, 20, 15], 8, False, 5.0)


def test_settings_say_what_was_asked_and_how_the_file_was_read(tmp_path: Path) -> None:
    np.save(tmp_path / "codes.npy", CODES)
    reading = Reading(channel=1, fs_hz=1000.0)
    record = open_capture(tmp_path / "codes.npy", reading)
    settings = describe_settings(record, reading, SpectrumOptions(low=-2.5, high=3.3, harmonics=9, band_hz=(0, 400)))
    assert settings == {
        "bits": 12,
        "range": "-2.5:3.3",
        "fs_hz": 1000.0,
        "fs_over": "2^n",
        "full_scale": "sine",
        "window": "auto",
        "side_bins": "auto",
        "harmonics": 9,
        "band": "0:400",
        "column": None,
        "channel": 1,
        "dtype": None,
        "coding": None,
        "radix": None,
        "unit": None,
        "resample": False,
        "osr": 1.0,
        "average": None,
        "justification": "right",
        "signed": True,
    }
    tested = describe_settings(record, reading, LinearityOptions(test="sine", drive=(-1e-6, 0.1)))
    assert (tested["range"], tested["drive"], tested["test"], tested["within"]) == (None, "-1e-06:0.1", "sine", 0.1)


@pytest.mark.parametrize(
    ("options", "fault"),
    [
        ({"low": 0.0}, "range 0.0:None: give both low and high, or neither"),
        ({"drive": (1.0, 0.0)}, "drive 1.0:0.0: the lowest input must lie below the highest"),
        ({"reference": "ends"}, "INL reference 'ends' is unknown; choose end-point or best-fit"),
        ({"test": "noise"}, "test 'noise' is unknown; choose ramp, sine, pairs"),
        ({"fs_over": "2n"}, "fs_over '2n': full scale is divided by"),
        ({"transfer": "ceil"}, "transfer 'ceil' is unknown; use mid-tread, mid-rise, floor"),
    ],
)
def test_options_are_checked_once_when_they_are_made(options: dict[str, Any], fault: str) -> None:
    with pytest.raises(ValueError, match=fault):
        LinearityOptions(**options)


def write_codes(path: Path, amplitude: float, *, noise: float = 0.5) -> None:
    """A coherent tone of codes at 1 MHz as text: what it says of its width is in its codes alone."""
    rough = amplitude * np.sin(2 * np.pi * 127 * np.arange(4096) / 4096)
    codes = np.rint(rough + np.random.default_rng(2).normal(0, noise, 4096)).astype(int)
    codes = np.clip(codes, -int(amplitude), int(amplitude))
    path.write_text("time,code\n" + "".join(f"{n * 1e-6:.6f},{code}\n" for n, code in enumerate(codes)))


def told(record: Record) -> RecordRow:
    return describe_capture(record, analyze_capture(record))


def test_a_guessed_width_stands_in_the_headline_and_a_stated_one_does_not(tmp_path: Path) -> None:
    write_codes(tmp_path / "plain.csv", 2047)
    guessed, stated = told(read_record(tmp_path / "plain.csv")), told(read_record(tmp_path / "plain.csv", bits=12))
    assert " bit at 12 bit (guessed), SFDR " in guessed.headline
    assert guessed.headline.replace(" at 12 bit (guessed)", "") == stated.headline
    assert any("at 12 bit (guessed)" in line.convention for line in guessed.lines if line.column == "enob_ieee")
    assert not any("guessed" in line.convention for line in stated.lines)


@pytest.mark.parametrize(("amplitude", "bits", "wide"), [(2048, 12, 14), (128, 8, 10)])
def test_an_ambiguous_width_is_told_with_both_readings_and_never_flatters(
    tmp_path: Path, amplitude: int, bits: int, wide: int
) -> None:
    write_codes(tmp_path / "edge.csv", amplitude)
    row = told(read_record(tmp_path / "edge.csv"))
    assert f" bit at {bits} bit (guessed, or {wide}), SFDR " in row.headline
    found = {finding.code: finding for finding in row.findings}
    assert found["bits-ambiguous"].value == wide
    assert f"state {bits} or {wide} bits" in found["bits-ambiguous"].text
    assert "wrong-width" not in found
    wider = told(read_record(tmp_path / "edge.csv", bits=wide))
    # Full scale is 2^(wide - bits) times as large, the noise the same.
    assert wider.enob_ieee - row.enob_ieee == pytest.approx(wide - bits, abs=1e-9)
    assert not {"bits-ambiguous", "bits-guessed"} & {finding.code for finding in wider.findings}
    narrow = {finding.code: finding for finding in told(read_record(tmp_path / "edge.csv", bits=bits)).findings}
    assert "one beyond the top" in narrow["wrong-width"].text


def test_an_enob_above_the_width_carries_a_warning(tmp_path: Path) -> None:
    smooth = 2000 * np.sin(2 * np.pi * 127 * np.arange(4096) / 4096) / 2048
    np.savetxt(tmp_path / "averaged.csv", smooth, fmt="%.9f")  # fractions of a code, as averaging leaves them
    row = told(read_record(tmp_path / "averaged.csv", bits=12, fs_hz=1e6))
    assert row.enob_ieee > 12
    found = next(finding for finding in row.findings if finding.code == "enob-above-width")
    assert found.value == row.enob_ieee
    assert "more than the 12 bits" in found.text
    half = analyze_capture(
        read_record(tmp_path / "averaged.csv", bits=12, fs_hz=1e6), SpectrumOptions(band_hz=(0, 2e5))
    )
    record = read_record(tmp_path / "averaged.csv", bits=12, fs_hz=1e6)
    # A band of 0.4 explains log2(2.5)/2 = 0.66 bit, and not the tens of bits that nine digits give.
    assert "enob-above-width" in {finding.code for finding in describe_capture(record, half).findings}


def test_the_headline_of_a_linearity_test_says_that_its_width_is_a_guess(tmp_path: Path) -> None:
    np.save(tmp_path / "ramp.npy", np.repeat(np.arange(256), 64))
    guessed = read_record(tmp_path / "ramp.npy")
    assert describe_tested(guessed, measure_capture(guessed, LinearityOptions(test="ramp"))).headline.endswith(
        "; at 8 bit (guessed)."
    )
    stated = read_record(tmp_path / "ramp.npy", bits=8)
    assert "guessed" not in describe_tested(stated, measure_capture(stated, LinearityOptions(test="ramp"))).headline


@pytest.mark.parametrize(
    ("options", "told"),
    [
        (SpectrumOptions(average="power", side_bins=2000), r"^0\.npy: side_bins 2000"),
        (SpectrumOptions(average="coherent", osr=1e9), r"^0\.npy: osr"),
        (SpectrumOptions(average="power"), r"^1\.npy: 1 of 4096 samples are not finite"),
    ],
    ids=["an option", "a band", "one of the records"],
)
def test_what_is_wrong_with_an_average_names_its_record(tmp_path: Path, options: SpectrumOptions, told: str) -> None:
    rows = np.stack([SINE, SINE])
    rows[1, 7] = np.nan if options == SpectrumOptions(average="power") else 0.0
    for number, row in enumerate(rows):
        np.save(tmp_path / f"{number}.npy", row)
    records = [read_record(tmp_path / f"{number}.npy") for number in range(2)]
    with pytest.raises(ValueError, match=told):
        analyze_captures(records, options)


def test_what_is_wrong_with_a_linearity_test_names_its_record(tmp_path: Path) -> None:
    np.save(tmp_path / "ramp.npy", np.repeat(np.arange(256), 64))
    record = read_record(tmp_path / "ramp.npy", bits=8)
    with pytest.raises(ValueError, match=r"^ramp\.npy: confidence is 2"):
        measure_capture(record, LinearityOptions(confidence=2.0))


@pytest.mark.filterwarnings("error")
def test_a_nan_that_signals_is_a_nan(tmp_path: Path) -> None:
    words = (CODES / 2048).astype(np.float64)
    words.view(np.uint64)[3] = 0x7FF0_0000_0000_0001
    np.save(tmp_path / "nan.npy", words)
    record = read_record(tmp_path / "nan.npy", unit="mV")
    assert np.flatnonzero(np.isnan(record.values)).tolist() == [3]


@pytest.mark.parametrize("make", [float, complex], ids=["one rail", "two rails"])
@pytest.mark.filterwarnings("error")
def test_a_constant_whose_mean_is_rounded_is_a_constant(tmp_path: Path, make: type) -> None:
    np.save(tmp_path / "still.npy", np.full(1023, make(0.1)))
    record = read_record(tmp_path / "still.npy")
    rows = [analyze_capture(record)]
    if make is float:
        rows.append(analyze_captures([record, record], SpectrumOptions(average="power")))
    for row in rows:
        assert "Every sample is 0.1: there is no tone" in " ".join(finding.text for finding in row.findings)


@pytest.mark.filterwarnings("error")
def test_a_tone_of_the_smallest_numbers_has_its_figures(tmp_path: Path) -> None:
    np.save(tmp_path / "tiny.npy", 1e-149 * np.sin(2 * np.pi * 127 * (np.arange(4096) + 0.3) / 4096))
    row = told(read_record(tmp_path / "tiny.npy", fs_hz=1e6))
    assert row.fundamental_hz == pytest.approx(1e6 * 127 / 4096, rel=1e-6)


@pytest.mark.filterwarnings("error")
def test_a_range_that_no_level_refers_to_is_refused(tmp_path: Path) -> None:
    np.save(tmp_path / "huge.npy", 1e149 * SINE)
    with pytest.raises(ValueError, match=r"^huge\.npy: the values reach .* no level in dBFS"):
        analyze_capture(read_record(tmp_path / "huge.npy"), SpectrumOptions(low=0.0, high=1e-140))
