"""From a record to its row: the same for codes, for volts, and for floats whose file fixes their range."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from scipy.io import wavfile

from qanalysis.converters.captures import analyze_capture, describe_capture, describe_tested, measure_capture
from qanalysis.converters.records.records import read_record

SINE = np.sin(2 * np.pi * 127 * np.arange(4096) / 4096)
CODES = np.rint(2047 * SINE).astype(np.int16)


def test_floats_of_a_wav_are_spread_over_the_stated_range(tmp_path: Path) -> None:
    wavfile.write(tmp_path / "float.wav", 48_000, (CODES / 2048).astype(np.float32))  # exact: 12 bits of 24
    np.save(tmp_path / "codes.npy", CODES)
    floats = read_record(tmp_path / "float.wav", bits=12)
    codes = read_record(tmp_path / "codes.npy", bits=12, signed=True, fs_hz=48_000)
    spread, counted = (analyze_capture(record, low=0, high=5) for record in (floats, codes))
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
    found = analyze_capture(record, full_scale="dc", harmonics=9)
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
    found = measure_capture(record, test="sine")
    assert (found.converter.low, found.converter.high) == (0.0, 16.0)
    assert measure_capture(record, test="sine", low=-1, high=1).converter.lsb == 0.125
    codes = [finding.code for finding in describe_tested(record, found).findings]
    assert "clipping" not in codes
    assert "unknown-drive" in codes


def test_what_is_missing_is_asked_for(tmp_path: Path) -> None:
    np.save(tmp_path / "codes.npy", CODES)
    with pytest.raises(ValueError, match=r"codes\.npy does not tell its sample rate; give it with --fs"):
        analyze_capture(read_record(tmp_path / "codes.npy"))
    np.save(tmp_path / "volts.npy", SINE)
    with pytest.raises(ValueError, match=r"volts\.npy holds numbers that are no whole ones"):
        measure_capture(read_record(tmp_path / "volts.npy", bits=12))
